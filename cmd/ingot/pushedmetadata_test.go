package main

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/netboot"
	"ingot/internal/peer"
	"ingot/internal/seed"
)

// seedFor is what is pushed of an instance whose user data are given, as of a second of the year 2026.
func seedFor(t *testing.T, node, userData string, second int, addresses []string, macs ...string) json.RawMessage {
	t.Helper()
	s, err := seed.FromObject(map[string]any{"user_data": userData, "vendor_data": map[string]any{"roles": "as of the deploy"}}, seed.Input{UUID: node, Name: "n"})
	if err != nil {
		t.Fatal(err)
	}
	p := depot.PushedSeed{Node: node, Version: userData, Made: time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC), Instance: node, Seed: s.Encode(), MACs: macs}
	for _, a := range addresses {
		p.Addresses = append(p.Addresses, netip.MustParseAddr(a))
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestBootHostServesMetadata: what was pushed is served by address, static or leased here, until it is replaced or withdrawn; an
// address that two have is nobody's.
func TestBootHostServesMetadata(t *testing.T) {
	const one, two = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"
	lines := &logLines{}
	leases, err := netboot.OpenLeaseFile(filepath.Join(t.TempDir(), "leases.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := config.Defaults()
	if s, _, err := hostMetadata(c, leases, slog.New(slog.DiscardHandler)); s != nil || err != nil || seedsOf(nil) != nil {
		t.Errorf("without an address nobody is served: %v, %v", s, err)
	}
	c.Metadata.Listen = []string{"127.0.0.1:80"}
	s, shelf, err := hostMetadata(c, leases, slog.New(slog.NewTextHandler(lines, nil)))
	if err != nil {
		t.Fatal(err)
	}
	host := peerSeeds{shelf}
	h := httptest.NewServer(s)
	defer h.Close()
	ask := func(method, path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, h.URL+path, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	reads := func(what, want string) {
		t.Helper()
		code, got := ask(http.MethodGet, "/openstack/latest/user_data")
		if want == "" && code != http.StatusNotFound || want != "" && (code != http.StatusOK || got != want) {
			t.Errorf("%s: %d %q, want %q", what, code, got, want)
		}
	}
	put := func(all ...json.RawMessage) {
		t.Helper()
		if err := host.Put(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}

	// A question that comes before any conductor waits for one.
	early := make(chan int)
	go func() {
		code, _ := ask(http.MethodGet, "/openstack/latest/user_data")
		early <- code
	}()
	put(seedFor(t, one, "canary-a", 1, []string{"127.0.0.1"}, "52:54:00:00:00:01"))
	if err := host.Told(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := <-early; code != http.StatusOK {
		t.Errorf("asked before anything was pushed: %d", code)
	}
	reads("its static address", "canary-a")
	if code, got := ask(http.MethodGet, "/openstack/latest/vendor_data2.json"); code != http.StatusOK || !strings.Contains(got, "as of the deploy") {
		t.Errorf("vendor data: %d %s", code, got)
	}
	if code, _ := ask(http.MethodPost, "/openstack/latest/password"); code != http.StatusNotImplemented {
		t.Errorf("a password is answered %d", code)
	}
	put(seedFor(t, one, "canary-b", 2, []string{"127.0.0.1"}, "52:54:00:00:00:01"))
	reads("rebuilt", "canary-b")
	if err := host.Put(t.Context(), []json.RawMessage{seedFor(t, one, "canary-a", 1, []string{"127.0.0.1"})}); err == nil {
		t.Error("an older one is taken")
	}
	reads("an older push came late", "canary-b")

	put(seedFor(t, two, "canary-c", 1, []string{"127.0.0.1"}, "52:54:00:00:00:02"))
	reads("two have the address", "")
	put(seedFor(t, two, "canary-c", 2, nil, "52:54:00:00:00:02"))
	reads("one has it again", "canary-b")

	// Who leases the address has it.
	hold := func(mac string) {
		t.Helper()
		l := netboot.Lease{Network: "n", Address: netip.MustParseAddr("127.0.0.1"), MAC: mac, Until: time.Now().Add(time.Hour)}
		if err := leases.Hold(t.Context(), l, time.Now()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = leases.Drop(t.Context(), l) })
	}
	hold("52:54:00:00:00:01")
	reads("its own lease", "canary-b")
	if err := leases.Drop(t.Context(), netboot.Lease{Address: netip.MustParseAddr("127.0.0.1"), MAC: "52:54:00:00:00:01"}); err != nil {
		t.Fatal(err)
	}
	hold("52:54:00:00:00:02")
	reads("one says it, another leases it", "")
	if err := host.Remove(t.Context(), one, time.Date(2026, 1, 1, 0, 1, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	reads("only who leases it is left", "canary-c")
	if err := leases.Drop(t.Context(), netboot.Lease{Address: netip.MustParseAddr("127.0.0.1"), MAC: "52:54:00:00:00:02"}); err != nil {
		t.Fatal(err)
	}
	hold("52:54:00:00:00:99")
	reads("a stranger leases it", "")

	marks, err := host.List(t.Context())
	if err != nil || len(marks) != 1 || marks[0] != (peer.SeedMark{Node: two, Version: "canary-c", Made: time.Date(2026, 1, 1, 0, 0, 2, 0, time.UTC)}) {
		t.Errorf("it has %+v, %v", marks, err)
	}
	if log := lines.String(); strings.Contains(log, "canary") {
		t.Errorf("the log has user data:\n%s", log)
	}
}

// TestBootHostLooksWhoseNICItIs: on its own link a machine is known by its NIC, whatever address it takes.
func TestBootHostLooksWhoseNICItIs(t *testing.T) {
	const one = "00000000-0000-4000-8000-000000000001"
	shelf := depot.NewSeedShelf(depot.SeedOptions{})
	shelf.Told()
	if err := shelf.Put(seedFor(t, one, "canary", 1, []string{"192.0.2.7"}, "52:54:00:00:00:01")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at, mac string
		found   int
	}{
		{"192.0.2.7", "52:54:00:00:00:01", 1},
		{"192.0.2.7", "", 1}, // from behind a router
		{"192.0.2.7", "52:54:00:00:00:99", 0},
		{"192.0.2.8", "52:54:00:00:00:01", 0},
		{"fe80::1%eth0", "52:54:00:00:00:01", 1},
		{"fe80::1%eth0", "52:54:00:00:00:99", 0},
		{"fe80::1%eth0", "", 0},
	} {
		p := &pushedSeeds{shelf: shelf, neighbor: func(netip.Addr) string { return c.mac }}
		if got, err := p.At(t.Context(), netip.MustParseAddr(c.at)); err != nil || len(got) != c.found {
			t.Errorf("%s with the NIC %q: %v, %v", c.at, c.mac, got, err)
		}
	}
}
