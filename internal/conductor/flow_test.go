package conductor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestHeldAndAborted: every plan that is held stays so, with its target, without limit; an abort ends it, leaves
// nothing attached and sets no maintenance. An instance that service stopped runs again.
func TestHeldAndAborted(t *testing.T) {
	for _, c := range []struct {
		journey    string
		held, then metal.State
		target     metal.State
		on         bool
	}{
		{"clean by hand", metal.CleanHold, metal.CleanFailed, metal.Manageable, false},
		{"deploy with steps", metal.DeployHold, metal.DeployFailed, metal.Active, false},
		{"service", metal.ServiceHold, metal.Active, metal.Active, true},
	} {
		t.Run(c.journey, func(t *testing.T) {
			w := named(t, c.journey).begin(t)
			defer w.close()
			cond := w.conductor("c1", nil)
			w.runUntil(cond, func(n *metal.Node) bool { return n.ProvisionState == c.held })
			n, _ := w.state()
			if n.TargetProvisionState != c.target || (*fieldOf(n, kinds[named(t, c.journey).plan]))["step"] != "hold" {
				t.Errorf("held: target %q, step %v", n.TargetProvisionState, *fieldOf(n, kinds[named(t, c.journey).plan]))
			}
			var o *store.Operation
			w.write(func(tx *store.Tx) (err error) { o, err = tx.LiveOperation(n.ID); return err })
			if !o.StepLimit.IsZero() || time.Until(o.DueAt) < 24*time.Hour || o.LeaseOwner != "" {
				t.Errorf("a hold has a limit %v, is due %v, is held by %q", o.StepLimit, o.DueAt, o.LeaseOwner)
			}
			w.write(func(tx *store.Tx) error { return tx.AskAbort(n.ID, "operator") })
			w.run(cond)
			n, a := w.state()
			if n.ProvisionState != c.then || n.Maintenance || !strings.Contains(n.LastError, "aborted by request of operator") {
				t.Errorf("aborted: %q, maintenance %v, last_error %q", n.ProvisionState, n.Maintenance, n.LastError)
			}
			if w.media != "" || a != nil || w.on != c.on {
				t.Errorf("left behind: media %q, agent %v, on %v", w.media, a != nil, w.on)
			}
		})
	}
}

// TestAStepThatMustEndIsNotStopped: an abort waits for the end of such a step, and the next does not begin.
func TestAStepThatMustEndIsNotStopped(t *testing.T) {
	w := newWorld(t)
	defer w.close()
	w.node.ProvisionState = metal.Manageable
	w.save()
	w.ask(metal.PlanManual, metal.EventClean, `{"ask":{"steps":[{"interface":"deploy","step":"update_nic"},{"interface":"deploy","step":"erase_devices"}]}}`)
	cond := w.conductor("c1", nil)
	w.runUntil(cond, func(n *metal.Node) bool {
		return n.CleanStep["step"] == "update_nic" && w.counters["step update_nic"] == 1
	})
	w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "operator") })
	w.run(cond)
	n, _ := w.state()
	if n.ProvisionState != metal.CleanFailed || !strings.Contains(n.LastError, "aborted") || w.disk != "user data" || w.on || w.media != "" {
		t.Errorf("%q, %q, disk %q, on %v, media %q", n.ProvisionState, n.LastError, w.disk, w.on, w.media)
	}
	var told []metal.HistoryEvent
	w.write(func(tx *store.Tx) (err error) { told, err = tx.Events(n, store.Page{Limit: 1000}); return err })
	if !slices.ContainsFunc(told, func(e metal.HistoryEvent) bool {
		return strings.Contains(e.Why, "Clean step deploy.update_nic is done")
	}) {
		t.Error("the step was stopped in the middle")
	}
}

// TestVersionsThatChange: automated cleaning begins anew, a caller's list runs its current step again.
func TestVersionsThatChange(t *testing.T) {
	for _, c := range []struct {
		journey string
		begun   string // the step after whose first command the agent's parts change
		want    map[string]int
	}{
		{"provide", "step erase_devices_metadata", map[string]int{"step erase_devices_metadata": 2, "step erase_devices": 1, "power power on": 1}},
		{"clean by hand, power", "step erase_devices", map[string]int{"step erase_devices": 2}},
	} {
		t.Run(c.journey, func(t *testing.T) {
			j := named(t, c.journey)
			w := j.begin(t)
			defer w.close()
			cond := w.conductor("c1", nil)
			w.runUntil(cond, func(*metal.Node) bool { return w.counters[c.begun] == 1 })
			w.mu.Lock()
			w.versions = "2"
			w.mu.Unlock()
			w.run(cond)
			j.arrived(t, w, "after the change")
			for what, n := range c.want {
				if w.counters[what] != n {
					t.Errorf("%s: %d times, want %d (%v)", what, w.counters[what], n, w.counters)
				}
			}
		})
	}
}

// runUntil works until the node is as wanted.
func (w *world) runUntil(c *Conductor, wanted func(*metal.Node) bool) {
	w.t.Helper()
	for range 2000 {
		if n, _ := w.state(); wanted(n) {
			return
		}
		w.callBack()
		row, err := c.claim(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if row != nil {
			c.work(w.t.Context(), row, time.Now())
		}
	}
	n, _ := w.state()
	w.t.Fatalf("the node never came where it was wanted: it is %q, %q", n.ProvisionState, n.LastError)
}
