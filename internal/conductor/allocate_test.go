package conductor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

// freeFor is a node that may be allocated.
func freeFor(class string, change ...func(*metal.Node)) func(*metal.Node) {
	return func(n *metal.Node) {
		n.UUID, n.ProvisionState, n.PowerState, n.ResourceClass = uuid.NewString(), metal.Available, metal.PowerOff, class
		for _, f := range change {
			f(n)
		}
	}
}

// want makes an allocation that is due.
func want(t *testing.T, db *store.DB, a *metal.Allocation) *metal.Allocation {
	t.Helper()
	a.UUID, a.State = uuid.NewString(), metal.Allocating
	err := db.Write(t.Context(), func(tx *store.Tx) (err error) {
		a.CreatedAt, err = tx.Now()
		a.DueAt = a.CreatedAt
		return errors.Join(err, tx.CreateAllocation(a))
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func allocationNow(t *testing.T, db *store.DB, a *metal.Allocation) (now *metal.Allocation) {
	t.Helper()
	if err := db.Read(t.Context(), func(tx *store.Tx) (err error) { now, err = tx.Allocation(a.UUID); return err }); err != nil {
		t.Fatal(err)
	}
	return now
}

func TestAllocate(t *testing.T) { storetest.Each(t, testAllocate) }

func testAllocate(t *testing.T, open func() *store.DB) {
	db := open()
	c := newRack().conductor(db, "c1")
	for name, change := range map[string]func(*metal.Node){
		"a1": freeFor("a"), "a22": freeFor("a"), "a333": freeFor("a"),
		"b1":       freeFor("b", func(n *metal.Node) { n.Maintenance = true }),
		"b22":      freeFor("b", func(n *metal.Node) { n.PowerState = "" }),
		"b333":     freeFor("b", func(n *metal.Node) { n.ProvisionState = metal.Manageable }),
		"b4444":    freeFor("b", func(n *metal.Node) { n.InstanceUUID = uuid.NewString() }),
		"b55555":   freeFor("b", func(n *metal.Node) { n.Retired = true }),
		"c1":       freeFor("c", func(n *metal.Node) { n.Owner = "p1" }),
		"c22":      freeFor("c", func(n *metal.Node) { n.Lessee = "p2" }),
		"trait-1":  freeFor("t"),
		"trait-22": freeFor("t"),
	} {
		n := addTo(t, db, name, func(n *metal.Node) {
			change(n)
			n.InstanceInfo = secret.NewMap(map[string]any{"kept": "yes"})
		})
		if name == "trait-22" {
			if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.SetTraits(n.ID, []string{"CUSTOM_X", "CUSTOM_Y"}) }); err != nil {
				t.Fatal(err)
			}
		}
	}
	a1 := nodeAt(t, db, "a1").UUID
	for _, c1 := range []struct {
		name string
		a    metal.Allocation
		got  string // name of the node; "" for none
		says string
	}{
		{"the node of its name", metal.Allocation{Name: "a22", ResourceClass: "a"}, "a22", ""},
		{"the candidate", metal.Allocation{ResourceClass: "a", CandidateNodes: []string{a1}}, "a1", ""},
		{"the candidate is gone", metal.Allocation{ResourceClass: "a", CandidateNodes: []string{a1}}, "", "among the candidate nodes"},
		{"what is left", metal.Allocation{ResourceClass: "a"}, "a333", ""},
		{"none is left", metal.Allocation{ResourceClass: "a"}, "", "none of the 3 nodes with resource class a is available"},
		{"all are unfit", metal.Allocation{ResourceClass: "b"}, "", "none of the 5 nodes"},
		{"no such class", metal.Allocation{ResourceClass: "z"}, "", "no node has resource class z"},
		{"nobody's of that class", metal.Allocation{ResourceClass: "c", Owner: "p3"}, "", "no node has resource class c and project p3"},
		{"the owner's", metal.Allocation{ResourceClass: "c", Owner: "p1"}, "c1", ""},
		{"the lessee's", metal.Allocation{ResourceClass: "c", Owner: "p2"}, "c22", ""},
		{"too many traits", metal.Allocation{ResourceClass: "t", Traits: []string{"CUSTOM_X", "CUSTOM_Z"}}, "", "all of the traits CUSTOM_X, CUSTOM_Z"},
		{"both traits", metal.Allocation{ResourceClass: "t", Traits: []string{"CUSTOM_Y", "CUSTOM_X"}}, "trait-22", ""},
	} {
		a := want(t, db, &c1.a)
		c.allocateAll(t.Context())
		a = allocationNow(t, db, a)
		if c1.got == "" {
			if a.State != metal.AllocationError || a.NodeID != 0 || !strings.Contains(a.LastError, c1.says) {
				t.Errorf("%s: %s %q", c1.name, a.State, a.LastError)
			}
			continue
		}
		n := nodeAt(t, db, c1.got)
		if a.State != metal.Allocated || a.NodeUUID != n.UUID || n.InstanceUUID != a.UUID || n.AllocationUUID != a.UUID || a.LastError != "" {
			t.Errorf("%s: %+v; the node has instance %s, allocation %s", c1.name, a, n.InstanceUUID, n.AllocationUUID)
		}
		info := n.InstanceInfo.Expose()
		if fmt.Sprint(info["traits"]) != fmt.Sprint(a.Traits) || info["kept"] != "yes" {
			t.Errorf("%s: instance_info %v", c1.name, info)
		}
	}
}

// TestAllocateWaitsForWhoIsBusy: a node that is held by an operation is waited for, but not for ever.
func TestAllocateWaitsForWhoIsBusy(t *testing.T) { storetest.Each(t, testAllocateBusy) }

func testAllocateBusy(t *testing.T, open func() *store.DB) {
	db := open()
	c := newRack().conductor(db, "c1")
	n := addTo(t, db, "n1", freeFor("a"))
	busy := &store.Operation{UUID: uuid.NewString(), NodeID: n.ID, Exclusive: true, Plan: string(metal.PlanPower), Driver: "test"}
	first, second := want(t, db, &metal.Allocation{ResourceClass: "a"}), want(t, db, &metal.Allocation{ResourceClass: "a"})
	write := func(f func(*store.Tx) error) {
		t.Helper()
		if err := db.Write(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	write(func(tx *store.Tx) error { return tx.CreateOperation(busy) })
	c.allocateAll(t.Context())
	if a := allocationNow(t, db, first); a.State != metal.Allocating || a.DueAt.IsZero() || a.GiveUpAt.IsZero() {
		t.Fatalf("beside an operation: %+v", a)
	}
	write(func(tx *store.Tx) error { // as if it had waited long
		a, err := tx.HoldAllocation(second)
		a.GiveUpAt, a.DueAt = a.CreatedAt.AddDate(-1, 0, 0), a.CreatedAt
		return errors.Join(err, tx.SaveAllocation(a))
	})
	c.allocateAll(t.Context())
	if a := allocationNow(t, db, second); a.State != metal.AllocationError || !strings.Contains(a.LastError, "held by other operations") {
		t.Errorf("after a long wait: %s %q", a.State, a.LastError)
	}
	write(func(tx *store.Tx) error {
		busy.Status = store.Done
		return errors.Join(tx.SaveOperation(busy), tx.PostponeAllocation(first.ID, -allocationRetry))
	})
	c.allocateAll(t.Context())
	if a := allocationNow(t, db, first); a.State != metal.Allocated || a.NodeUUID != n.UUID {
		t.Errorf("after the operation: %+v", a)
	}
}

// TestAllocateRace: several conductors, two of a name among them, give every node once and nobody two.
func TestAllocateRace(t *testing.T) { storetest.Each(t, testAllocateRace) }

func testAllocateRace(t *testing.T, open func() *store.DB) {
	const nodes, wants, servers = 12, 30, 3
	db := open()
	for i := range nodes {
		addTo(t, db, strings.Repeat("n", i+1), freeFor("a"))
	}
	all := make([]*metal.Allocation, wants)
	for i := range all {
		all[i] = want(t, db, &metal.Allocation{ResourceClass: "a"})
	}
	others := make([]*store.DB, servers)
	for i := range others {
		others[i] = open()
	}
	var work sync.WaitGroup
	for i, own := range others {
		c := newRack().conductor(own, fmt.Sprint("c", i))
		for range 2 { // a process of the same name that is not known to be dead is as good as another
			work.Go(func() {
				for ended := false; !ended && t.Context().Err() == nil; {
					c.allocateAll(t.Context())
					ended = nothingDue(t, own, all)
				}
			})
		}
	}
	work.Wait()
	given := map[string]string{}
	failed := 0
	for _, a := range all {
		a = allocationNow(t, db, a)
		switch {
		case a.State == metal.AllocationError:
			failed++
		case a.State != metal.Allocated:
			t.Errorf("allocation %s is %s", a.UUID, a.State)
		case given[a.NodeUUID] != "":
			t.Errorf("node %s was given to %s and %s", a.NodeUUID, given[a.NodeUUID], a.UUID)
		default:
			given[a.NodeUUID] = a.UUID
		}
	}
	if len(given) != nodes || failed != wants-nodes {
		t.Errorf("%d nodes were given, %d allocations failed; want %d and %d", len(given), failed, nodes, wants-nodes)
	}
	for i := range nodes {
		n := nodeAt(t, db, strings.Repeat("n", i+1))
		if n.InstanceUUID != given[n.UUID] || n.AllocationUUID != given[n.UUID] {
			t.Errorf("node %s has instance %s and allocation %s, and was given to %s", n.UUID, n.InstanceUUID, n.AllocationUUID, given[n.UUID])
		}
	}
}

// nothingDue makes every allocation that waits due now, and tells whether there was none.
func nothingDue(t *testing.T, db *store.DB, all []*metal.Allocation) bool {
	waiting := false
	err := db.Write(t.Context(), func(tx *store.Tx) error {
		found, err := tx.Allocations(store.AllocationFilter{State: metal.Allocating}, store.Page{})
		for _, a := range found {
			waiting = true
			err = errors.Join(err, tx.PostponeAllocation(a.ID, -allocationRetry))
		}
		return err
	})
	if err != nil {
		t.Error(err)
		return true
	}
	return !waiting || len(all) == 0
}

// TestAllocateSurvivesDeath: a conductor that dies after it gave a node and before it committed leaves nothing, and another
// gives a node at once: there is no lease to wait for.
func TestAllocateSurvivesDeath(t *testing.T) { storetest.Each(t, testAllocateSurvivesDeath) }

func testAllocateSurvivesDeath(t *testing.T, open func() *store.DB) {
	db := open()
	addTo(t, db, "n1", freeFor("a"))
	a := want(t, db, &metal.Allocation{ResourceClass: "a"})
	ctx, kill := context.WithCancel(t.Context())
	dying := newRack().conductor(open(), "c1")
	dying.crash = func(string) error { kill(); return errors.New("killed") }
	dying.allocateAll(ctx)
	if now, n := allocationNow(t, db, a), nodeAt(t, db, "n1"); now.State != metal.Allocating || now.NodeID != 0 || n.InstanceUUID != "" {
		t.Fatalf("the dead one left %+v, and the node's instance %q", now, n.InstanceUUID)
	}
	newRack().conductor(open(), "c2").allocateAll(t.Context())
	if now, n := allocationNow(t, db, a), nodeAt(t, db, "n1"); now.State != metal.Allocated || n.InstanceUUID != a.UUID {
		t.Errorf("the heir left %+v, and the node's instance %q", now, n.InstanceUUID)
	}
}

// TestForgetInstance: what came with an instance leaves with it.
func TestForgetInstance(t *testing.T) { storetest.Each(t, testForgetInstance) }

func testForgetInstance(t *testing.T, open func() *store.DB) {
	db := open()
	c := newRack().conductor(db, "c1")
	for _, automatic := range []bool{true, false} {
		name := fmt.Sprint("n-", automatic)
		addTo(t, db, name, freeFor("a", func(n *metal.Node) {
			n.Lessee, n.InternalInfo = "p1", map[string]any{}
			if automatic {
				n.InternalInfo[metal.AutomaticLessee] = true
			}
		}))
		a := want(t, db, &metal.Allocation{ResourceClass: "a"})
		c.allocateAll(t.Context())
		op := &Op{}
		if _, err := (&runner{c: c}).forgetInstance(t.Context(), op); err != nil {
			t.Fatal(err)
		}
		err := db.Write(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(name)
			if err != nil {
				return err
			}
			for _, change := range op.changes {
				err = errors.Join(err, change(tx, n))
			}
			return errors.Join(err, tx.SaveNode(n))
		})
		if err != nil {
			t.Fatal(err)
		}
		n := nodeAt(t, db, name)
		if n.InstanceUUID != "" || n.AllocationUUID != "" || len(n.InstanceInfo.Expose()) > 0 || (n.Lessee == "") != automatic || n.InternalInfo[metal.AutomaticLessee] != nil {
			t.Errorf("automatic %v: %+v", automatic, n)
		}
		var left []*metal.Allocation
		if err := db.Read(t.Context(), func(tx *store.Tx) (err error) {
			left, err = tx.Allocations(store.AllocationFilter{}, store.Page{})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(left, func(l *metal.Allocation) bool { return l.UUID == a.UUID }) {
			t.Error("the allocation is still there")
		}
		if err := db.Write(t.Context(), func(tx *store.Tx) error { return tx.DeleteNode(n.ID) }); err != nil {
			t.Fatal(err)
		}
	}
}
