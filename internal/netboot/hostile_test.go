package netboot

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

func silentBecause(err error, reason string) bool {
	var quiet silence
	return errors.As(err, &quiet) && quiet.reason == reason
}

// A reply holds the key of a boot: a packet from afar that names a known MAC does not get one sent back.
func TestRepliesStayInTheirNetwork(t *testing.T) {
	s := serviceFor(t, newMemory())
	everybody := netip.MustParseAddrPort("255.255.255.255:68")
	afar := func(p *dhcpv4.DHCPv4) { p.ClientIPAddr = net.IP{203, 0, 113, 66} }
	for _, kind := range []dhcpv4.MessageType{dhcpv4.MessageTypeDiscover, dhcpv4.MessageTypeRequest} {
		raw := packet4(t, macA, kind, firmware(iana.EFI_X86_64, uidA), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IP{192, 0, 2, 10})), afar)
		if _, to, err := ask(t, s, "lo", raw, false); err != nil || to != everybody {
			t.Errorf("a %s from afar was answered to %s, %v", kind, to, err)
		}
	}
	neighbour := func(p *dhcpv4.DHCPv4) { p.ClientIPAddr = net.IP{192, 0, 2, 77} }
	raw := packet4(t, macA, dhcpv4.MessageTypeRequest, firmware(iana.EFI_X86_64, uidA), dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IP{192, 0, 2, 10})), neighbour)
	if _, to, err := ask(t, s, "lo", raw, false); err != nil || to != everybody {
		t.Errorf("a request that names another's address was answered to %s, %v", to, err)
	}
	renew := packet4(t, macA, dhcpv4.MessageTypeRequest, func(p *dhcpv4.DHCPv4) { p.ClientIPAddr = net.IP{192, 0, 2, 10} })
	if _, to, err := ask(t, s, "lo", renew, false); err != nil || to != netip.MustParseAddrPort("192.0.2.10:68") {
		t.Errorf("a renewal was answered to %s, %v", to, err)
	}
}

func TestDHCPv6AnswersNobodyFromAfar(t *testing.T) {
	s := serviceFor(t, newMemory())
	hw, _ := net.ParseMAC(macA)
	info := message6(dhcpv6.MessageTypeInformationRequest, dhcpv6.OptClientArchType(iana.EFI_X86_64),
		dhcpv6.OptClientID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: hw}))
	afar := netip.MustParseAddrPort("[2001:db8:666::1]:546")
	if r, err := ask6(t, s, "lo", info, afar); !silentBecause(err, "unknown network") {
		t.Errorf("a machine from afar: %v, %v", r, err)
	}
	relay := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward, LinkAddr: net.ParseIP("2001:db8::ffff"), PeerAddr: linkOf(macA).Addr().AsSlice()}
	relay.AddOption(dhcpv6.OptRelayMessage(info))
	if r, err := ask6(t, s, "lo", relay, afar); !silentBecause(err, "unknown network") {
		t.Errorf("a relay from afar: %v, %v", r, err)
	}
	s.networks[0].Relays = []netip.Addr{afar.Addr()}
	if _, err := ask6(t, s, "lo", relay, afar); err != nil {
		t.Errorf("a relay that is named: %v", err)
	}
	if _, err := ask6(t, s, "lo", info, linkOf(macA)); err != nil {
		t.Errorf("a neighbour: %v", err)
	}
}

// A firmware that boots over IPv4 tells its UUID: who leaves it out is not the machine.
func TestNoBootFileWithoutTheUUID(t *testing.T) {
	for uuid, silent := range map[string]bool{"": true, "00000000-0000-0000-0000-000000000000": true, uidA: false} {
		m := newMemory()
		s := serviceFor(t, m)
		_, _, err := ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeDiscover, firmware(iana.EFI_X86_64, uuid)), false)
		if silentBecause(err, NoticeUUID) != silent || (m.noted(NoticeUUID) > 0) != silent {
			t.Errorf("UUID %q: %v", uuid, err)
		}
		m.boots[0].SystemUUID = "" // not known: it cannot be compared
		if _, _, err := ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeDiscover, firmware(iana.EFI_X86_64, uuid)), false); err != nil {
			t.Errorf("UUID %q of a node without one: %v", uuid, err)
		}
	}
	s := serviceFor(t, newMemory())
	if _, _, err := ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeDiscover), false); err != nil {
		t.Errorf("the ramdisk's own client: %v", err)
	}
}

func solicit6(mac string, duid byte) *dhcpv6.Message {
	return message6(dhcpv6.MessageTypeSolicit, &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit},
		dhcpv6.OptClientID(&dhcpv6.DUIDEN{EnterpriseNumber: 9, EnterpriseIdentifier: []byte{duid}}), &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, duid}})
}

// One NIC has a few DUIDs in its life. With many it does not empty the range.
func TestOneNICDoesNotEmptyARange(t *testing.T) {
	s := serviceFor(t, newMemory())
	for i := range 64 {
		if r, err := ask6(t, s, "lo", solicit6(macA, byte(i)), linkOf(macA)); err != nil || r.Options.OneIANA().Options.OneAddress() == nil {
			t.Fatalf("DUID %d: %v, %v", i, r, err)
		}
	}
	all, err := s.o.Leases.List(t.Context(), "provisioning")
	if err != nil || len(all) > maxOfNIC {
		t.Errorf("%d leases of one NIC, %v", len(all), err)
	}
	if r, err := ask6(t, s, "lo", solicit6(macB, 1), linkOf(macB)); err != nil || r.Options.OneIANA().Options.OneAddress() == nil {
		t.Errorf("another machine got none: %v, %v", r, err)
	}
}

// The address that is reserved for a NIC is that of its firmware and of its ramdisk, which have different DUIDs.
func TestReservedAddressOutlivesADUID(t *testing.T) {
	m := newMemory()
	m.known[macA].Reserved = []netip.Addr{netip.MustParseAddr("2001:db8::77")}
	s := serviceFor(t, m)
	for duid := range byte(3) {
		r, err := ask6(t, s, "lo", solicit6(macA, duid), linkOf(macA))
		if err != nil {
			t.Fatal(err)
		}
		if a := r.Options.OneIANA().Options.OneAddress(); a == nil || a.IPv6Addr.String() != "2001:db8::77" {
			t.Errorf("DUID %d got %v", duid, a)
		}
	}
}

// Declined addresses rest: a machine that declines one after the other would leave none to the others.
func TestOneNICDoesNotDeclineARange(t *testing.T) {
	s := serviceFor(t, newMemory())
	s.networks[0].Range = Range{From: netip.MustParseAddr("192.0.2.10"), To: netip.MustParseAddr("192.0.2.40")}
	for i := range 20 {
		a := dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IP{192, 0, 2, byte(10 + i)}))
		if _, _, err := ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeRequest, a), false); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeDecline, a), false); err == nil {
			t.Fatal("a decline was answered")
		}
	}
	all, err := s.o.Leases.List(t.Context(), "provisioning")
	rest := 0
	for _, l := range all {
		if l.Declined && l.Until.After(time.Now()) {
			rest++
		}
	}
	if err != nil || rest != maxDeclined {
		t.Errorf("%d addresses rest, %v", rest, err)
	}
}

// One machine with many half open transfers keeps no other from its files.
func TestOneAddressDoesNotTakeAllTransfers(t *testing.T) {
	s := serviceFor(t, newMemory())
	get := func(from string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/netboot/"+keyA+"/boot.ipxe", nil)
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	var leaves []func()
	for range maxTransfers {
		if leave, ok := s.enter(netip.MustParseAddr("192.0.2.66")); ok {
			leaves = append(leaves, leave)
		}
	}
	if code := get("192.0.2.66:1000"); code != http.StatusServiceUnavailable {
		t.Errorf("one more of the same: %d", code)
	}
	if code := get("192.0.2.10:1000"); code != http.StatusOK {
		t.Errorf("another machine: %d", code)
	}
	for _, leave := range leaves {
		leave()
	}
	if code := get("192.0.2.66:1000"); code != http.StatusOK || len(s.gate) != 0 || len(s.transfers.of) != 0 {
		t.Errorf("after they ended: %d, %d and %d run", code, len(s.gate), len(s.transfers.of))
	}
}

// Connections that say nothing are the business of the address they come from: others get theirs.
func TestOneAddressLeavesConnectionsToOthers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serviceFor(t, newMemory())
	s.http = l
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.serveHTTP(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	from := func(a string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(a)}}
		c, err := d.DialContext(ctx, "tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	served := func(c net.Conn) bool {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		_, _ = c.Write([]byte("GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) // it may be closed already
		_, err := c.Read(make([]byte, 1))
		return err == nil
	}
	var silent []net.Conn
	for range maxHTTPOfAddress {
		silent = append(silent, from("127.0.0.2"))
	}
	if served(from("127.0.0.2")) {
		t.Error("it has one more than an address may")
	}
	if !served(from("127.0.0.3")) {
		t.Error("another address is not served")
	}
	silent[0].Close()
	for limit := time.Now().Add(20 * time.Second); !served(from("127.0.0.2")); { // until the server has seen that it went
		if time.Now().After(limit) {
			t.Fatal("its place is never free again")
		}
	}
}
