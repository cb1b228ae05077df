package ops

import (
	"fmt"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// thoseIn makes nodes of fake-hardware in a state.
func thoseIn(t *testing.T, s *Service, db *store.DB, in metal.State, n int) (out []string) {
	t.Helper()
	for range n {
		made, err := s.CreateNode(t.Context(), caller, &metal.Node{Driver: "fake-hardware"})
		if err != nil {
			t.Fatal(err)
		}
		force(t, db, made.UUID, in)
		out = append(out, made.UUID)
	}
	return out
}

func slotsOf(t *testing.T, db *store.DB, slot metal.Slot) (u store.SlotUse) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *store.Tx) (err error) { u, err = tx.SlotUse(slot); return err }); err != nil {
		t.Fatal(err)
	}
	return u
}

// TestTrapSomeVerbsAreUnlimited: which verbs count, among which, and that the one too many is refused and leaves nothing behind.
func TestTrapSomeVerbsAreUnlimited(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		verb  metal.Verb
		in    metal.State
		slot  metal.Slot
		clean *bool // of the node
	}{
		{metal.VerbActive, metal.Available, metal.SlotDeploy, nil}, {metal.VerbDeploy, metal.DeployFailed, metal.SlotDeploy, nil}, {metal.VerbRebuild, metal.Active, metal.SlotDeploy, nil},
		{metal.VerbProvide, metal.Manageable, metal.SlotClean, nil}, {metal.VerbProvide, metal.Manageable, metal.SlotClean, &yes}, {metal.VerbProvide, metal.Manageable, "", &no},
		{metal.VerbClean, metal.Manageable, metal.SlotClean, nil}, {metal.VerbClean, metal.Manageable, metal.SlotClean, &no}, {metal.VerbService, metal.Active, metal.SlotClean, nil},
		{metal.VerbDeleted, metal.Active, metal.SlotClean, nil}, {metal.VerbUndeploy, metal.Error, metal.SlotClean, &no}, {metal.VerbDeleted, metal.RescueFailed, metal.SlotClean, nil},
		{metal.VerbManage, metal.Enroll, "", nil}, {metal.VerbInspect, metal.Manageable, "", nil}, {metal.VerbAdopt, metal.Manageable, "", nil},
		{metal.VerbUnrescue, metal.Rescue, "", nil},
	} {
		s, db := service(t)
		s.config.Slots = metal.SlotLimits{metal.SlotDeploy: 1, metal.SlotClean: 1}
		nodes := thoseIn(t, s, db, c.in, 2)
		ask := func(node string) error {
			err := db.Write(t.Context(), func(tx *store.Tx) error {
				n, err := tx.Node(node)
				if err != nil {
					return err
				}
				n.AutomatedClean = c.clean
				return tx.SaveNode(n)
			})
			if err != nil {
				t.Fatal(err)
			}
			return s.SetProvision(t.Context(), caller, node, Provision{Verb: c.verb, CleanSteps: oneStep(c.verb, metal.VerbClean), ServiceSteps: oneStep(c.verb, metal.VerbService)})
		}
		if err := ask(nodes[0]); err != nil {
			t.Errorf("%s: %v", c.verb, err)
		}
		err := ask(nodes[1])
		if c.slot == "" {
			if err != nil || slotsOf(t, db, metal.SlotDeploy).Held+slotsOf(t, db, metal.SlotClean).Held != 0 {
				t.Errorf("%s takes a slot: %v", c.verb, err)
			}
			continue
		}
		wantKind(t, err, fault.Full)
		if err != nil && (!strings.Contains(err.Error(), "max_concurrent_"+string(c.slot)) || !strings.Contains(err.Error(), ": 1 of 1 (")) {
			t.Errorf("%s: %v", c.verb, err)
		}
		if got := slotsOf(t, db, c.slot); got != (store.SlotUse{Held: 1}) {
			t.Errorf("%s: %v", c.verb, got)
		}
		n, err := s.Node(t.Context(), caller, nodes[1], "node:get")
		if err != nil || n.ProvisionState != c.in || n.Reservation != "" {
			t.Errorf("%s: the refused node is %s: %v", c.verb, n.ProvisionState, err)
		}
	}
}

// TestStandingInLine: who is let into the line shows that it waits and why, and may leave it.
func TestStandingInLine(t *testing.T) {
	s, db := service(t)
	s.config.Slots, s.config.QueueWhenFull = metal.SlotLimits{metal.SlotDeploy: 1, metal.SlotClean: 5}, true
	nodes := thoseIn(t, s, db, metal.Available, 4)
	for i, node := range nodes {
		if err := s.SetProvision(t.Context(), caller, node, Provision{Verb: metal.VerbActive}); err != nil {
			t.Fatal(err)
		}
		n, err := s.Node(t.Context(), caller, node, "node:get")
		if want := map[bool]metal.State{true: metal.Deploying, false: metal.DeployWait}[i == 0]; err != nil || n.ProvisionState != want || n.TargetProvisionState != metal.Active {
			t.Errorf("node %d: %s: %v", i, n.ProvisionState, err)
		}
	}
	for i, want := range []string{1: "nobody waits before it. Deployments under way: 1 of 1 ([conductor] max_concurrent_deploy); 3 wait for a turn.", 2: "1 waits before it", 3: "2 wait before it"} {
		why, err := s.Why(t.Context(), caller, nodes[i])
		if err != nil || !strings.Contains(why.Next, want) || i > 0 && (why.WaitingFor != "one of the running deployments to end" || why.Step != store.StepInLine) {
			t.Errorf("node %d: %+v %v", i, why, err)
		}
	}
	if err := s.SetProvision(t.Context(), caller, nodes[1], Provision{Verb: metal.VerbAbort}); err != nil { // its conductor ends it
		t.Error(err)
	}
	if err := s.SetProvision(t.Context(), caller, nodes[2], Provision{Verb: metal.VerbDeleted}); err != nil { // it leaves the line at once
		t.Error(err)
	}
	if got, clean := slotsOf(t, db, metal.SlotDeploy), slotsOf(t, db, metal.SlotClean); got != (store.SlotUse{Held: 1, InLine: 2}) || clean != (store.SlotUse{Held: 1}) {
		t.Errorf("%v %v", got, clean)
	}
	_ = db.Write(t.Context(), func(tx *store.Tx) error { return tx.Supersede(1, "it is over") })
	late := thoseIn(t, s, db, metal.Available, 1)[0]
	if err := s.SetProvision(t.Context(), caller, late, Provision{Verb: metal.VerbActive}); err != nil {
		t.Fatal(err)
	}
	if why, err := s.Why(t.Context(), caller, late); err != nil || why.Step != store.StepInLine {
		t.Errorf("who came last passed the line: %+v %v", why, err)
	}
}

// TestTheDoctorSeesFullSlots.
func TestTheDoctorSeesFullSlots(t *testing.T) {
	for _, c := range []struct {
		use   store.SlotUse
		level metal.Level
		said  string
	}{{store.SlotUse{Held: 4}, metal.Fine, "Deployments under way: 4 of 5 ([conductor] max_concurrent_deploy)."},
		{store.SlotUse{Held: 5}, metal.Warn, "5 of 5"}, {store.SlotUse{Held: 5, InLine: 3}, metal.Warn, "; 3 wait for a turn."}} {
		f := slotFinding(metal.SlotDeploy, c.use, 5)
		if f.Level != c.level || !strings.Contains(f.Said, c.said) || (f.Do == "") != (c.level == metal.Fine) {
			t.Errorf("%v: %+v", c.use, f)
		}
	}
	s, _ := service(t)
	var found []string
	for _, f := range s.examine(t.Context()) {
		found = append(found, f.Check)
	}
	if all := fmt.Sprint(found); !strings.Contains(all, "limit deploy") || !strings.Contains(all, "limit clean") {
		t.Error(all)
	}
}
