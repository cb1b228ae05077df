package conductor

import (
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestWhatNobodyServesIsGivenUp: an operation whose driver is gone fails after the limit, by any server, says what it
// may leave behind, and not before the limit or while somebody serves the driver.
func TestWhatNobodyServesIsGivenUp(t *testing.T) {
	j := named(t, "provide")
	w := j.begin(t)
	w.silent = true
	w.untilItWaits(w.conductor("c1", nil))
	w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "operator") }) // it is due, and nobody comes
	w.write(func(tx *store.Tx) error { return tx.ForgetConductor("c1") })
	other := w.conductor("c2", nil)
	other.hardware = map[string]Hardware{"elsewhere": {Type: metal.HardwareType{Name: "elsewhere"}}}
	look := func(c *Conductor) *metal.Node {
		t.Helper()
		if _, err := c.failAbandoned(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		n, _ := w.state()
		return n
	}
	if n := look(other); n.ProvisionState != metal.CleanWait {
		t.Fatalf("given up before the limit: %q", n.ProvisionState)
	}
	other.config.AbandonLimit = 0 // what is due now has been long enough
	third := w.conductor("c3", nil)
	if err := third.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := look(other); n.ProvisionState != metal.CleanWait {
		t.Fatalf("given up while another serves it: %q", n.ProvisionState)
	}
	w.write(func(tx *store.Tx) error { return tx.ForgetConductor("c3") })
	n := look(other)
	if n.ProvisionState != metal.CleanFailed || n.Maintenance {
		t.Errorf("state %q, maintenance %v", n.ProvisionState, n.Maintenance)
	}
	for _, say := range []string{"no server has served driver test", `step "wait for agent"`, "boot medium may be in its drive"} {
		if !strings.Contains(n.LastError, say) {
			t.Errorf("last_error %q does not say %q", n.LastError, say)
		}
	}
}

// TestAnUnknownPlanWaitsForAServerThatKnowsIt and is given up after the limit.
func TestAnUnknownPlanWaitsForAServerThatKnowsIt(t *testing.T) {
	w := newWorld(t)
	w.node.ProvisionState = metal.Cleaning
	w.save()
	w.write(func(tx *store.Tx) error {
		return tx.CreateOperation(&store.Operation{UUID: "op-new", NodeID: w.node.ID, Exclusive: true, Plan: "clean", PlanVersion: 99,
			Record: []byte(`{"of_the_future":1}`), Driver: "test", StepName: "fly"})
	})
	c := w.conductor("c1", nil)
	w.untilItWaits(c)
	var o *store.Operation
	w.write(func(tx *store.Tx) (err error) { o, err = tx.LiveOperation(w.node.ID); return err })
	if o == nil || o.LeaseOwner != "" || string(o.Record) != `{"of_the_future":1}` || !strings.Contains(o.WaitingWhy, "version 99") {
		t.Fatalf("%+v", o)
	}
	c.config.AbandonLimit = time.Nanosecond
	w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "operator") })
	w.untilItWaits(c)
	if n, _ := w.state(); n.ProvisionState != metal.CleanFailed || !strings.Contains(n.LastError, "does not know version 99") {
		t.Errorf("state %q, last_error %q", n.ProvisionState, n.LastError)
	}
}

func named(t *testing.T, name string) journey {
	t.Helper()
	for _, j := range journeys {
		if j.name == name {
			return j
		}
	}
	t.Fatalf("no journey %q", name)
	return journey{}
}
