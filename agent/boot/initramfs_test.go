package boot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestInitramfsIsReadOnce(t *testing.T) {
	root := t.TempDir()
	if _, err := FromInitramfs(root); !errors.Is(err, ErrNoInitramfs) {
		t.Errorf("an empty initramfs: %v", err)
	}
	name := filepath.Join(root, configFile)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(`{"version":1,"node_uuid":"N","agent_token":"`+token+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := FromInitramfs(root); err != nil || c.NodeUUID != "N" || c.AgentToken != token {
		t.Errorf("%s %v", c.NodeUUID, err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the token stays: %v", err)
	}
	if err := os.WriteFile(name, []byte(strings.Repeat(" ", maxConfig+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FromInitramfs(root); err == nil || errors.Is(err, ErrNoInitramfs) {
		t.Errorf("too large: %v", err)
	}
	if !ParseParams("boot_method=initramfs").Initramfs() || ParseParams("boot_method=vmedia").Initramfs() {
		t.Error("boot_method")
	}
}
