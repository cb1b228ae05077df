package store

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/secret"
)

func anInstance(of string) *Instance {
	return &Instance{ID: "instance of " + of, Project: "p1", Deploy: "op-" + of, Seed: secret.New("seed of " + of), Answers: secret.New("answers for " + of),
		Request: secret.New("request of " + of)}
}

func instanceOf(t *testing.T, db *DB, n *metal.Node) *Instance {
	t.Helper()
	return read(t, db, func(tx *Tx) (*Instance, error) { return tx.Instance(n) })
}

func TestInstances(t *testing.T) { each(t, testInstances) }

func testInstances(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	request := func() string {
		return read(t, db, func(tx *Tx) (secret.Secret, error) { return tx.InstanceRequest(n) }).Expose()
	}
	if instanceOf(t, db, n) != nil || request() != "" {
		t.Fatal("a node that was never deployed has an instance")
	}
	want := anInstance("one")
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, want) })
	got := instanceOf(t, db, n)
	if got == nil || got.Seed.Expose() != "seed of one" || got.Answers.Expose() != "answers for one" || got.Request.Expose() != "request of one" ||
		got.ID != want.ID || got.Project != "p1" || got.Deploy != "op-one" || got.Generation != want.Generation || !got.UpdatedAt.Equal(want.UpdatedAt) || got.UpdatedAt.IsZero() {
		t.Fatalf("it comes back as %+v", got)
	}
	fault := func(text string, changes bool) {
		t.Helper()
		var changed bool
		write(t, db, func(tx *Tx) (err error) { changed, err = tx.SetInstanceFault(n.ID, text); return err })
		said := read(t, db, func(tx *Tx) (string, error) { return tx.InstanceFault(n.ID) })
		if changed != changes || said != text {
			t.Errorf("the fault %q: changed %v, and it is %q", text, changed, said)
		}
	}
	fault("", false)
	fault("target roles: 500", true)
	fault("target roles: 500", false)
	if got := instanceOf(t, db, n); got.Fault != "target roles: 500" || got.Generation != want.Generation {
		t.Errorf("with a fault: %+v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, anInstance("two")) })
	if got := instanceOf(t, db, n); got.Seed.Expose() != "seed of two" || got.Fault != "" || got.Generation == want.Generation || !got.UpdatedAt.After(want.UpdatedAt) {
		t.Errorf("another in its place: %+v", got)
	}
	fault("target roles: 500", true)
	write(t, db, func(tx *Tx) error { return tx.RetireInstance(n) })
	if instanceOf(t, db, n) != nil || request() != "request of two" {
		t.Error("what a failed deployment leaves is served, or no request is kept")
	}
	if fault := read(t, db, func(tx *Tx) (string, error) { return tx.InstanceFault(n.ID) }); fault != "" {
		t.Errorf("it has the fault %q", fault)
	}
	write(t, db, func(tx *Tx) error { return tx.DropInstance(n.ID) })
	if instanceOf(t, db, n) != nil || request() != "" {
		t.Error("something is left of a dropped instance")
	}
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, anInstance("three")) })
	write(t, db, func(tx *Tx) error { return tx.DeleteNode(n.ID) })
	if left := read(t, db, func(tx *Tx) (left int, err error) {
		err = tx.row("SELECT count(*) FROM instances").Scan(&left)
		return left, err
	}); left != 0 {
		t.Error("an instance outlives its node")
	}
}

// TestInstancesAreFoundByAddress: by their own, by what is leased to a NIC or a bond of theirs, and all of those that share one.
func TestInstancesAreFoundByAddress(t *testing.T) { each(t, testInstancesAreFoundByAddress) }

func testInstancesAreFoundByAddress(t *testing.T, open opener) {
	db := open(t)
	one, two := addNode(t, db, 1), addNode(t, db, 2)
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(one, anInstance("one")) })
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(two, anInstance("two")) })
	found := func(address string, want ...int64) {
		t.Helper()
		at := read(t, db, func(tx *Tx) ([]InstanceRef, error) { return tx.InstancesAt(netip.MustParseAddr(address)) })
		var ids []int64
		for _, m := range at {
			if m.Generation == "" || m.Deploy == "" || m.Project != "p1" || m.NodeUUID == "" {
				t.Errorf("%s: %+v", address, m)
			}
			ids = append(ids, m.NodeID)
		}
		if !slices.Equal(ids, want) {
			t.Errorf("%s finds %v, want %v", address, ids, want)
		}
	}
	addresses := func(n *metal.Node, source string, all ...string) {
		t.Helper()
		var list []InstanceAddress
		for _, a := range all {
			list = append(list, InstanceAddress{Address: netip.MustParseAddr(a), MAC: "52:54:00:00:00:01"})
		}
		write(t, db, func(tx *Tx) error { return tx.SaveInstanceAddresses(n.ID, source, list) })
	}
	found("192.0.2.1")
	addresses(one, FromNetworkData, "192.0.2.1", "::ffff:192.0.2.2", "fe80::1%eth0", "192.0.2.1")
	addresses(one, FromNetworkService, "192.0.2.3", "192.0.2.1")
	found("192.0.2.1", one.ID)
	found("::ffff:192.0.2.1", one.ID)
	found("192.0.2.2", one.ID)
	found("fe80::1", one.ID)
	found("192.0.2.3", one.ID)
	if all := read(t, db, func(tx *Tx) ([]InstanceAddress, error) { return tx.InstanceAddresses(one.ID) }); len(all) != 5 || all[0].MAC != "52:54:00:00:00:01" || all[2].Source != FromNetworkData {
		t.Errorf("its addresses: %v", all)
	}
	addresses(two, FromNetworkData, "192.0.2.1")
	found("192.0.2.1", one.ID, two.ID)
	addresses(one, FromNetworkData, "192.0.2.4")
	found("192.0.2.1", one.ID, two.ID) // the network service says so still
	addresses(one, FromNetworkService)
	found("192.0.2.1", two.ID)
	write(t, db, func(tx *Tx) error { return tx.RetireInstance(two) })
	found("192.0.2.1")
	addresses(two, FromNetworkData, "192.0.2.1")
	found("192.0.2.1")
	sure := func(want int) {
		t.Helper()
		if at := read(t, db, func(tx *Tx) ([]InstanceRef, error) { return tx.InstancesAt(netip.MustParseAddr("192.0.2.4")) }); len(at) != 1 || at[0].Sure != want {
			t.Errorf("it is %d sure, of %+v", want, at)
		}
	}
	sure(Claimed)
	addresses(one, FromNode, "192.0.2.4")
	sure(Planned)
	addresses(one, FromNetworkService, "192.0.2.4")
	sure(Given)
	addresses(one, FromNode)
	addresses(one, FromNetworkService)
	before := instanceOf(t, db, one).Generation
	addresses(one, FromNetworkData, "192.0.2.4")
	if after := instanceOf(t, db, one).Generation; after != before {
		t.Error("addresses that are the same make another generation")
	}
	addresses(one, FromNetworkData, "192.0.2.5")
	if after := instanceOf(t, db, one).Generation; after == before {
		t.Error("other addresses make no other generation")
	}
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(one, anInstance("one again")) })
	found("192.0.2.5")
	found("192.0.2.4")
}

func TestInstancesAreFoundByLease(t *testing.T) { each(t, testInstancesAreFoundByLease) }

func testInstancesAreFoundByLease(t *testing.T, open opener) {
	db := open(t)
	n := addNode(t, db, 1)
	now := time.Now()
	write(t, db, func(tx *Tx) error {
		if err := tx.CreatePort(&metal.Port{UUID: id(11), NodeUUID: n.UUID, Address: "52:54:00:00:00:01"}); err != nil {
			return err
		}
		return tx.CreatePortgroup(&metal.Portgroup{UUID: id(12), NodeUUID: n.UUID, Address: "52:54:00:00:00:02"})
	})
	lease := func(address, mac string, until time.Time, declined bool) {
		t.Helper()
		write(t, db, func(tx *Tx) error {
			return tx.HoldLease(Lease{Network: "tenant", Address: netip.MustParseAddr(address), MAC: mac, Until: until, Declined: declined}, now)
		})
	}
	lease("192.0.2.1", "52:54:00:00:00:01", now.Add(time.Hour), false)
	lease("192.0.2.2", "52:54:00:00:00:02", now.Add(time.Hour), false)
	lease("192.0.2.3", "52:54:00:00:00:03", now.Add(time.Hour), false)
	lease("192.0.2.4", "52:54:00:00:00:01", now.Add(-time.Hour), false)
	lease("192.0.2.5", "52:54:00:00:00:01", now.Add(time.Hour), true)
	at := func(address string) int {
		return len(read(t, db, func(tx *Tx) ([]InstanceRef, error) { return tx.InstancesAt(netip.MustParseAddr(address)) }))
	}
	if at("192.0.2.1") != 0 {
		t.Error("a node without an instance is found by its lease")
	}
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, anInstance("one")) })
	for address, want := range map[string]int{"192.0.2.1": 1, "192.0.2.2": 1, "192.0.2.3": 0, "192.0.2.4": 0, "192.0.2.5": 0} {
		if got := at(address); got != want {
			t.Errorf("%s finds %d instances, want %d", address, got, want)
		}
	}
	byID := func(instance string) []InstanceRef {
		return read(t, db, func(tx *Tx) ([]InstanceRef, error) { return tx.InstancesByID(instance) })
	}
	if got := byID("Instance of one"); len(got) != 1 || got[0].NodeID != n.ID || byID("x") != nil {
		t.Errorf("by its id: %v", got)
	}
	list := func(after int64) int {
		return len(read(t, db, func(tx *Tx) ([]InstanceRef, error) { return tx.Instances(after, 10) }))
	}
	far := time.Now().Add(time.Hour) // a clock that was put back
	write(t, db, func(tx *Tx) error { _, err := tx.exec("UPDATE instances SET updated_at = ?", micros(far)); return err })
	write(t, db, func(tx *Tx) error {
		return tx.SaveInstanceAddresses(n.ID, FromNetworkData, []InstanceAddress{{Address: netip.MustParseAddr("192.0.2.9")}})
	})
	if got := byID("instance of one"); !got[0].UpdatedAt.After(far.Truncate(time.Microsecond)) {
		t.Errorf("changed at %v, after %v", got[0].UpdatedAt, far)
	}
	if list(0) != 1 || list(n.ID) != 0 {
		t.Errorf("listed: %d, %d", list(0), list(n.ID))
	}
	write(t, db, func(tx *Tx) error { return tx.RetireInstance(n) })
	if at("192.0.2.1") != 0 || list(0) != 0 || byID("instance of one") != nil {
		t.Error("what is not served any more is found")
	}
}

// TestInstancesAreSealed: nothing private is in the row as it is, and a row that was moved does not open.
func TestInstancesAreSealed(t *testing.T) { each(t, testInstancesAreSealed) }

func testInstancesAreSealed(t *testing.T, open opener) {
	db := open(t)
	n, other := addNode(t, db, 1), addNode(t, db, 2)
	write(t, db, func(tx *Tx) error { return tx.SaveInstance(n, anInstance("one")) })
	var seed, answers, request []byte
	write(t, db, func(tx *Tx) error {
		return tx.row("SELECT seed, answers, request FROM instances").Scan(&seed, &answers, &request)
	})
	for _, b := range [][]byte{seed, answers, request} {
		if len(b) == 0 || strings.Contains(string(b), "of one") || strings.Contains(string(b), "for one") {
			t.Errorf("a column holds %q", b)
		}
	}
	write(t, db, func(tx *Tx) error { _, err := tx.exec("UPDATE instances SET node_id = ?", other.ID); return err })
	if err := db.Read(t.Context(), func(tx *Tx) error { _, err := tx.Instance(other); return err }); err == nil {
		t.Error("a row that was moved opens")
	}
}
