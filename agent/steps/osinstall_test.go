package steps

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/agent/inventory"
	"ingot/agent/osinstall"
	"ingot/internal/agentapi"
)

// osBench is a machine that was booted for an OS definition.
func osBench(t *testing.T, disks map[string]int64) *bench {
	b := &bench{root: t.TempDir()}
	b.plant(t, "sys/kernel/x", "")
	for name, mib := range disks {
		b.disk(t, name, mib)
	}
	b.Steps = New(Config{Machine: inventory.Machine{Root: b.root}, Log: slog.New(slog.DiscardHandler), Role: agentapi.RoleInstall,
		Patience: inventory.Patience{Quiet: 1, Limit: time.Second, Every: time.Millisecond}, OS: &osinstall.Installer{}}, agentapi.Node{})
	return b
}

func (b *bench) osPaths(t *testing.T) string {
	t.Helper()
	disks, err := b.osDisks(t.Context())
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, d := range disks {
		out = append(out, strings.TrimPrefix(d.Path, b.root+"/dev/"))
	}
	return strings.Join(out, " ")
}

// The root disk is first, and what is skipped, read-only or removable is no disk of a script's.
func TestDisksOfScripts(t *testing.T) {
	b := osBench(t, map[string]int64{"sda": 9 << 10, "sdb": 5 << 10, "sdc": 7 << 10, "sdd": 8 << 10, "sde": 100})
	b.plant(t, "sys/block/sdc/ro", "1")
	b.plant(t, "sys/block/sdd/removable", "1")
	if got := b.osPaths(t); got != "sdb sda sde" {
		t.Errorf("without hints: %s", got)
	}
	b.setNode(agentapi.Node{UUID: "n", Properties: map[string]any{"root_device": map[string]any{"serial": "S-sda"}, "skip_block_devices": []any{map[string]any{"serial": "S-sdb"}}}}, nil)
	if err := errors.Join(os.MkdirAll(filepath.Join(b.root, "dev/disk/by-id"), 0o755), os.Symlink("../../sda", filepath.Join(b.root, "dev/disk/by-id/wwn-0x1"))); err != nil {
		t.Fatal(err)
	}
	if got := b.osPaths(t); got != "disk/by-id/wwn-0x1 sde" {
		t.Errorf("with hints: %s", got)
	}
	b.setNode(agentapi.Node{UUID: "n", Properties: map[string]any{"root_device": map[string]any{"serial": "S-sdc"}}}, nil)
	if got := b.osPaths(t); !strings.Contains(got, "the root disk /dev/sdc is read-only") {
		t.Errorf("a root disk that cannot be written: %s", got)
	}
}

// What came with the command is not left in memory, and an error does not repeat it.
func TestOSWorkIsForgotten(t *testing.T) {
	b := osBench(t, map[string]int64{"sda": 9 << 10})
	for name, raw := range map[string]json.RawMessage{
		"what it cannot do": json.RawMessage(`{"machine":{"name":"n"},"package":{"url":"https://files.example.org/p.tgz","password":"canary"}}`),
		"no work":           json.RawMessage(`{"machine":"canary"}`),
	} {
		_, err := b.Commands()[agentapi.CommandOSInstall].Run(t.Context(), raw, func(agentapi.Progress) {})
		var failure *agentapi.CommandError
		if !errors.As(err, &failure) || strings.Contains(failure.Details, "canary") || len(bytes.Trim(raw, "\x00")) > 0 {
			t.Errorf("%s: %v %q", name, err, raw)
		}
	}
}
