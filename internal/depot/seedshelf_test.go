package depot

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
)

// aSeed is one of a node that is known by its number.
func aSeed(node int, version string, made time.Time, change func(*PushedSeed)) []byte {
	p := PushedSeed{Node: fmt.Sprintf("00000000-0000-4000-8000-%012x", node), Version: version, Made: made, Instance: "i", Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, byte(node)})},
		MACs: []string{fmt.Sprintf("52:54:00:00:00:%02x", node)}, Seed: []byte("seed of " + version)}
	if change != nil {
		change(&p)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		panic(err)
	}
	return raw
}

func (s *SeedShelf) versions() string {
	var out []string
	for _, h := range s.List() {
		out = append(out, h.Version)
	}
	return strings.Join(out, " ")
}

// TestSeedsOfABootHost: a seed is found by its addresses and MACs until it is replaced or taken away, and nothing that is older
// comes back.
func TestSeedsOfABootHost(t *testing.T) {
	s := NewSeedShelf(SeedOptions{})
	t0 := time.Now()
	put := func(raw []byte, want fault.Kind) {
		t.Helper()
		err := s.Put(raw)
		if (err == nil) != (want == 0) || err != nil && fault.KindOf(err) != want {
			t.Errorf("put: %v, want %v", err, want)
		}
	}
	found := func(want string, got []*HeldSeed) {
		t.Helper()
		var all []string
		for _, h := range got {
			all = append(all, h.Version+"="+h.Seed.Expose())
		}
		if strings.Join(all, " ") != want {
			t.Errorf("found %v, want %q", all, want)
		}
	}
	at := netip.MustParseAddr
	put(aSeed(1, "a", t0, nil), 0)
	put(aSeed(1, "a", t0, nil), 0)
	found("a=seed of a", s.ByAddress(at("192.0.2.1")))
	found("a=seed of a", s.ByAddress(at("::ffff:192.0.2.1")))
	found("a=seed of a", s.ByMAC("52:54:00:00:00:01"))
	found("", s.ByAddress(at("192.0.2.2")))

	// A rebuild replaces it, with its addresses.
	put(aSeed(1, "b", t0.Add(time.Second), func(p *PushedSeed) { p.Addresses, p.MACs = []netip.Addr{at("192.0.2.9")}, nil }), 0)
	found("", s.ByAddress(at("192.0.2.1")))
	found("", s.ByMAC("52:54:00:00:00:01"))
	found("b=seed of b", s.ByAddress(at("192.0.2.9")))
	put(aSeed(1, "a", t0, nil), fault.Conflict)

	// What was taken away does not come back; the next instance of the node does.
	s.Remove(uuid.NewString(), t0)
	s.Remove("00000000-0000-4000-8000-000000000001", t0) // of what is gone already
	found("b=seed of b", s.ByAddress(at("192.0.2.9")))
	s.Remove("00000000-0000-4000-8000-000000000001", t0.Add(time.Second))
	found("", s.ByAddress(at("192.0.2.9")))
	put(aSeed(1, "b", t0.Add(time.Second), nil), 0) // it was taken away for a while
	s.Remove("00000000-0000-4000-8000-000000000001", t0.Add(time.Second+1))
	put(aSeed(1, "b", t0.Add(time.Second), nil), fault.Conflict)
	put(aSeed(1, "c", t0.Add(2*time.Second), nil), 0)

	// Two with one address are told to be two.
	put(aSeed(2, "d", t0, func(p *PushedSeed) { p.Addresses = []netip.Addr{at("192.0.2.1")} }), 0)
	found("c=seed of c d=seed of d", s.ByAddress(at("192.0.2.1")))
	if got := s.versions(); got != "c d" {
		t.Error(got)
	}
}

// TestSeedsAreBounded: what is too much, or is no seed, is refused, and what is there stays.
func TestSeedsAreBounded(t *testing.T) {
	s := NewSeedShelf(SeedOptions{Space: 3000, MaxSeed: 2000, MaxSeeds: 2})
	now := time.Now()
	big := func(n int) func(*PushedSeed) { return func(p *PushedSeed) { p.Seed = make([]byte, n) } }
	if err := s.Put(aSeed(1, "a", now, big(1500))); err != nil {
		t.Fatal(err)
	}
	for what, x := range map[string]struct {
		raw  []byte
		kind fault.Kind
	}{
		"too large":         {aSeed(2, "b", now, big(2001)), fault.TooLarge},
		"no room":           {aSeed(2, "b", now, big(1500)), fault.TooLarge},
		"no room for more":  {aSeed(1, "b", now.Add(1), big(2001)), fault.TooLarge},
		"no JSON":           {[]byte("{"), fault.Invalid},
		"no node":           {aSeed(2, "b", now, func(p *PushedSeed) { p.Node = "../x" }), fault.Invalid},
		"another spelling":  {aSeed(2, "b", now, func(p *PushedSeed) { p.Node = strings.ToUpper("0000000a-0000-4000-8000-00000000000a") }), fault.Invalid},
		"no version":        {aSeed(2, "", now, nil), fault.Invalid},
		"no time":           {aSeed(2, "b", time.Time{}, nil), fault.Invalid},
		"everybody":         {aSeed(2, "b", now, func(p *PushedSeed) { p.Addresses = []netip.Addr{netip.IPv4Unspecified()} }), fault.Invalid},
		"a zone":            {aSeed(2, "b", now, func(p *PushedSeed) { p.Addresses = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")} }), fault.Invalid},
		"too many adresses": {aSeed(2, "b", now, func(p *PushedSeed) { p.Addresses = make([]netip.Addr, maxNets+1) }), fault.Invalid},
	} {
		if err := s.Put(x.raw); fault.KindOf(err) != x.kind || err == nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := s.Put(aSeed(2, "b", now, big(1))); err != nil {
		t.Error(err)
	}
	if err := s.Put(aSeed(3, "c", now, big(1))); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("one too many: %v", err)
	}
	if err := s.Put(aSeed(1, "a2", now.Add(1), big(1600))); err != nil {
		t.Errorf("in place of its own: %v", err)
	}
	if got := s.versions(); got != "a2 b" {
		t.Error(got)
	}
}

// TestSeedsWaitForConductors: until one says that all is there nothing is answered; a question waits a while for that. When none is heard
// for long, nothing is answered any more.
func TestSeedsWaitForConductors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSeedShelf(SeedOptions{})
		if err := s.Ready(t.Context()); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("nobody told anything: %v", err)
		}
		waited := make(chan error, 1)
		go func() { waited <- s.Ready(t.Context()) }()
		synctest.Wait()
		s.Told()
		if err := <-waited; err != nil {
			t.Error(err)
		}
		s.Told()
		time.Sleep(24 * time.Hour) // synctest's clock
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if err := s.Ready(t.Context()); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("after a day: %v", err)
		}
		s.Told()
		if err := s.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		gone, stop := context.WithCancel(t.Context())
		stop()
		if err := NewSeedShelf(SeedOptions{}).Ready(gone); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("whoever asked is gone: %v", err)
		}
	})
}

func FuzzPushedSeed(f *testing.F) {
	f.Add(aSeed(1, "a", time.Unix(1, 0), nil))
	f.Add([]byte(`{"node":"00000000-0000-4000-8000-000000000001","version":"v","made":"2026-01-01T00:00:00Z","addresses":["fe80::1"],"seed":"AA=="}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := NewSeedShelf(SeedOptions{})
		if s.Put(raw) != nil {
			return
		}
		all := s.List()
		if len(all) != 1 {
			t.Fatalf("%d seeds", len(all))
		}
		s.Remove(all[0].Node, all[0].Made)
		if len(s.seeds)+len(s.addresses)+len(s.macs) != 0 || s.used != 0 {
			t.Errorf("left: %v %v %v, %d bytes", s.seeds, s.addresses, s.macs, s.used)
		}
	})
}
