package network

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"
	"github.com/vishvananda/netlink"
)

// inside marks the process of a test that has a network of its own.
const inside = "INGOT_TEST_OWN_NETWORK"

// ownNetwork runs the test again as a process with a network of its own, and tells whether this is it.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("only root makes networks")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS}
	out, err := cmd.CombinedOutput()
	if err != nil && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS)) {
		t.Skipf("no network of its own here: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Skipf("%s", out)
	}
	return false
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// machineNIC makes a NIC of the machine, and the switch's port it is plugged into.
func machineNIC(t *testing.T, name, mac string) (port netlink.Link) {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	do(t, err)
	do(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: hw}, PeerName: name + "p"}))
	port, err = netlink.LinkByName(name + "p")
	do(t, err)
	do(t, netlink.LinkSetUp(port))
	return port
}

// lan is a network of a switch, with a DHCP server at its .1.
func lan(t *testing.T, name, prefix string) *netlink.Bridge {
	t.Helper()
	b := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
	do(t, netlink.LinkAdd(b), netlink.LinkSetUp(b))
	do(t, netlink.AddrAdd(b, &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(netip.MustParseAddr(prefix+".1"), 24))}))
	dhcp(t, name, prefix, 1, 9)
	return b
}

// dhcp is a DHCP server of a network; offered has an element for each offer, of the first hundred.
func dhcp(t *testing.T, name, prefix string, own, gives int) (offered chan struct{}) {
	t.Helper()
	offered = make(chan struct{}, 100)
	server := netip.MustParseAddr(fmt.Sprintf("%s.%d", prefix, own))
	s, err := server4.NewServer(name, nil, func(conn net.PacketConn, _ net.Addr, m *dhcpv4.DHCPv4) {
		kind := dhcpv4.MessageTypeOffer
		if m.MessageType() == dhcpv4.MessageTypeRequest {
			if s := m.ServerIdentifier(); s != nil && !s.Equal(server.AsSlice()) {
				return
			}
			kind = dhcpv4.MessageTypeAck
		}
		a, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(server.AsSlice()), dhcpv4.WithYourIP(net.ParseIP(fmt.Sprintf("%s.%d", prefix, gives))),
			dhcpv4.WithNetmask(net.CIDRMask(24, 32)), dhcpv4.WithLeaseTime(3600), dhcpv4.WithRouter(net.ParseIP(prefix+".2")), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(server.AsSlice())))
		if err == nil {
			_, _ = conn.WriteTo(a.ToBytes(), &net.UDPAddr{IP: net.IPv4bcast, Port: 68})
		}
		if kind == dhcpv4.MessageTypeOffer {
			select {
			case offered <- struct{}{}:
			default:
			}
		}
	})
	do(t, err)
	go func() { _ = s.Serve() }()
	t.Cleanup(func() { _ = s.Close() })
	return offered
}

// has waits until a NIC has exactly these addresses and default gateway.
func has(t *testing.T, nic, want string) {
	t.Helper()
	got := ""
	for ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second); ctx.Err() == nil; {
		defer cancel()
		got = state(t, nic)
		if got == want {
			return
		}
		pause(ctx, 20*time.Millisecond)
	}
	t.Fatalf("%s has %s, want %s", nic, got, want)
}

func state(t *testing.T, nic string) string {
	link, err := netlink.LinkByName(nic)
	if err != nil {
		return err.Error()
	}
	var all []string
	addresses, err := netlink.AddrList(link, netlink.FAMILY_V4)
	do(t, err)
	for _, a := range addresses {
		all = append(all, a.IPNet.String())
	}
	routes, err := netlink.RouteList(link, netlink.FAMILY_V4)
	do(t, err)
	for _, r := range routes {
		if r.Gw != nil {
			all = append(all, "by "+r.Gw.String())
		}
	}
	return strings.Join(all, " ")
}

func TestALeaseIsFollowedToAnotherNetwork(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	rescuing, tenants := lan(t, "rescuing", "10.1.0"), lan(t, "tenants", "10.2.0")
	port := machineNIC(t, "nic0", "52:54:00:aa:bb:01")
	do(t, netlink.LinkSetMaster(port, rescuing))
	ctx, cancel := context.WithCancel(t.Context())
	var log strings.Builder
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tenant(ctx, slog.New(slog.NewTextHandler(&log, nil)), []byte(one(`"type":"ipv4_dhcp"`)), timing{time.Minute, 50 * time.Millisecond, 200 * time.Millisecond})
	}()
	has(t, "nic0", "10.1.0.9/24 by 10.1.0.2")
	// A second server of the network is no move.
	second := dhcp(t, "rescuing", "10.1.0", 5, 77)
	for range 5 {
		select {
		case <-second:
		case <-time.After(30 * time.Second):
			t.Fatal("nobody looks for a move any more")
		}
	}
	// The switch moves its port: the machine's carrier stays as it is.
	do(t, netlink.LinkSetMaster(port, tenants))
	has(t, "nic0", "10.2.0.9/24 by 10.2.0.2")
	cancel()
	<-ended
	if n := strings.Count(log.String(), "on another network"); n != 1 {
		t.Errorf("moved %d times:\n%s", n, log.String())
	}
	if listening := listeners(t); listening != "" {
		t.Errorf("something listens: %s", listening)
	}
}

// listeners are the TCP ports that are listened on.
func listeners(t *testing.T) (all string) {
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, err := os.ReadFile(name)
		do(t, err)
		for line := range strings.Lines(string(data)) {
			if f := strings.Fields(line); len(f) > 3 && f[3] == "0A" { // TCP_LISTEN
				all += f[1] + " "
			}
		}
	}
	return all
}

// TestAStaticNetworkReplacesWhatWasThere sees that it does so once: whoever has logged in keeps the connection.
func TestAStaticNetworkReplacesWhatWasThere(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	machineNIC(t, "nic0", "52:54:00:aa:bb:01")
	nic, err := netlink.LinkByName("nic0")
	do(t, err, netlink.LinkSetUp(nic), netlink.AddrAdd(nic, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.1.0.9/24"))}))
	do(t, netlink.RouteAdd(&netlink.Route{LinkIndex: nic.Attrs().Index, Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0")), Gw: net.IPv4(10, 1, 0, 2)}))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tenant(ctx, slog.New(slog.DiscardHandler), []byte(one(`"type":"ipv4","ip_address":"10.2.0.9","netmask":"24","gateway":"10.2.0.1"`)), timing{})
	}()
	has(t, "nic0", "10.2.0.9/24 by 10.2.0.1")
	select {
	case <-ended:
		t.Error("it ends, and would be started again")
	default:
	}
	cancel()
	<-ended
	if got := state(t, "nic0"); got != "10.2.0.9/24 by 10.2.0.1" {
		t.Errorf("at its end the NIC has %s", got)
	}
}

func TestStaticBondsAndVLANs(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	machineNIC(t, "nic0", "52:54:00:aa:bb:01")
	machineNIC(t, "nic1", "52:54:00:aa:bb:02")
	old, err := netlink.LinkByName("nic0")
	do(t, err, netlink.AddrAdd(old, &netlink.Addr{IPNet: ipNet(netip.MustParsePrefix("10.1.0.9/24"))}))
	data := `{"links":[{"id":"v","type":"vlan","vlan_id":101,"vlan_link":"b"},{"id":"b","type":"bond","ethernet_mac_address":"52:54:00:aa:bb:01","bond_mode":"active-backup","bond_links":["l0","l1"]},
	 {"id":"l0","type":"phy","ethernet_mac_address":"52:54:00:aa:bb:01"},{"id":"l1","type":"phy","ethernet_mac_address":"52:54:00:aa:bb:02"}],
	 "networks":[{"id":"n","link":"v","type":"ipv4","ip_address":"198.18.77.201","netmask":"255.255.255.0","gateway":"198.18.77.1"}]}`
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	for range 2 { // again over what is there
		plan, err := Parse([]byte(data))
		do(t, err)
		if err := build(t.Context(), log, plan, timing{}, nil); err != nil {
			if strings.Contains(err.Error(), "has no module") {
				t.Skip(err)
			}
			t.Fatal(err)
		}
		bond, err := netlink.LinkByName("bond2")
		do(t, err)
		if got := state(t, fmt.Sprintf("vlan101.%d", bond.Attrs().Index)); got != "198.18.77.201/24 by 198.18.77.1" {
			t.Errorf("the VLAN has %s", got)
		}
		for _, name := range []string{"nic0", "nic1"} {
			nic, err := netlink.LinkByName(name)
			do(t, err)
			if nic.Attrs().MasterIndex != bond.Attrs().Index {
				t.Errorf("%s is not in the bond", name)
			}
		}
	}
}

func TestHostNames(t *testing.T) {
	if got := string(hostsOf([]byte("127.0.0.1 localhost\n127.0.1.1 old"), "new")); got != "127.0.0.1 localhost\n127.0.1.1 new\n" {
		t.Errorf("%q", got)
	}
	for name, ok := range map[string]bool{"web-1": true, "a": true, "": false, "-a": false, "a b": false, "a\nb": false, strings.Repeat("a", 64): false} {
		if hostName.MatchString(name) != ok {
			t.Errorf("%q", name)
		}
	}
}
