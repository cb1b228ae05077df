package conductor

import (
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestEveryStepHasALimit walks the steps of all plans, those composed for an operation too. Only a hold waits for as
// long as its people like.
func TestEveryStepHasALimit(t *testing.T) {
	c := Defaults()
	for name, p := range plans {
		op := &Op{row: &store.Operation{Plan: string(name)}, Node: &metal.Node{Interfaces: map[string]string{"deploy": "direct"}}}
		op.decide(&c, Part{})
		for _, by := range []string{byAgent, byDriver, byNobody} {
			op.Rec.Flow = append(op.Rec.Flow, flowStep{By: by, Step: metal.Step{Interface: "deploy", Step: "erase_devices", RebootRequested: true}})
		}
		for _, flow := range []string{metal.StepWait, metal.StepPowerOff, metal.StepPowerOn, metal.StepReboot, metal.StepHold} {
			op.Rec.Flow = append(op.Rec.Flow, flowStep{By: byFlow, Step: metal.Step{Interface: "power", Step: flow}})
		}
		for _, s := range p.stepsOf(op) {
			if limit := s.within(&c, op); limit <= 0 && !isHold(s) {
				t.Errorf("plan %q: step %q has no limit", name, s.name)
			}
		}
	}
}

// isHold: such a step has neither of the two.
func isHold(s step) bool {
	op := &Op{row: &store.Operation{}, Rec: record{Flow: []flowStep{{By: byFlow, Step: metal.Step{Interface: "power", Step: metal.StepHold}}}}}
	return s.limit == 0 && s.limitOf == nil && s.name[len(s.name)-len(metal.StepHold):] == metal.StepHold && len(op.flowSteps()) == 1
}

// TestZeroIsNever: an operator who wants no limit gets none, and the operation looks again all the same.
func TestZeroIsNever(t *testing.T) {
	w := journeyNamed("deploy").begin(t)
	w.silent = true
	c := w.conductor("c1", nil)
	c.config.DeployCallbackLimit = 0
	w.untilItWaits(c)
	w.write(func(tx *store.Tx) error {
		o, err := tx.LiveOperation(w.node.ID)
		if err == nil && (o.StepName != "wait for agent" || !o.StepLimit.IsZero() || o.DueAt.Before(time.Now()) || o.DueAt.After(time.Now().Add(2*time.Hour))) {
			t.Errorf("step %q, limit %s, due at %s", o.StepName, o.StepLimit, o.DueAt)
		}
		return err
	})
	w.silent = false
	w.run(c)
	if n, _ := w.state(); n.ProvisionState != metal.Active {
		t.Errorf("%s: %s", n.ProvisionState, n.LastError)
	}
}
