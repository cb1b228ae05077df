package steps

import (
	"os"
	"path/filepath"
	"testing"

	"ingot/agent/plugin"
	"ingot/internal/agentapi"
)

// did runs a clean step that must succeed and gives its result.
func (b *bench) did(t *testing.T, step string, args map[string]any) map[string]any {
	t.Helper()
	result, e := b.call(t, "clean.execute_clean_step", map[string]any{"node": agentapi.Node{UUID: "n"}, "step": map[string]any{"interface": "deploy", "step": step, "args": args}})
	if e != nil {
		t.Fatalf("%s: %+v", step, e)
	}
	return result[plugin.Clean+"_result"].(map[string]any)
}

func TestCleanUEFINVRAM(t *testing.T) {
	b := newBench(t)
	if r := b.did(t, "clean_uefi_nvram", nil); r["result"] != "nothing to do: the machine was booted by a BIOS, which has no boot entries" {
		t.Error(r)
	}
	const at = "sys/firmware/efi/efivars/Boot0001-8be4df61-93ca-11d2-aa0d-00e098032b8c"
	// An entry "x" whose path is the file \grub.efi.
	b.plant(t, at, "\x07\x00\x00\x00\x01\x00\x00\x00\x1c\x00x\x00\x00\x00\x04\x04\x18\x00\\\x00g\x00r\x00u\x00b\x00.\x00e\x00f\x00i\x00\x00\x00\x7f\xff\x04\x00")
	if r := b.did(t, "clean_uefi_nvram", map[string]any{"match_patterns": []string{"windows"}}); r["kept"] != 1.0 {
		t.Error(r)
	}
	r := b.did(t, "clean_uefi_nvram", nil)
	if list, _ := r["removed"].([]any); len(list) != 1 || list[0].(map[string]any)["path"] != `File(\grub.efi)` {
		t.Error(r)
	}
	if _, err := os.Stat(filepath.Join(b.root, at)); !os.IsNotExist(err) {
		t.Error("the entry is still there", err)
	}
	_, e := b.call(t, "clean.execute_clean_step", map[string]any{"step": map[string]any{"step": "clean_uefi_nvram", "args": map[string]any{"match_patterns": []string{"("}}}})
	if e == nil || e.Type != "InvalidCommandParamsError" {
		t.Errorf("%+v", e)
	}
}

func TestErasePstore(t *testing.T) {
	b := newBench(t)
	if r := b.did(t, "erase_pstore", nil); r["result"] != "nothing to do: this kernel keeps nothing over a crash" {
		t.Error(r)
	}
	b.plant(t, "proc/mounts", "")
	b.plant(t, "sys/fs/pstore/dmesg-efi-1", "secrets")
	b.plant(t, "sys/fs/pstore/dmesg-efi-2", "secrets")
	if r := b.did(t, "erase_pstore", nil); r["removed"] != 2.0 {
		t.Error(r)
	}
	if r := b.did(t, "erase_pstore", nil); r["removed"] != 0.0 {
		t.Error(r)
	}
}
