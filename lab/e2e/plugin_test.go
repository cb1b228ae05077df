package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

// pluginDir is where the agent looks for plugins.
const pluginDir = "usr/lib/ingot/plugins"

// firmwareCheck builds the example plugin into a folder, with rules.
func firmwareCheck(t *testing.T, root, rules string) {
	t.Helper()
	dir := filepath.Join(root, pluginDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "firmware-check"), "ingot/examples/firmware-check")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the plugin: %v\n%s", err, out)
	}
	plant(t, filepath.Join(dir, "firmware-check.json"), rules)
}

func plant(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPluginStopsACleaning cleans a machine whose firmware is not approved, and then once more when it is.
func TestPluginStopsACleaning(t *testing.T) {
	beside(t)
	const limit = time.Minute
	m, n := simulated(t)
	for name, text := range map[string]string{"sys_vendor": "Acme", "product_name": "A1", "bios_version": "2.0"} {
		plant(t, filepath.Join(m.root, "sys/class/dmi/id", name), text+"\n")
	}
	firmwareCheck(t, m.root, `{"priority":95,"rules":[{"manufacturer":"Acme","product":"A1","versions":["2.1","2.2"]}]}`)
	n.ends(metal.VerbManage, metal.Manageable, limit)
	why := n.ends(metal.VerbProvide, metal.CleanFailed, limit)
	if !contains(why, "check_firmware", "plugin firmware_check", `the firmware of Acme A1 is "2.0", and must be one of: 2.1, 2.2`) {
		t.Errorf("last_error: %s", why)
	}
	if !contains(string(m.disk()), oldData) {
		t.Error("the disk was erased after the check failed: the check has a higher priority than erasing")
	}

	plant(t, filepath.Join(m.root, "sys/class/dmi/id/bios_version"), "2.2\n")
	n.ends(metal.VerbManage, metal.Manageable, limit)
	if _, err := n.UpdateNode(t.Context(), n.name, []wire.PatchOp{client.Set("/maintenance", false)}, false); err != nil {
		t.Fatal(err)
	}
	n.ends(metal.VerbProvide, metal.Available, limit)
	done := ""
	for _, e := range n.history() {
		done += e.Why + "\n"
	}
	if !contains(done, "Clean step firmware.check_firmware is done") {
		t.Errorf("history:\n%s", done)
	}
}
