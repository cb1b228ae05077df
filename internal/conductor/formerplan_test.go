package conductor

import (
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
		o := w.live()
		o.PlanVersion = 5
		w.write(func(tx *store.Tx) error { return tx.SaveOperation(o) })
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
