package metal

import (
	"strings"
	"testing"
)

func TestNearStep(t *testing.T) {
	known := []string{"bios.apply_configuration", "bios.factory_reset", "raid.apply_configuration", "firmware.update", "management.pause"}
	for name, want := range map[string]string{
		"bios.aply_configuration":    "bios.apply_configuration",
		"bios.apply_configuratoin":   "bios.apply_configuration",
		"bios.factory-reset":         "bios.factory_reset",
		"bios.Factory_Reset":         "bios.factory_reset",
		"firmware.updaet":            "firmware.update",
		"firmware.upgrade":           "",
		"bios.factory_reset2":        "", // somebody's own
		"deploy.erase_devices":       "",
		"management.pause_abortable": "",
		"":                           "",
		strings.Repeat("b", 100_000): "",
	} {
		if got := NearStep(name, known); got != want {
			t.Errorf("%.40q is near %q, want %q", name, got, want)
		}
	}
}

func TestStepsOfTwoServers(t *testing.T) {
	h := HardwareType{Steps: map[StepKind]map[string][]string{CleanSteps: {"bios/fake": {"bios.a"}}}}
	other := HardwareType{Steps: map[StepKind]map[string][]string{CleanSteps: {"bios/fake": {"bios.a", "bios.b"}, "raid/fake": {"raid.c"}}}}
	n := &Node{Interfaces: map[string]string{"bios": "fake", "raid": "no-raid"}}
	if names, known := h.Both(other).OutOfBand(n, CleanSteps); !known || strings.Join(names, " ") != "bios.a bios.b" {
		t.Errorf("%v, %v", names, known)
	}
	if names, known := h.With(HardwareType{}).OutOfBand(n, CleanSteps); known || names != nil {
		t.Errorf("one of two says nothing, and yet %v, %v", names, known)
	}
}
