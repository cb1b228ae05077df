package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/courier"
	"ingot/internal/metadata"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/peer"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

// installApart is a machine that installs itself at 127.0.0.11, a server "one" that has its secret parameter in memory, and the metadata
// service of another server.
type installApart struct {
	*testing.T
	db   *store.DB
	node *metal.Node
	url  string
}

func (a *installApart) asks(path string, status int, says string) {
	a.Helper()
	from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 11)}}
	c := http.Client{Transport: &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true}}
	q, err := http.NewRequestWithContext(a.Context(), http.MethodGet, a.url+"/ganeti/latest/"+path, nil)
	if err != nil {
		a.Fatal(err)
	}
	r, err := c.Do(q)
	if err != nil {
		a.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != status || !strings.Contains(string(body), says) {
		a.Errorf("%s: %d %q, %v; want %d with %q", path, r.StatusCode, body, err, status, says)
	}
}

// begin writes what the API and the conductor would have.
func (a *installApart) begin(ref *metal.SecretRef) {
	a.Helper()
	const op = "20000000-0000-4000-8000-000000000001"
	a.node = &metal.Node{UUID: "10000000-0000-4000-8000-000000000001", Driver: "fake", ProvisionState: metal.DeployWait}
	s, err := seed.Render(seed.Input{UUID: a.node.UUID, Name: "n1"})
	if err != nil {
		a.Fatal(err)
	}
	record, err := json.Marshal(map[string]any{"ask": metal.Ask{Secrets: ref}})
	if err != nil {
		a.Fatal(err)
	}
	err = a.db.Write(a.Context(), func(tx *store.Tx) error {
		if err := tx.CreateNode(a.node); err != nil {
			return err
		}
		return errors.Join(tx.CreateOperation(&store.Operation{UUID: op, NodeID: a.node.ID, Exclusive: true, Verb: "active", Plan: string(metal.PlanDeploy), Driver: "fake", Record: record}),
			tx.SaveInstance(a.node, &store.Instance{ID: a.node.UUID, Deploy: op, Seed: secret.New(string(s.Encode()))}),
			tx.SaveInstanceAddresses(a.node.ID, store.FromNode, []store.InstanceAddress{{Address: netip.MustParseAddr("127.0.0.11")}}),
			tx.SaveOSInstall(a.node, &store.OSInstall{Mode: osdef.ModeSelfInstall, Secrets: []string{"root-key"}, Parameters: osdef.Classes{Public: map[string]string{"mirror": "m"}}}),
			tx.OpenOSChannel(a.node, op))
	})
	if err != nil {
		a.Fatal(err)
	}
}

// TestREQ23TheMetadataServiceOfAnotherServer has no memory of secrets: it fetches them from the server that took the request, over mutual
// TLS, with the role metadata. While that is away the machine is told to ask again; when it is back without its memory, it is over.
func TestREQ23TheMetadataServiceOfAnotherServer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		dir := t.TempDir()
		a := &installApart{T: t, db: open()}
		held := courier.New(courier.Defaults())
		_, at := anIssuer(t, filepath.Join(dir, "one"))
		authority, err := peer.OpenAuthority(filepath.Join(dir, "one", "authority"), ofAuthority, peer.Defaults().CertificateLife)
		if err != nil {
			t.Fatal(err)
		}
		join := func(name string, role peer.Role, c *courier.Courier) *peer.Peer {
			t.Helper()
			token, err := authority.Invite(name, []peer.Role{role}, at, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := peer.Join(t.Context(), filepath.Join(dir, name), token, ""); err != nil {
				t.Fatal(err)
			}
			p, err := peer.Open(peer.Options{Config: peer.Defaults(), Dir: filepath.Join(dir, name), Courier: c, Denied: func(context.Context) (map[string]time.Time, error) { return nil, nil }})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		stop, url := stoppable(t, join("api", peer.API, held), "127.0.0.1:0")
		members := &members{all: []store.Server{{Name: "api", PeerURL: url, Alive: true}}}
		service, err := metadata.New(metadata.Options{Config: metadata.Defaults(), Instances: &metadata.Stored{DB: a.db},
			Installs: &metadata.Installs{DB: a.db, Secrets: &values{self: "two", peer: join("two", peer.Metadata, nil), members: members, log: slog.New(slog.DiscardHandler)}}})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(service)
		defer server.Close()
		a.url = server.URL
		handle, err := held.Keep("20000000-0000-4000-8000-000000000001", map[string]secret.Secret{"os_parameters_secret/root-key": secret.New("canary")})
		if err != nil {
			t.Fatal(err)
		}
		a.begin(&metal.SecretRef{Handle: handle, Server: "api", Names: []string{"os_parameters_secret/root-key"}})

		a.asks("os/parameters/root-key", 200, "canary")
		a.asks("os/parameters.json", 200, `"root-key":["canary","secret"]`)
		stop()
		a.asks("os/parameters/root-key", 503, "ask again")
		a.asks("os/parameters/mirror", 200, "m")
		a.lost()
		p, err := peer.Open(peer.Options{Config: peer.Defaults(), Dir: filepath.Join(dir, "api"), Courier: courier.New(courier.Defaults()), Denied: func(context.Context) (map[string]time.Time, error) { return nil, nil }})
		if err != nil {
			t.Fatal(err)
		}
		stop, _ = stoppable(t, p, strings.TrimPrefix(url, "https://"))
		defer stop()
		a.asks("os/parameters/root-key", 410, "root-key are lost")
		a.lost("root-key")
		a.asks("os/parameters/mirror", 200, "m")
	})
}

func (a *installApart) lost(names ...string) {
	a.Helper()
	err := a.db.Read(a.Context(), func(tx *store.Tx) error {
		c, err := tx.OSChannel(a.node)
		if err == nil && !slices.Equal(c.Lost, names) {
			a.Errorf("lost: %v, want %v", c.Lost, names)
		}
		return err
	})
	if err != nil {
		a.Error(err)
	}
}

// stoppable serves other servers at an address until it is stopped.
func stoppable(t *testing.T, p *peer.Peer, at string) (stop func(), url string) {
	t.Helper()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, l) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}, "https://" + l.Addr().String()
}
