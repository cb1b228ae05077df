package store

import (
	"net/netip"
	"testing"
	"time"

	"ingot/internal/fault"
)

func TestLeases(t *testing.T) { each(t, testLeases) }

func testLeases(t *testing.T, open opener) {
	db := open(t)
	now := time.Now().Truncate(time.Microsecond).UTC()
	l := Lease{Network: "provisioning", Address: netip.MustParseAddr("192.0.2.10"), MAC: "52:54:00:00:00:01", Node: id(1), Until: now.Add(time.Hour)}
	hold := func(l Lease, at time.Time) error {
		return db.Write(t.Context(), func(tx *Tx) error { return tx.HoldLease(l, at) })
	}
	holder := func(at time.Time) *Lease {
		return read(t, db, func(tx *Tx) (*Lease, error) { return tx.LeaseOf(l.Address, at) })
	}
	if err := hold(l, now); err != nil {
		t.Fatal(err)
	}
	same(t, holder(now), &l)
	if holder(now.Add(2*time.Hour)) != nil {
		t.Error("a lease that is over has a holder")
	}
	other := l
	other.MAC = "52:54:00:00:00:02"
	if err := hold(other, now); fault.KindOf(err) != fault.Conflict {
		t.Errorf("two machines have one address: %v", err)
	}
	l.Until = now.Add(3 * time.Hour)
	if err := hold(l, now); err != nil {
		t.Errorf("renewed: %v", err)
	}
	if of := read(t, db, func(tx *Tx) ([]Lease, error) { return tx.LeasesOf(l.MAC, now) }); len(of) != 1 || of[0] != l {
		t.Errorf("of the MAC: %v", of)
	}
	write(t, db, func(tx *Tx) error { return tx.DropLease(l.Address, other.MAC, "") })
	same(t, holder(now), &l)
	write(t, db, func(tx *Tx) error { return tx.DropLease(l.Address, l.MAC, "") })
	bad := Lease{Network: "provisioning", Address: l.Address, Until: now.Add(time.Minute), Declined: true}
	if err := hold(bad, now); err != nil {
		t.Fatal(err)
	}
	if err := hold(l, now); fault.KindOf(err) != fault.Conflict {
		t.Errorf("an address that is in use was leased: %v", err)
	}
	if err := hold(other, now.Add(2*time.Minute)); err != nil {
		t.Errorf("after its rest: %v", err)
	}
	far := other
	far.Address, far.Until = netip.MustParseAddr("192.0.2.11"), now.Add(20*24*time.Hour)
	if err := hold(far, now.Add(10*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if all := read(t, db, func(tx *Tx) ([]Lease, error) { return tx.Leases("") }); len(all) != 1 || all[0].Address != far.Address {
		t.Errorf("long after: %v", all)
	}
}
