package conductor

import (
	"testing"

	"ingot/internal/metal"
)

// TestRetiredIsNotOfferedAgain: a retired node that is cleaned after its instance comes to rest in manageable.
func TestRetiredIsNotOfferedAgain(t *testing.T) {
	t.Parallel()
	for _, retired := range []bool{false, true} {
		w := newWorld(t)
		w.node.ProvisionState, w.node.Retired = metal.Active, retired
		w.save()
		c := w.conductor("c1", nil)
		w.ask(metal.PlanTearDown, metal.EventDelete, "{}")
		w.run(c)
		want := metal.Available
		if retired {
			want = metal.Manageable
		}
		if n, _ := w.state(); n.ProvisionState != want || n.LastError != "" {
			t.Errorf("retired %v: %s, %s", retired, n.ProvisionState, n.LastError)
		}
	}
}
