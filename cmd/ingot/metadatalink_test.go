package main

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// TestTheKernelSeesWhoAsks: of a machine on a link of this host the kernel tells the MAC, and of one behind a router none; link-local
// addresses are looked for whatever is configured.
func TestTheKernelSeesWhoAsks(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("skipped: links are made by root only")
	}
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	ns, err := netns.New()
	if err != nil {
		t.Skipf("skipped: no network namespace can be made here: %v", err)
	}
	defer ns.Close()
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "tenants"}}
	mac, err := net.ParseMAC("52:54:00:00:00:0a")
	if err != nil {
		t.Fatal(err)
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := netlink.LinkAdd(link); err != nil {
		t.Skipf("skipped: no link can be made here: %v", err)
	}
	do(netlink.LinkSetUp(link))
	at, err := netlink.ParseAddr("192.0.2.1/24")
	do(err)
	do(netlink.AddrAdd(link, at))
	known := func(address string) {
		t.Helper()
		do(netlink.NeighSet(&netlink.Neigh{LinkIndex: link.Index, IP: net.ParseIP(address), HardwareAddr: mac, State: netlink.NUD_PERMANENT}))
	}
	known("192.0.2.7")
	known("192.0.2.254")
	known("fe80::7")
	do(netlink.RouteAdd(&netlink.Route{LinkIndex: link.Index, Gw: net.ParseIP("192.0.2.254")}))
	for _, c := range []struct {
		address string
		check   bool
		want    string
	}{
		{"192.0.2.7", true, mac.String()}, {"192.0.2.7", false, ""}, {"192.0.2.8", true, ""}, {"198.51.100.7", true, ""}, {"127.0.0.1", true, ""},
		{"fe80::7%tenants", true, mac.String()}, {"fe80::7%tenants", false, mac.String()}, {"fe80::8%tenants", true, ""},
	} {
		if got := neighbours(c.check)(netip.MustParseAddr(c.address)); got != c.want {
			t.Errorf("%s, checked %v: %q, want %q", c.address, c.check, got, c.want)
		}
	}
}
