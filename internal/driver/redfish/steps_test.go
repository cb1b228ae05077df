package redfish_test

import (
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

func TestKeySteps(t *testing.T) {
	r := newRig(t, quick())
	if got := r.Steps(r.node, metal.DeploySteps); len(got) != 0 {
		t.Errorf("deploy steps: %v", got)
	}
	for _, s := range r.Steps(r.node, metal.CleanSteps)[:2] {
		if s.Priority != 0 {
			t.Errorf("%s runs by itself", s.Step)
		}
		for range 2 { // a second entry of the same run
			if waiting, err := r.RunStep(t.Context(), r.node, metal.CleanSteps, s, "op/0"); err != nil || waiting != "" {
				t.Errorf("%s: %q, %v", s.Step, waiting, err)
			}
		}
		for _, p := range []metal.Power{metal.PowerOff, metal.PowerOn} {
			if err := r.SetPower(t.Context(), r.node, p); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := r.SecureBoot(t.Context(), r.node); err != nil || got.Setup != (s.Step == "clear_secure_boot_keys") {
			t.Errorf("after %s: %+v, %v", s.Step, got, err)
		}
	}
	_, err := r.RunStep(t.Context(), r.node, metal.CleanSteps, metal.Step{Interface: "management", Step: "melt"}, "op/0")
	is(t, err, fault.Invalid)
}
