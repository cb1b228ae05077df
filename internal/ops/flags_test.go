package ops

import (
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

// flagged are the verbs that a flag of the node forbids in a state from which they would start, and what they are answered with.
// Every other verb is accepted. Source: lifecycle reference §24.
var flagged = map[string]map[metal.Verb]fault.Kind{
	"maintenance": {metal.VerbActive: fault.Invalid, metal.VerbDeploy: fault.Invalid, metal.VerbRebuild: fault.Invalid, metal.VerbClean: fault.Invalid,
		metal.VerbService: fault.Invalid, metal.VerbRescue: fault.Invalid, metal.VerbUnrescue: fault.Invalid},
	"protected": {metal.VerbRebuild: fault.Forbidden, metal.VerbDeleted: fault.Forbidden, metal.VerbUndeploy: fault.Forbidden},
	"retired":   {metal.VerbProvide: fault.Invalid},
}

// TestFlagsInEveryVerb sends every verb that begins work, from a state that allows it, at a node with each flag.
func TestFlagsInEveryVerb(t *testing.T) {
	s, db := service(t)
	storetest.Answer(t, db, metal.PlanCheckRescue)
	starts := map[metal.Verb]metal.State{metal.VerbManage: metal.Enroll, metal.VerbProvide: metal.Manageable, metal.VerbClean: metal.Manageable,
		metal.VerbInspect: metal.Manageable, metal.VerbAdopt: metal.Manageable, metal.VerbActive: metal.Available, metal.VerbDeploy: metal.Available,
		metal.VerbRebuild: metal.Active, metal.VerbDeleted: metal.Active, metal.VerbUndeploy: metal.Active, metal.VerbService: metal.Active,
		metal.VerbRescue: metal.Active, metal.VerbUnrescue: metal.Rescue}
	for verb := range accepts {
		if starts[verb] == "" {
			t.Errorf("the verb %s has no state to start from here", verb)
		}
	}
	set := map[string]func(*metal.Node){
		"":            func(*metal.Node) {},
		"maintenance": func(n *metal.Node) { n.Maintenance = true },
		"protected":   func(n *metal.Node) { n.Protected = true },
		"retired":     func(n *metal.Node) { n.Retired = true },
	}
	for flag, change := range set {
		for verb := range accepts {
			n, err := s.CreateNode(t.Context(), caller, &metal.Node{Driver: "fake-hardware"})
			if err != nil {
				t.Fatal(err)
			}
			if err := db.Write(t.Context(), func(tx *store.Tx) error {
				n, err := tx.Node(n.UUID)
				if err != nil {
					return err
				}
				n.ProvisionState = starts[verb]
				change(n)
				return tx.SaveNode(n)
			}); err != nil {
				t.Fatal(err)
			}
			err = s.SetProvision(t.Context(), caller, n.UUID, Provision{Verb: verb, CleanSteps: oneStep(verb, metal.VerbClean),
				ServiceSteps: oneStep(verb, metal.VerbService), Rescue: byKey(verb)})
			want, refused := flagged[flag][verb]
			switch {
			case refused && (err == nil || fault.KindOf(err) != want):
				t.Errorf("%s of a node that is %s: %v, want kind %v", verb, flag, err, want)
			case !refused && err != nil:
				t.Errorf("%s of a node that is %q: %v", verb, flag, err)
			}
		}
	}
}

// TestWhereFlagsAreSet: a node becomes protected only while it has an instance, and retired in every state but available. One that
// is protected is not deleted.
func TestWhereFlagsAreSet(t *testing.T) {
	s, db := service(t)
	n := enrolled(t, s, "fake-hardware")
	for state, info := range metal.States {
		if !info.Patch {
			continue
		}
		set := func(protected, retired bool) error {
			force(t, db, n.UUID, state)
			_, err := s.UpdateNode(t.Context(), caller, n.UUID, []policy.Rule{"node:update"}, false, func(n *metal.Node) error {
				n.Protected, n.Retired = protected, retired
				return nil
			})
			return err
		}
		for flag, c := range map[string]struct {
			err     error
			refused bool
		}{"protected": {set(true, false), state != metal.Active && state != metal.Rescue}, "retired": {set(false, true), state == metal.Available}} {
			switch {
			case c.refused:
				wantKind(t, c.err, fault.Conflict)
			case c.err != nil:
				t.Errorf("%s in %s: %v", flag, state, c.err)
			}
		}
		if err := set(false, false); err != nil {
			t.Errorf("neither in %s: %v", state, err)
		}
	}
	if err := db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(n.UUID)
		if err != nil {
			return err
		}
		n.ProvisionState, n.Protected, n.Maintenance = metal.Active, true, true
		return tx.SaveNode(n)
	}); err != nil {
		t.Fatal(err)
	}
	wantKind(t, s.DeleteNode(t.Context(), caller, n.UUID), fault.Forbidden)
}
