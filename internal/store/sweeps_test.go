package store

import (
	"errors"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

var fakes = Scope{Drivers: []string{"fake"}}

func claimSweep(t *testing.T, db *DB, owner string, scope Scope, lease time.Duration, kinds ...string) *Sweep {
	t.Helper()
	var s *Sweep
	write(t, db, func(tx *Tx) (err error) { s, err = tx.ClaimSweep(owner, scope, kinds, lease); return err })
	return s
}

// TestSweeps: a row is made once, claimed by one, saved under its lease only, and gone with its node.
func TestSweeps(t *testing.T) { each(t, testSweeps) }

func testSweeps(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	rows := []Sweep{{Kind: "power", Driver: "fake"}, {Kind: "power", Driver: "fake", Slice: 1, DueAt: time.Now().Add(time.Hour)},
		{Kind: "prune"}, {Kind: "check", NodeID: n.ID, Failures: 2, Note: "silent"}}
	for range 2 { // the second time changes nothing
		write(t, db, func(tx *Tx) error { return tx.EnsureSweeps(rows) })
	}
	first := claimSweep(t, db, "c1", fakes, time.Minute, "power", "check")
	second := claimSweep(t, db, "c2", fakes, time.Minute, "power", "check")
	if first == nil || second == nil || first.Kind != "power" || second.Kind != "check" || second.NodeID != n.ID || second.Failures != 2 || second.Note != "silent" {
		t.Fatalf("claimed %+v and %+v", first, second)
	}
	if third := claimSweep(t, db, "c2", fakes, time.Minute, "power", "check"); third != nil {
		t.Errorf("claimed twice: %+v", third)
	}
	for name, c := range map[string]struct {
		scope Scope
		kind  string
		want  bool
	}{
		"another driver":      {Scope{Drivers: []string{"redfish"}}, "power", false},
		"another group":       {Scope{Drivers: []string{"fake"}, Group: "g"}, "power", false},
		"anybody's":           {Scope{Drivers: []string{"redfish"}, Group: "g"}, "prune", true},
		"of no drivers":       {Scope{}, "prune", true},
		"a node's of another": {Scope{Drivers: []string{"redfish"}}, "check", false},
	} {
		at := read(t, db, func(tx *Tx) (time.Time, error) { return tx.NextSweep(c.scope, []string{c.kind}) })
		if at.IsZero() == c.want {
			t.Errorf("%s: %s is next at %s", name, c.kind, at)
		}
	}
	write(t, db, func(tx *Tx) error { return tx.RenewSweep(first, time.Minute) })
	first.DueAt, first.Failures = time.Now().Add(-time.Second), 3
	write(t, db, func(tx *Tx) error { return tx.SaveSweep(first) })
	again := claimSweep(t, db, "c2", fakes, time.Minute, "power")
	if again == nil || again.ID != first.ID || again.Failures != 3 {
		t.Fatalf("after its end: %+v", again)
	}
	for what, f := range map[string]func(*Tx) error{
		"saved":   func(tx *Tx) error { return tx.SaveSweep(first) },
		"renewed": func(tx *Tx) error { return tx.RenewSweep(first, time.Minute) },
		"ended":   func(tx *Tx) error { return tx.EndSweep(first) },
	} {
		if err := db.Write(t.Context(), f); !errors.Is(err, ErrFenced) {
			t.Errorf("an old holder's row was %s: %v", what, err)
		}
	}
	write(t, db, func(tx *Tx) error { return tx.DropSweepLeases("c2") })
	if free := claimSweep(t, db, "c3", fakes, time.Minute, "power"); free == nil || free.ID != again.ID {
		t.Errorf("a dead holder's row: %+v", free)
	}
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(n.ID) })
	if of := read(t, db, func(tx *Tx) (*Sweep, error) { return tx.SweepOf(n.ID, "check") }); of != nil {
		t.Errorf("the row of a node that is gone: %+v", of)
	}
}

func TestInventoryAndReports(t *testing.T) { each(t, testInventoryAndReports) }

func testInventoryAndReports(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	if err := db.Read(t.Context(), func(tx *Tx) error { _, err := tx.Inventory(n); return err }); fault.KindOf(err) != fault.NotFound {
		t.Errorf("no inventory: %v", err)
	}
	for _, text := range []string{`{"a": 1}`, `{"b": 2}`} {
		write(t, db, func(tx *Tx) error { return tx.SaveInventory(n.ID, []byte(text), []byte("{}")) })
		got := read(t, db, func(tx *Tx) (*Inventory, error) { return tx.Inventory(n) })
		if string(got.Inventory) != text || string(got.Plugins) != "{}" || got.At.IsZero() {
			t.Errorf("inventory %s %s at %s", got.Inventory, got.Plugins, got.At)
		}
	}
	report := func(boot string, trusted bool, text string) {
		write(t, db, func(tx *Tx) error {
			return tx.SaveReport(&Report{NodeID: n.ID, Boot: boot, Trusted: trusted, Inventory: []byte(text), Plugins: []byte("{}")})
		})
	}
	is := func(boot, text string) {
		t.Helper()
		got := read(t, db, func(tx *Tx) (*Report, error) { return tx.Report(n.ID, boot) })
		if text == "" && got == nil {
			return
		}
		if got == nil || string(got.Inventory) != text {
			t.Errorf("report of %s: %+v, want %s", boot, got, text)
		}
	}
	report("b1", true, "1")
	report("b1", false, "2") // a stranger's does not take the place of the machine's own
	is("b1", "1")
	report("b1", true, "3")
	is("b1", "3")
	report("b2", false, "4")
	is("b2", "4")
	is("b1", "")
	write(t, db, func(tx *Tx) error { return tx.ForgetReport(n.ID) })
	is("b2", "")
}

func TestInspectionTimes(t *testing.T) { each(t, testInspectionTimes) }

func testInspectionTimes(t *testing.T, open opener) {
	db := open(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := addNode(t, db, 1, func(n *metal.Node) { n.InspectionStartedAt, n.InspectionFinishedAt = at, at.Add(time.Minute) })
	got := read(t, db, func(tx *Tx) (*metal.Node, error) { return tx.NodeByID(n.ID) })
	if got.InspectionStartedAt != at || got.InspectionFinishedAt != at.Add(time.Minute) {
		t.Errorf("%s, %s", got.InspectionStartedAt, got.InspectionFinishedAt)
	}
}
