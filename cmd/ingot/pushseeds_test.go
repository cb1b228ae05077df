package main

import (
	"context"
	"encoding/json"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/peer"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
)

// seedHost is a boot host that serves metadata, with what conductors pushed to it, and a conductor.
type seedHost struct {
	t     *testing.T
	db    *store.DB
	hosts *bootHosts
	shelf *depot.SeedShelf
	puts  int // seeds that were pushed to it
}

// Put counts.
func (h *seedHost) Put(ctx context.Context, all []json.RawMessage) error {
	h.puts += len(all)
	return peerSeeds{h.shelf}.Put(ctx, all)
}

func (h *seedHost) List(ctx context.Context) ([]peer.SeedMark, error) {
	return peerSeeds{h.shelf}.List(ctx)
}

func (h *seedHost) Remove(ctx context.Context, node string, made time.Time) error {
	return peerSeeds{h.shelf}.Remove(ctx, node, made)
}

func (h *seedHost) Told(ctx context.Context) error { return peerSeeds{h.shelf}.Told(ctx) }

func newSeedHost(t *testing.T) *seedHost {
	t.Helper()
	h := &seedHost{t: t, shelf: depot.NewSeedShelf(depot.SeedOptions{MaxSeed: 64 << 10})}
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	if h.db, err = store.OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), key); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.db.Close() })
	one, at := anIssuer(t, filepath.Join(dir, "one"))
	authority, err := peer.OpenAuthority(filepath.Join(dir, "one", "authority"), ofAuthority, peer.Defaults().CertificateLife)
	if err != nil {
		t.Fatal(err)
	}
	token, err := authority.Invite("boot1", []peer.Role{peer.Boot}, at, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Join(t.Context(), filepath.Join(dir, "boot1"), token, ""); err != nil {
		t.Fatal(err)
	}
	host, err := peer.Open(peer.Options{Config: peer.Defaults(), Dir: filepath.Join(dir, "boot1"), Seeds: h, Carried: true})
	if err != nil {
		t.Fatal(err)
	}
	h.hosts = &bootHosts{peer: one, all: []peer.Server{{Name: "boot1", URL: servePeer(t, host)}}, db: h.db}
	return h
}

// node makes an active node whose instance reads user data.
func (h *seedHost) node(uuid, address, userData string) *metal.Node {
	h.t.Helper()
	n := &metal.Node{UUID: uuid, Driver: "fake", ProvisionState: metal.Active}
	h.write(func(tx *store.Tx) error { return tx.CreateNode(n) })
	h.deploy(n, address, userData)
	return n
}

func (h *seedHost) deploy(n *metal.Node, address, userData string) {
	h.t.Helper()
	s, err := seed.Render(seed.Input{UUID: n.UUID, UserData: secret.New(userData)})
	if err != nil {
		h.t.Fatal(err)
	}
	h.write(func(tx *store.Tx) error {
		if err := tx.SaveInstance(n, &store.Instance{ID: n.UUID, Deploy: "d", Seed: secret.New(string(s.Encode()))}); err != nil {
			return err
		}
		return tx.SaveInstanceAddresses(n.ID, store.FromNode, []store.InstanceAddress{{Address: netip.MustParseAddr(address)}})
	})
}

func (h *seedHost) write(f func(*store.Tx) error) {
	h.t.Helper()
	if err := h.db.Write(h.t.Context(), f); err != nil {
		h.t.Fatal(err)
	}
}

// has tells what the boot host serves at an address: user data, "" for nothing.
func (h *seedHost) has(address string) string {
	h.t.Helper()
	s := &pushedSeeds{shelf: h.shelf, neighbor: func(netip.Addr) string { return "" }}
	found, err := s.At(h.t.Context(), netip.MustParseAddr(address))
	if err != nil || len(found) != 1 {
		return ""
	}
	i, err := s.Open(h.t.Context(), found[0])
	if err != nil {
		h.t.Fatal(err)
	}
	page, err := i.Seed.Get("/openstack/latest/user_data")
	if err != nil {
		h.t.Fatal(err)
	}
	return string(page.Content)
}

// TestConductorsCompareBootHosts: what a boot host serves follows the database, also after it was started again; what it has no room
// for is not sent to it each time.
func TestConductorsCompareBootHosts(t *testing.T) {
	h := newSeedHost(t)
	at := h.hosts.all[0]
	n := h.node("10000000-0000-4000-8000-000000000001", "192.0.2.1", "one")
	compare := func(what string, puts int, want string) {
		t.Helper()
		h.puts = 0
		if err := h.hosts.compareSeeds(t.Context(), at); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := h.has("192.0.2.1"); got != want || h.puts != puts {
			t.Errorf("%s: it serves %q after %d pushes, want %q after %d", what, got, h.puts, want, puts)
		}
	}
	compare("deployed", 1, "one")
	compare("again", 0, "one")
	h.deploy(n, "192.0.2.1", "two")
	compare("rebuilt", 1, "two")
	h.shelf = depot.NewSeedShelf(depot.SeedOptions{MaxSeed: 64 << 10})
	compare("started again", 1, "two")
	for _, row := range []struct {
		state metal.State
		puts  int
		want  string
	}{{metal.Rescue, 0, ""}, {metal.Active, 1, "two"}} {
		h.write(func(tx *store.Tx) error {
			n, err := tx.Node(n.UUID)
			if err != nil {
				return err
			}
			n.ProvisionState = row.state
			return tx.SaveNode(n)
		})
		compare(string(row.state), row.puts, row.want)
	}
	h.write(func(tx *store.Tx) error { return tx.DropInstance(n.ID) })
	compare("torn down", 0, "")

	h.node("10000000-0000-4000-8000-000000000002", "192.0.2.2", strings.Repeat("x", 64<<10))
	h.node("10000000-0000-4000-8000-000000000003", "192.0.2.3", "three")
	for i, puts := range []int{2, 0, 0} {
		h.puts = 0
		err := h.hosts.compareSeeds(t.Context(), at)
		if err == nil || fault.KindOf(err) != fault.TooLarge || h.puts != puts || h.has("192.0.2.3") != "three" {
			t.Errorf("time %d: %d pushes, want %d; %v", i, h.puts, puts, err)
		}
	}
	h.node("10000000-0000-4000-8000-000000000004", "192.0.2.4", "four")
	if err := h.hosts.compareSeeds(t.Context(), at); fault.KindOf(err) != fault.TooLarge || h.has("192.0.2.4") != "four" {
		t.Errorf("another one, beside it: %v", err)
	}
}

// TestPushMetadataWhereNobodyTakesIt: the step of the deploy fails where the boot host that serves metadata is away, and where what the
// instance reads cannot be opened; one that never served any is no reason.
func TestPushMetadataWhereNobodyTakesIt(t *testing.T) {
	h := newSeedHost(t)
	n := h.node("10000000-0000-4000-8000-000000000001", "192.0.2.1", "one")
	if err := h.hosts.PushMetadata(t.Context(), n.UUID); err != nil || h.puts != 1 {
		t.Fatalf("%d pushes, %v", h.puts, err)
	}
	away, err := free()
	if err != nil {
		t.Fatal(err)
	}
	h.hosts.all[0].URL = "https://" + away
	if err := h.hosts.PushMetadata(t.Context(), n.UUID); err == nil {
		t.Error("the boot host is away, and nobody is told")
	}
	never := &bootHosts{peer: h.hosts.peer, all: h.hosts.all, db: h.db}
	if err := never.PushMetadata(t.Context(), n.UUID); err != nil {
		t.Errorf("of this one nobody knows that it serves metadata: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if raw, err := h.hosts.seedOf(ended, n.UUID); err == nil {
		t.Errorf("what cannot be read is taken for nothing: %d bytes", len(raw))
	}
}
