package ops

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestMistypedSteps: what a driver announces is held against what a verb asks for, before anything happens.
func TestMistypedSteps(t *testing.T) {
	s, db := service(t)
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		offers := map[string][]string{"bios/fake": {"bios.apply_configuration", "bios.factory_reset"}}
		return tx.SaveConductor("c1", "", []metal.HardwareType{{Name: "fake-hardware", Interfaces: map[string][]string{"deploy": {"fake"}, "power": {"fake"}, "bios": {"fake", "no-bios"}},
			Steps: map[metal.StepKind]map[string][]string{metal.CleanSteps: offers, metal.ServiceSteps: {}, metal.DeploySteps: offers}}})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		verb      metal.Verb
		bios      string
		step      string
		noRamdisk bool
		says      string // "": accepted
	}{
		{metal.VerbClean, "fake", "factory_reset", false, ""},
		{metal.VerbClean, "fake", "factory_rest", false, "did you mean bios.factory_reset?"},
		{metal.VerbClean, "no-bios", "factory_rest", false, ""}, // the agent may offer it
		{metal.VerbClean, "fake", "of_the_agent", false, ""},
		{metal.VerbClean, "fake", "of_the_agent", true, "no agent runs with disable_ramdisk"},
		{metal.VerbClean, "fake", "factory_reset", true, ""},
		{metal.VerbClean, "fake", metal.StepHold, true, ""},
		{metal.VerbActive, "fake", "apply_configuratoin", false, "did you mean bios.apply_configuration?"},
		{metal.VerbService, "fake", "factory_rest", false, ""}, // not a step of service
	} {
		n, err := s.CreateNode(t.Context(), caller, &metal.Node{Driver: "fake-hardware", Interfaces: map[string]string{"bios": c.bios}})
		if err != nil {
			t.Fatal(err)
		}
		steps := []metal.Step{{Interface: "bios", Step: c.step, Priority: 50}}
		p := Provision{Verb: c.verb, NoRamdisk: c.noRamdisk}
		switch c.verb {
		case metal.VerbClean:
			force(t, db, n.UUID, metal.Manageable)
			p.CleanSteps = steps
		case metal.VerbActive:
			force(t, db, n.UUID, metal.Available)
			p.DeploySteps = steps
		default:
			force(t, db, n.UUID, metal.Active)
			p.ServiceSteps = steps
		}
		err = s.SetProvision(t.Context(), caller, n.UUID, p)
		if c.says == "" {
			if err != nil {
				t.Errorf("%+v: %v", c, err)
			}
			continue
		}
		wantKind(t, err, fault.Invalid)
		if text, _ := fault.PublicOf(err); !strings.Contains(text, c.says) {
			t.Errorf("%+v: %s", c, text)
		}
		if got, err := s.Node(t.Context(), caller, n.UUID, "node:get"); err != nil || got.Reservation != "" || got.TargetProvisionState != "" {
			t.Errorf("%+v: the node was changed: %+v, %v", c, got, err)
		}
	}
}
