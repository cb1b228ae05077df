package main

import (
	"net/netip"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/netboot"
	"ingot/internal/store"
)

// TestLeasesOfTheDatabase: what netboot.Leases says holds for the store, and the conductor finds a machine by it.
func TestLeasesOfTheDatabase(t *testing.T) {
	dir := t.TempDir()
	key, err := store.KeyFor(dir+"/ingot.db", dir+"/ingot.key")
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), dir+"/ingot.db", key)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	leases := storeLeases{db}
	now := time.Now().Truncate(time.Microsecond).UTC()
	l := netboot.Lease{Network: "n", Address: netip.MustParseAddr("2001:db8::5"), MAC: "52:54:00:00:00:01", Client: "0001/01", Until: now.Add(time.Hour)}
	if err := leases.Hold(t.Context(), l, now); err != nil {
		t.Fatal(err)
	}
	if got, err := leases.Holder(t.Context(), l.Address, now); err != nil || got == nil || *got != l {
		t.Errorf("held: %v, %v", got, err)
	}
	if got, err := leases.List(t.Context(), "n"); err != nil || len(got) != 1 || got[0] != l {
		t.Errorf("listed: %v, %v", got, err)
	}
	if got, err := leases.Addresses(t.Context(), l.MAC); err != nil || len(got) != 1 || got[0] != l.Address {
		t.Errorf("where the machine is: %v, %v", got, err)
	}
	other := l
	other.MAC = "52:54:00:00:00:02"
	if err := leases.Hold(t.Context(), other, now); fault.KindOf(err) != fault.Conflict {
		t.Errorf("two machines have one address: %v", err)
	}
	if err := leases.Drop(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if got, err := leases.Holder(t.Context(), l.Address, now); err != nil || got != nil {
		t.Errorf("dropped: %v, %v", got, err)
	}
}
