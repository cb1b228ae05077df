package main

import (
	"strings"
	"testing"

	"ingot/internal/config"
	"ingot/internal/metal"
)

// Without a Debian ramdisk a server works; one whose nodes are to be rescued by default, or may be installed with OS definitions, is
// warned of it.
func TestNoRescueRamdisk(t *testing.T) {
	c := config.Defaults()
	for _, f := range examineRamdisks(t.TempDir(), c) {
		if f.Check == "rescue ramdisk" && (f.Level != metal.Warn || !strings.Contains(f.Said, "os-install is enabled")) {
			t.Errorf("with os-install: %+v", f)
		}
	}
	c.Choices.EnabledDeploy = []string{"direct"}
	for by, want := range map[string]metal.Level{"": metal.Fine, "no-rescue": metal.Fine, "agent": metal.Warn} {
		c.Choices.DefaultRescue = by
		for _, f := range examineRamdisks(t.TempDir(), c) {
			if f.Check == "rescue ramdisk" && f.Level != want {
				t.Errorf("default_rescue_interface %q: %+v", by, f)
			}
		}
	}
}
