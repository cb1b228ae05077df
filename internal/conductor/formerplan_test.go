package conductor

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestADeploymentOfTheFormerPlanGoesOn: an operation that a server without OS definitions began is ended by one that has them, wherever
// the first died; of a plan before that nobody knows the steps.
func TestADeploymentOfTheFormerPlanGoesOn(t *testing.T) {
	j := named(t, "deploy")
	for at := 0; ; at += 7 {
		w := newWorld(t)
		w.node.Interfaces["deploy"] = metal.DeployOS
		j.start(w)
		w.ofPlan(5)
		died := w.dieAt(at)
		if n, _ := w.state(); n.ProvisionState != metal.Active || n.LastError != "" || w.disk != j.disk || n.InternalInfo[metal.ExecutionModeKey] != nil {
			t.Errorf("killed at %d: state %q (%s), disk %q", at, n.ProvisionState, n.LastError, w.disk)
		}
		w.close()
		if !died {
			break
		}
	}
	if metal.PlanDeploy.Knows(4) || metal.PlanDeploy.Knows(7) || metal.PlanClean.Knows(metal.PlanClean.Version()-1) {
		t.Error("a plan is known whose steps are others")
	}
}

// TestAServiceOfTheFormerPlanGoesOn likewise: a service that began before there were exports and renames is ended where they are known. One
// that is of a plan to come waits for a server that knows it, and nothing is done to its machine: so does an export at a server without them.
func TestAServiceOfTheFormerPlanGoesOn(t *testing.T) {
	j := named(t, "service")
	for at := 0; ; at += 11 {
		w := newWorld(t)
		j.start(w)
		w.ofPlan(2)
		died := w.dieAt(at)
		if n, _ := w.state(); n.ProvisionState != metal.Active || n.LastError != "" || w.disk != j.disk {
			t.Errorf("killed at %d: state %q (%s), disk %q", at, n.ProvisionState, n.LastError, w.disk)
		}
		w.close()
		if !died {
			break
		}
	}
	if metal.PlanService.Version() != 3 || metal.PlanService.Knows(1) || metal.PlanService.Knows(4) || metal.PlanClean.Knows(2) {
		t.Error("a plan is known whose steps are others")
	}
	w := osWorld(t, "export")
	w.ofPlan(metal.PlanService.Version() + 1)
	w.untilItWaits(w.conductor("c1", nil))
	if o := w.live(); o == nil || !strings.Contains(o.WaitingWhy, `a server that knows version 4 of plan "service"`) || len(w.counters) != 0 {
		t.Errorf("of a plan to come: %+v, %v", o, w.counters)
	}
}

// ofPlan makes the world's operation one of another version of its plan.
func (w *world) ofPlan(version int) {
	w.t.Helper()
	o := w.live()
	o.PlanVersion = version
	w.write(func(tx *store.Tx) error { return tx.SaveOperation(o) })
}
