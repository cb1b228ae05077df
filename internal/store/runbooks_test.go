package store

import (
	"bytes"
	"testing"

	"ingot/internal/metal"
)

func TestRunbooks(t *testing.T) { each(t, testRunbooks) }

func testRunbooks(t *testing.T, open opener) {
	db := open(t)
	r := &metal.Runbook{UUID: id(9), Name: "book", Description: "d", DisableRamdisk: true, Owner: "p1", Extra: map[string]any{"a": "b"},
		Steps: []metal.Step{{Interface: "raid", Step: "apply_configuration", Order: 3, Args: map[string]any{"password": "canary-of-a-runbook"}}}}
	write(t, db, func(tx *Tx) error { return tx.CreateRunbook(r) })
	r.Traits = []string{"CUSTOM_A", "CUSTOM_B"}
	write(t, db, func(tx *Tx) error { return tx.SetRunbookTraits(r.ID, []string{"CUSTOM_B", "CUSTOM_A"}) })
	for _, ident := range []string{r.UUID, r.Name} {
		same(t, read(t, db, func(tx *Tx) (*metal.Runbook, error) { return tx.Runbook(ident) }), r)
	}
	sealed := read(t, db, func(tx *Tx) (b []byte, err error) {
		err = tx.row("SELECT steps FROM runbooks").Scan(&b)
		return b, err
	})
	if bytes.Contains(sealed, []byte("canary")) {
		t.Error("the steps lie in the database unsealed")
	}
	r.Public, r.Owner = true, ""
	write(t, db, func(tx *Tx) error { return tx.SaveRunbook(r) })
	write(t, db, func(tx *Tx) error {
		return tx.CreateRunbook(&metal.Runbook{UUID: id(8), Name: "other", Owner: "p2"})
	})
	for project, want := range map[string]int{"": 2, "p1": 1, "p2": 2, "p3": 1} {
		got := read(t, db, func(tx *Tx) ([]*metal.Runbook, error) { return tx.Runbooks(project, Page{}) })
		if len(got) != want {
			t.Errorf("project %q has %d runbooks, want %d", project, len(got), want)
		}
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteRunbook(r.ID) })
	if n := read(t, db, func(tx *Tx) (n int, err error) {
		err = tx.row("SELECT COUNT(*) FROM runbook_traits").Scan(&n)
		return n, err
	}); n != 0 {
		t.Errorf("%d traits of a deleted runbook", n)
	}
}

func TestAllocations(t *testing.T) { each(t, testAllocations) }

func testAllocations(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	a := &metal.Allocation{UUID: id(9), Name: "a1", State: metal.Allocating, Owner: "p1", ResourceClass: "x", Traits: []string{"CUSTOM_A"},
		CandidateNodes: []string{n.UUID}, Extra: map[string]any{"k": "v"}, LastError: "e"}
	write(t, db, func(tx *Tx) (err error) {
		a.CreatedAt, err = tx.Now()
		a.DueAt, a.GiveUpAt = a.CreatedAt, a.CreatedAt
		if err != nil {
			return err
		}
		return tx.CreateAllocation(a)
	})
	same(t, read(t, db, func(tx *Tx) (*metal.Allocation, error) { return tx.Allocation("a1") }), a)
	a.State, a.NodeID, a.NodeUUID = metal.Allocated, n.ID, n.UUID
	write(t, db, func(tx *Tx) error { return tx.SaveAllocation(a) })
	same(t, read(t, db, func(tx *Tx) (*metal.Allocation, error) { return tx.AllocationOf(n) }), a)
	if got := read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) }); got.AllocationUUID != a.UUID {
		t.Errorf("the node's allocation is %q", got.AllocationUUID)
	}
	if err := db.Write(t.Context(), func(tx *Tx) error {
		return tx.CreateAllocation(&metal.Allocation{UUID: id(8), NodeID: n.ID, State: metal.Allocated})
	}); err == nil {
		t.Error("one node has two allocations")
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(n.ID) })
	if left := read(t, db, func(tx *Tx) ([]*metal.Allocation, error) { return tx.Allocations(AllocationFilter{}, Page{}) }); len(left) != 0 {
		t.Errorf("allocations of a deleted node: %+v", left[0])
	}
}
