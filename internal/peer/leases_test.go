package peer

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// leased are leases in memory.
type leased map[string][]netip.Addr

func (l leased) Addresses(_ context.Context, mac string) ([]netip.Addr, error) { return l[mac], nil }

func (l leased) Holder(_ context.Context, a netip.Addr) (string, error) {
	for mac, all := range l {
		if slices.Contains(all, a) {
			return mac, nil
		}
	}
	return "", nil
}

// TestWhoeverServesMetadataAsksForHolders: a conductor and a metadata service are told who has an address; nobody else is, and what
// a boot host says that was taken over must be a MAC at least.
func TestWhoeverServesMetadataAsksForHolders(t *testing.T) {
	cl := newCluster(t)
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	host := cl.joined("boot1", Boot)
	host.o.Leases = leased{"52:54:00:00:00:0a": {v4, v6}, "no MAC": {netip.MustParseAddr("192.0.2.8")}, "52:54:00:00:00:0a:00:01": {netip.MustParseAddr("192.0.2.9")}}
	at := Server{"boot1", cl.serve(host)}
	for _, who := range []*Peer{cl.joined("two", Conductor), cl.joined("three", Metadata)} {
		for a, want := range map[string]string{"192.0.2.7": "52:54:00:00:00:0a", "::ffff:192.0.2.7": "52:54:00:00:00:0a", "2001:db8::7": "52:54:00:00:00:0a", "192.0.2.1": ""} {
			if got, err := who.LeaseHolder(t.Context(), at, netip.MustParseAddr(a)); err != nil || got != want {
				t.Errorf("%s: %q, %v", a, got, err)
			}
		}
		for _, bad := range []string{"192.0.2.8", "192.0.2.9"} {
			if got, err := who.LeaseHolder(t.Context(), at, netip.MustParseAddr(bad)); fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s: %q, %v", bad, got, err)
			}
		}
	}
	if _, err := cl.joined("four", API, AgentAPI).LeaseHolder(t.Context(), at, v4); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("an API asks: %v", err)
	}
	if _, err := cl.joined("five", Metadata).Leases(t.Context(), at, "52:54:00:00:00:0a"); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("a metadata service asks what is a conductor's: %v", err)
	}
}

// TestConductorsAskForLeases: a conductor is told where a machine is; nobody else is.
func TestConductorsAskForLeases(t *testing.T) {
	cl := newCluster(t)
	v4, v6 := netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")
	many := make([]netip.Addr, 1000)
	for i := range many {
		many[i] = v4
	}
	host := cl.joined("boot1", Boot)
	host.o.Leases = leased{"52:54:00:00:00:0a": {v4, v6}, "52:54:00:00:00:0c": many}
	at := Server{"boot1", cl.serve(host)}
	two := cl.joined("two", Conductor)
	for mac, want := range map[string][]netip.Addr{"52:54:00:00:00:0a": {v4, v6}, "52:54:00:00:00:0b": {}, "52:54:00:00:00:0c": many[:maxLeases]} {
		if got, err := two.Leases(t.Context(), at, mac); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v", mac, got, err)
		}
	}
	for _, mac := range []string{"nonsense", "52-54-00-00-00-0a-00-01", "%2e%2e%2ffiles"} {
		if got, err := two.Leases(t.Context(), at, mac); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v, %v", mac, got, err)
		}
	}
	if _, err := cl.joined("three", API, AgentAPI).Leases(t.Context(), at, "52:54:00:00:00:0a"); fault.KindOf(err) != fault.Forbidden {
		t.Errorf("an API asks: %v", err)
	}
}

// TestLeasesOfWhoeverHasIt: a boot host that was taken over does not lead a conductor to itself, or to many.
func TestLeasesOfWhoeverHasIt(t *testing.T) {
	for _, text := range []string{`["127.0.0.1"]`, `["::1"]`, `["0.0.0.0"]`, `["224.0.0.1"]`, `["255.255.255.255"]`, `["fe80::1%eth0"]`, `["::ffff:127.0.0.1"]`, `["::ffff:192.0.2.1%0"]`, `[""]`, `["a"]`, `{}`, `"192.0.2.1"`,
		"[" + strings.Repeat(`"192.0.2.1",`, maxLeases) + `"192.0.2.1"]`} {
		if got, err := parseLeases([]byte(text)); err == nil {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func FuzzParseLeases(f *testing.F) {
	f.Add([]byte(`["192.0.2.1","2001:db8::1"]`))
	f.Add([]byte(`["::ffff:192.0.2.1","fe80::1%1"]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := parseLeases(raw)
		if err != nil {
			return
		}
		if again, err := json.Marshal(got); err != nil || len(got) > maxLeases || strings.Contains(fmt.Sprint(got), "%") || got != nil && len(again) < 2 {
			t.Errorf("took %v", got)
		}
		for _, a := range got {
			if a.IsLoopback() || a.IsMulticast() || a.IsUnspecified() {
				t.Errorf("took %v", a)
			}
		}
	})
}
