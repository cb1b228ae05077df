package store

import (
	"slices"
	"testing"
	"time"

	"ingot/internal/fault"
)

func TestServers(t *testing.T) { each(t, testServers) }

func testServers(t *testing.T, open opener) {
	db := open(t)
	list := func(limit time.Duration) []Server {
		return read(t, db, func(tx *Tx) ([]Server, error) { return tx.Servers(limit) })
	}
	one := Server{Name: "one", Place: "p1", Roles: []string{"api", "agent-api"}, PeerURL: "https://one:6388", AgentURL: "https://one:6386", AgentCA: "pem",
		BootURL: "http://one:6387", Group: "g", Version: "v1", CertificateUntil: time.UnixMicro(7).UTC(), Visited: true}
	write(t, db, func(tx *Tx) error { return tx.SaveServer(one, time.Minute) })
	got := list(time.Minute)
	if len(got) != 1 || !got[0].Alive || got[0].CreatedAt.IsZero() || got[0].UpdatedAt.IsZero() {
		t.Fatalf("servers %+v", got)
	}
	kept := got[0]
	kept.Alive, kept.CreatedAt, kept.UpdatedAt = false, time.Time{}, time.Time{}
	same(t, &kept, &one)
	if !got[0].Has("api") || got[0].Has("conductor") {
		t.Errorf("roles %v", got[0].Roles)
	}

	// Another place may have the name only when the first is dead.
	other := Server{Name: "one", Place: "p2", Roles: []string{"conductor"}}
	err := db.Write(t.Context(), func(tx *Tx) error { return tx.SaveServer(other, time.Minute) })
	if fault.KindOf(err) != fault.Conflict {
		t.Errorf("two of one name: %v", err)
	}
	write(t, db, func(tx *Tx) error { return tx.SaveServer(one, time.Minute) })
	write(t, db, func(tx *Tx) error { return tx.SaveServer(other, -time.Minute) })
	write(t, db, func(tx *Tx) error { return tx.ForgetServer("one", "p1") })
	if got := list(time.Minute); len(got) != 1 || !slices.Equal(got[0].Roles, other.Roles) || got[0].PeerURL != "" {
		t.Errorf("after the change of place: %+v", got)
	}
	write(t, db, func(tx *Tx) error { return tx.ForgetServer("one", "p2") })
	if got := list(time.Minute); len(got) != 0 {
		t.Errorf("left: %+v", got)
	}
}

func TestPeersDenied(t *testing.T) { each(t, testPeersDenied) }

func testPeersDenied(t *testing.T, open opener) {
	db := open(t)
	denied := func() map[string]time.Time {
		return read(t, db, func(tx *Tx) (map[string]time.Time, error) { return tx.PeersDenied() })
	}
	if got := denied(); len(got) != 0 {
		t.Fatal(got)
	}
	write(t, db, func(tx *Tx) error { return tx.DenyPeer("one", "operator") })
	first := denied()["one"]
	write(t, db, func(tx *Tx) error { return tx.DenyPeer("one", "operator") })
	if again := denied(); len(again) != 1 || first.IsZero() || again["one"].Before(first) {
		t.Errorf("denied %v, first at %v", again, first)
	}
}
