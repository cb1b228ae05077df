package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ingot/agent/rescue"
	"ingot/internal/agentapi"
)

// TestOnlyAnotherFolderIsHandedOver: whatever name the host's root is given by, a plain process lets nobody in to it.
func TestOnlyAnotherFolderIsHandedOver(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/", link); err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]bool{dir: true, "/": false, "/tmp/..": false, "/proc/self/root": false, link: false, filepath.Join(dir, "missing"): false} {
		if got := apart(folder); got != want {
			t.Errorf("%s: %v", folder, got)
		}
	}
}

// TestHandingAFolderOverRunsNothing: a folder without the user, or with our units, would need programs that change the host.
func TestHandingAFolderOverRunsNothing(t *testing.T) {
	for program, files := range map[string]map[string]string{
		"useradd":   {"etc/ipa-rescue-config/x": "", "etc/passwd": "root:x:0:0::/:/bin/sh\n"},
		"systemctl": {"etc/systemd/system/ingot-rescue.target": "", "etc/passwd": "rescue:x:1000:1000::/home/rescue:/bin/sh\n", "etc/shadow": "rescue:!:1::::::\n", "home/rescue/x": ""},
	} {
		root := t.TempDir()
		for name, text := range files {
			name = filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h := rescue.Host{Root: root, Run: runsNothing, Log: slog.New(slog.DiscardHandler)}
		err := h.Finalize(t.Context(), agentapi.FinalizeRescue{RescuePassword: "$6$abcdefgh$" + strings.Repeat("a", 86), Hashed: true})
		if err == nil || !strings.Contains(err.Error(), program+" is not run") {
			t.Errorf("%s: %v", program, err)
		}
	}
}
