package store

import (
	"testing"
	"time"

	"ingot/internal/metal"
)

func TestDoctorCounts(t *testing.T) { each(t, testDoctorCounts) }

func testDoctorCounts(t *testing.T, open opener) {
	db := open(t)
	if v := read(t, db, (*Tx).SchemaVersion); v != NewestSchema() || v == 0 {
		t.Errorf("schema %d, newest %d", v, NewestSchema())
	}
	addNode(t, db, 1, func(n *metal.Node) { n.ProvisionState, n.LastError, n.Owner = metal.CleanFailed, "no disk", "p1" })
	addNode(t, db, 2, func(n *metal.Node) { n.Maintenance, n.Fault = true, "power failure" })
	addNode(t, db, 3, func(n *metal.Node) { n.Maintenance = true })
	busy := addNode(t, db, 4, func(n *metal.Node) { n.Driver = "redfish" })
	write(t, db, func(tx *Tx) error {
		return tx.CreateOperation(&Operation{UUID: id(9), NodeID: busy.ID, Exclusive: true, Plan: "deploy", Driver: busy.Driver, DueAt: time.Now().Add(-time.Hour)})
	})
	found := read(t, db, func(tx *Tx) ([]Trouble, error) { return tx.InTrouble([]metal.State{metal.CleanFailed}, "", 10) })
	if len(found) != 2 || found[0].LastError+found[1].LastError != "no disk" || found[0].Fault+found[1].Fault != "power failure" {
		t.Errorf("%+v", found)
	}
	if found := read(t, db, func(tx *Tx) ([]Trouble, error) { return tx.InTrouble([]metal.State{metal.CleanFailed}, "p1", 10) }); len(found) != 1 || found[0].LastError != "no disk" {
		t.Errorf("of owner p1: %+v", found)
	}
	for by, want := range map[time.Duration]int{time.Minute: 1, 2 * time.Hour: 0} {
		if n := read(t, db, func(tx *Tx) (int, error) { return tx.Overdue(by) }); n != want {
			t.Errorf("overdue by %s: %d, want %d", by, n, want)
		}
	}
	if ops := read(t, db, (*Tx).CountOperations); len(ops) != 1 || ops[0].N != 1 || ops[0].Values[0] != "deploy" || ops[0].Values[1] != "due" {
		t.Errorf("%+v", ops)
	}
	drivers := read(t, db, (*Tx).CountDrivers)
	if n := len(drivers); n != 2 || drivers[0].N+drivers[1].N != 4 {
		t.Errorf("%+v", drivers)
	}
	nodes := read(t, db, (*Tx).CountNodes)
	sum := 0
	for _, c := range nodes {
		sum += c.N
	}
	if sum != 4 || len(nodes) < 3 {
		t.Errorf("%+v", nodes)
	}
}
