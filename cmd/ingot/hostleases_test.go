package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/netboot"
	"ingot/internal/peer"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// TestLeasesOfBootHosts: a conductor knows the addresses in the database and those of its boot hosts; one that is away is told
// of, and keeps nothing back.
func TestLeasesOfBootHosts(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(ctx, filepath.Join(dir, "ingot.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	one, at := anIssuer(t, filepath.Join(dir, "one"))
	authority, err := peer.OpenAuthority(filepath.Join(dir, "one", "authority"), ofAuthority, peer.Defaults().CertificateLife)
	if err != nil {
		t.Fatal(err)
	}
	token, err := authority.Invite("boot1", []peer.Role{peer.Boot}, at, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := peer.Join(ctx, filepath.Join(dir, "boot1"), token, ""); err != nil {
		t.Fatal(err)
	}
	file, err := netboot.OpenLeaseFile(filepath.Join(dir, "leases.json"))
	if err != nil {
		t.Fatal(err)
	}
	const mac = "52:54:00:00:00:0a"
	host, err := peer.Open(peer.Options{Config: peer.Defaults(), Dir: filepath.Join(dir, "boot1"), Leases: hostLeases{file}, Carried: true})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	hold := func(l netboot.Leases, address string) {
		t.Helper()
		if err := l.Hold(ctx, netboot.Lease{Network: "n", Address: netip.MustParseAddr(address), MAC: mac, Until: now.Add(time.Hour)}, now); err != nil {
			t.Fatal(err)
		}
	}
	hold(file, "192.0.2.7")
	hold(storeLeases{db}, "198.51.100.7")
	every := everyLease{storeLeases{db}, &bootHosts{peer: one, all: []peer.Server{{Name: "boot1", URL: servePeer(t, host)}}}}
	if got, err := every.Addresses(ctx, mac); err != nil || fmt.Sprint(got) != "[198.51.100.7 192.0.2.7]" {
		t.Errorf("%v, %v", got, err)
	}
	n := &metal.Node{UUID: "10000000-0000-4000-8000-000000000001", Driver: "fake", ProvisionState: metal.Active}
	if err := db.Write(ctx, func(tx *store.Tx) error {
		if err := tx.CreateNode(n); err != nil {
			return err
		}
		if err := tx.CreatePort(&metal.Port{UUID: "10000000-0000-4000-9000-000000000001", NodeUUID: n.UUID, Address: mac}); err != nil {
			return err
		}
		return tx.SaveInstance(n, &store.Instance{ID: n.UUID, Deploy: "d"})
	}); err != nil {
		t.Fatal(err)
	}
	holders := bootHostLeases{one, every.hosts.all, db, slog.New(slog.DiscardHandler)}
	whose := func(address, want string, fails bool) {
		t.Helper()
		got, err := holders.NodesAt(ctx, netip.MustParseAddr(address))
		if (err != nil) != fails || strings.Join(got, " ") != want {
			t.Errorf("%s is %q, %v, want %q", address, got, err, want)
		}
	}
	whose("192.0.2.7", n.UUID, false)
	whose("192.0.2.8", "", false)
	declined := netboot.Lease{Network: "n", Address: netip.MustParseAddr("192.0.2.9"), MAC: mac, Until: now.Add(time.Hour), Declined: true}
	if err := file.Hold(ctx, declined, now); err != nil {
		t.Fatal(err)
	}
	whose("192.0.2.9", "", false)
	nobody, err := free()
	if err != nil {
		t.Fatal(err)
	}
	every.hosts.all = append(every.hosts.all, peer.Server{Name: "boot2", URL: "https://" + nobody})
	if got, err := every.Addresses(ctx, mac); err == nil || fmt.Sprint(got) != "[198.51.100.7 192.0.2.7]" {
		t.Errorf("with one that is away: %v, %v", got, err)
	}
	holders.all = every.hosts.all
	whose("192.0.2.7", n.UUID, false) // another knows
	whose("192.0.2.8", "", true)
}

var ofAuthority = secret.New("the key of a test's authority")

// anIssuer is a server that conducts and certifies others.
func anIssuer(t *testing.T, dir string) (*peer.Peer, peer.Server) {
	t.Helper()
	if _, err := peer.Init(dir, "one", []peer.Role{peer.Conductor}, ofAuthority, peer.Defaults().CertificateLife); err != nil {
		t.Fatal(err)
	}
	p, err := peer.Open(peer.Options{Config: peer.Defaults(), Dir: dir, Seal: ofAuthority, Denied: func(context.Context) (map[string]time.Time, error) { return nil, nil }})
	if err != nil {
		t.Fatal(err)
	}
	return p, peer.Server{Name: "one", URL: servePeer(t, p)}
}

// servePeer serves other servers on loopback until the test ends.
func servePeer(t *testing.T, p *peer.Peer) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "https://" + l.Addr().String()
}
