package conductor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

func (w *world) slots(slot metal.Slot) (u store.SlotUse) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) (err error) { u, err = tx.SlotUse(slot); return err })
	if err != nil {
		w.t.Fatal(err)
	}
	return u
}

// askInLine writes an operation that stands in line, and what its node shows, as ops does.
func (w *world) askInLine(p metal.Plan, e metal.Event) {
	w.t.Helper()
	w.ask(p, e, "{}")
	o := w.live()
	o.InLine(p.Slot(), time.Now())
	w.write(func(tx *store.Tx) error {
		n, err := tx.NodeByID(o.NodeID)
		if err != nil {
			return err
		}
		n.ProvisionState, _ = metal.Next(n.ProvisionState, metal.EventWait)
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		return errors.Join(tx.SaveOperation(o), tx.QueueOperation(o))
	})
}

// TestTheTurnComes: an operation in line is not touched until a slot is free, goes through its whole plan then, and frees the slot.
func TestTheTurnComes(t *testing.T) {
	onEach(t, func(t *testing.T) {
		w := newWorld(t)
		w.node.ProvisionState = metal.Manageable
		w.save()
		w.tune = func(c *Config) { c.Slots = metal.SlotLimits{metal.SlotClean: 1, metal.SlotDeploy: 0} }
		c := w.conductor("c1", nil)
		w.askInLine(metal.PlanClean, metal.EventProvide)
		if row, err := c.claim(t.Context()); row != nil || err != nil {
			t.Fatalf("it was claimed: %v %v", row, err)
		}
		if _, line := c.untilDue(t.Context()); !line {
			t.Error("nobody sees the line")
		}
		c.grantSlots(t.Context())
		if got := w.slots(metal.SlotClean); got != (store.SlotUse{Held: 1}) {
			t.Fatalf("%v", got)
		}
		w.run(c)
		n, _ := w.state()
		if n.ProvisionState != metal.Available || w.disk != "erased" {
			t.Errorf("%s, %q: %s", n.ProvisionState, w.disk, n.LastError)
		}
		if got := w.slots(metal.SlotClean); got != (store.SlotUse{}) {
			t.Errorf("afterwards: %v", got)
		}
	})
}

// TestOutOfTheLine: who is stopped in line ends without having touched the machine, and no slot is granted to it.
func TestOutOfTheLine(t *testing.T) {
	w := newWorld(t)
	w.node.ProvisionState = metal.Available
	w.save()
	c := w.conductor("c1", nil)
	w.askInLine(metal.PlanDeploy, metal.EventDeploy)
	w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "somebody") })
	c.grantSlots(t.Context())
	if got := w.slots(metal.SlotDeploy); got.Held != 0 {
		t.Errorf("%v", got)
	}
	w.run(c)
	n, _ := w.state()
	if n.ProvisionState != metal.DeployFailed || len(w.counters) != 0 || !strings.Contains(n.LastError, store.StepInLine) || n.Maintenance {
		t.Errorf("%s, %v: %s", n.ProvisionState, w.counters, n.LastError)
	}
}

// TestATearDownHandsItsSlotOn: the cleaning has it in the same transaction, so that nobody can come between; a tear down of an older
// server, which has none, sends its cleaning to the line and never past it.
func TestATearDownHandsItsSlotOn(t *testing.T) {
	for _, had := range []bool{true, false} {
		w := newWorld(t)
		w.node.ProvisionState = metal.Active
		w.save()
		w.tune = func(c *Config) { c.Slots = metal.SlotLimits{metal.SlotClean: 1} }
		w.slotless = !had
		w.ask(metal.PlanTearDown, metal.EventDelete, "{}")
		c := w.conductor("c1", nil)
		for w.live() != nil && w.live().Plan == string(metal.PlanTearDown) {
			w.work(c)
		}
		cleaning := w.live()
		if cleaning == nil || cleaning.Plan != string(metal.PlanClean) || cleaning.Slot != metal.SlotClean || cleaning.Queued == had {
			t.Fatalf("had %v: %+v", had, cleaning)
		}
		if n, _ := w.state(); !had && n.ProvisionState != metal.CleanWait {
			t.Errorf("in line it shows %s", n.ProvisionState)
		}
		c.grantSlots(t.Context())
		w.run(c)
		if n, _ := w.state(); n.ProvisionState != metal.Available || w.disk != "erased" {
			t.Errorf("had %v: %s %q: %s", had, n.ProvisionState, w.disk, n.LastError)
		}
	}
}

// TestCleaningWithoutASlotGetsOne: a server that thinks that nothing is cleaned accepts without a slot what another cleans.
func TestCleaningWithoutASlotGetsOne(t *testing.T) {
	w := newWorld(t)
	w.node.ProvisionState = metal.Manageable
	w.save()
	w.tune = func(c *Config) { c.Slots = metal.SlotLimits{metal.SlotClean: 1} }
	w.slotless = true
	w.ask(metal.PlanClean, metal.EventProvide, "{}")
	c := w.conductor("c1", nil)
	w.work(c)
	n, _ := w.state()
	if o := w.live(); !o.Queued || o.Slot != metal.SlotClean || n.ProvisionState != metal.CleanWait {
		t.Fatalf("%+v, %s", o, n.ProvisionState)
	}
	c.grantSlots(t.Context())
	w.run(c)
	if n, _ = w.state(); n.ProvisionState != metal.Available || w.disk != "erased" {
		t.Errorf("%s %q: %s", n.ProvisionState, w.disk, n.LastError)
	}
}

// work is one claim and what comes of it.
func (w *world) work(c *Conductor) {
	w.t.Helper()
	row, err := c.claim(w.t.Context())
	if err != nil || row == nil {
		w.t.Fatalf("claimed %v: %v", row, err)
	}
	c.work(w.t.Context(), row, time.Now())
}

// TestRunServesTheLine: a conductor that runs gives the slot of what ended to what waits, by itself.
func TestRunServesTheLine(t *testing.T) {
	onEach(t, func(t *testing.T) {
		w := newWorld(t)
		w.node.ProvisionState, w.node.AutomatedClean = metal.Manageable, new(bool)
		w.save()
		w.tune = func(c *Config) { c.Slots = metal.SlotLimits{metal.SlotClean: 1} }
		var holder int64
		w.write(func(tx *store.Tx) error {
			n := &metal.Node{UUID: "22222222-2222-4222-8222-222222222222", Driver: "nobody's", ProvisionState: metal.Cleaning}
			if err := tx.CreateNode(n); err != nil {
				return err
			}
			holder = n.ID
			return tx.CreateOperation(&store.Operation{UUID: "holder", NodeID: n.ID, Exclusive: true, Plan: "clean", Driver: "nobody's", Slot: metal.SlotClean})
		})
		w.askInLine(metal.PlanClean, metal.EventProvide)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- w.conductor("c1", nil).Run(ctx) }()
		defer func() { stop(); <-ended }()
		if got := w.slots(metal.SlotClean); got != (store.SlotUse{Held: 1, InLine: 1}) {
			t.Fatalf("%v", got)
		}
		w.write(func(tx *store.Tx) error { return tx.Supersede(holder, "over") })
		for w.live() != nil {
			select {
			case <-w.db.Changed():
			case <-time.After(10 * time.Millisecond):
			}
		}
		if n, _ := w.state(); n.ProvisionState != metal.Available {
			t.Errorf("%s: %s", n.ProvisionState, n.LastError)
		}
	})
}
