package netboot

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"ingot/internal/metal"
)

// linkOf is the link-local address that is made of a MAC.
func linkOf(mac string) netip.AddrPort {
	hw, _ := net.ParseMAC(mac)
	a := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: hw[0] ^ 2, 9: hw[1], 10: hw[2], 11: 0xff, 12: 0xfe, 13: hw[3], 14: hw[4], 15: hw[5]})
	return netip.AddrPortFrom(a, 546)
}

// duidOf is what a UEFI firmware calls itself.
func duidOf(uuid string) dhcpv6.DUID {
	raw, _ := hex.DecodeString(strings.ReplaceAll(uuid, "-", ""))
	return &dhcpv6.DUIDUUID{UUID: [16]byte(raw)}
}

func message6(kind dhcpv6.MessageType, options ...dhcpv6.Option) *dhcpv6.Message {
	m := &dhcpv6.Message{MessageType: kind, TransactionID: dhcpv6.TransactionID{1, 2, 3}}
	for _, o := range options {
		m.AddOption(o)
	}
	return m
}

func ask6(t testing.TB, s *Service, iface string, m dhcpv6.DHCPv6, from netip.AddrPort) (*dhcpv6.Message, error) {
	t.Helper()
	out, _, _, err := s.packet6(t.Context(), iface, m.ToBytes(), from)
	if err != nil {
		return nil, err
	}
	p, err := dhcpv6.FromBytes(out)
	if err != nil {
		t.Fatalf("the answer cannot be read: %v", err)
	}
	inner, err := p.GetInnerMessage()
	if err != nil {
		t.Fatal(err)
	}
	return inner, nil
}

var uefi6 = []dhcpv6.Option{dhcpv6.OptClientID(duidOf(uidA)), dhcpv6.OptClientArchType(iana.EFI_X86_64),
	&dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}}}

func TestDHCPv6FromSolicitToRelease(t *testing.T) {
	s := serviceFor(t, newMemory())
	adv, err := ask6(t, s, "lo", message6(dhcpv6.MessageTypeSolicit, uefi6...), linkOf(macA))
	if err != nil || adv.MessageType != dhcpv6.MessageTypeAdvertise || adv.Options.BootFileURL() != "tftp://[2001:db8::1]/"+keyA+"/snponly.efi" {
		t.Fatalf("advertised %v, %v", adv, err)
	}
	got := adv.Options.OneIANA().Options.OneAddress().IPv6Addr
	ia := &dhcpv6.OptIANA{IaId: [4]byte{0, 0, 0, 1}}
	ia.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: got})
	request := []dhcpv6.Option{dhcpv6.OptClientID(duidOf(uidA)), dhcpv6.OptServerID(s.duid), ia}
	for _, kind := range []dhcpv6.MessageType{dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew} {
		reply, err := ask6(t, s, "lo", message6(kind, request...), linkOf(macA))
		if err != nil || reply.MessageType != dhcpv6.MessageTypeReply || !reply.Options.OneIANA().Options.OneAddress().IPv6Addr.Equal(got) {
			t.Errorf("%s: %v, %v", kind, reply, err)
		}
	}
	at, _ := netip.AddrFromSlice(got)
	if l, _ := s.o.Leases.Holder(t.Context(), at, s.now()); l == nil || l.MAC != macA {
		t.Errorf("leased: %v", l)
	}
	if b, err := s.bootAt(t.Context(), at); err != nil || b.Key.Expose() != keyA {
		t.Errorf("the boot at %s: %v", at, err)
	}
	other, err := ask6(t, s, "lo", message6(dhcpv6.MessageTypeRenew, request...), linkOf(macB))
	if err != nil || other.Options.OneIANA().Options.OneAddress() != nil {
		t.Errorf("another renewed %s: %v, %v", got, other, err)
	}
	if _, err := ask6(t, s, "lo", message6(dhcpv6.MessageTypeRelease, request...), linkOf(macA)); err != nil {
		t.Error(err)
	}
	if l, _ := s.o.Leases.Holder(t.Context(), at, s.now()); l != nil {
		t.Errorf("after the release: %v", l)
	}
}

func TestDHCPv6BootFileByWhoAsks(t *testing.T) {
	arch := func(a iana.Arch) dhcpv6.Option { return dhcpv6.OptClientArchType(a) }
	class := &dhcpv6.OptVendorClass{EnterpriseNumber: vendorUEFI, Data: [][]byte{[]byte("HTTPClient:Arch:00016:UNDI:003000")}}
	for _, tt := range []struct {
		name, iface, mac, boot, duid string
		options                      []dhcpv6.Option
		want, silent                 string
	}{
		{name: "iPXE", mac: macA, options: []dhcpv6.Option{arch(iana.EFI_X86_64), &dhcpv6.OptUserClass{UserClasses: [][]byte{[]byte("iPXE")}}},
			want: "http://192.0.2.1:6387/netboot/" + keyA + "/boot.ipxe"},
		{name: "HTTP", mac: macA, boot: metal.BootHTTP, options: []dhcpv6.Option{arch(iana.EFI_X86_64_HTTP), class},
			want: "http://192.0.2.1:6387/netboot/" + keyA + "/snponly.efi"},
		{name: "arm64", mac: macA, options: []dhcpv6.Option{arch(iana.EFI_ARM64)}},
		{name: "an operating system", mac: macA},
		{name: "beside routers", iface: "eth9", mac: macB, options: []dhcpv6.Option{arch(iana.EFI_X86_64)}, want: "tftp://[2001:db8:1::1]/" + keyB + "/snponly.efi"},
		{name: "another UUID", mac: macA, duid: "deadbeef-4455-6677-8899-aabbccddeeff", options: []dhcpv6.Option{arch(iana.EFI_X86_64)}, silent: NoticeUUID},
		{name: "a stranger", mac: macX, options: []dhcpv6.Option{arch(iana.EFI_X86_64)}, silent: "unknown machine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory()
			s := serviceFor(t, m)
			if tt.boot != "" {
				m.boots[0].Interface = tt.boot
			}
			if tt.iface == "" {
				tt.iface = "lo"
			}
			if tt.duid == "" {
				tt.duid = uidA
			}
			q := message6(dhcpv6.MessageTypeInformationRequest, append(tt.options, dhcpv6.OptClientID(duidOf(tt.duid)))...)
			r, err := ask6(t, s, tt.iface, q, linkOf(tt.mac))
			var quiet silence
			if errors.As(err, &quiet); quiet.reason != tt.silent || (err != nil) != (tt.silent != "") {
				t.Fatalf("got %v, want the silence %q", err, tt.silent)
			}
			if err == nil && r.Options.BootFileURL() != tt.want {
				t.Errorf("boot file %q, want %q", r.Options.BootFileURL(), tt.want)
			}
		})
	}
}

func TestDHCPv6Relayed(t *testing.T) {
	s := serviceFor(t, newMemory())
	r := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward, LinkAddr: net.ParseIP("2001:db8::ffff"), PeerAddr: linkOf(macA).Addr().AsSlice()}
	r.AddOption(dhcpv6.OptRelayMessage(message6(dhcpv6.MessageTypeSolicit, uefi6...)))
	m, err := ask6(t, s, "lo", r, netip.MustParseAddrPort("[2001:db8::ffff]:547"))
	if err != nil || m.MessageType != dhcpv6.MessageTypeAdvertise {
		t.Errorf("%v, %v", m, err)
	}
	r.LinkAddr = net.ParseIP("2001:db8:77::1")
	if _, err := ask6(t, s, "lo", r, netip.MustParseAddrPort("[2001:db8::ffff]:547")); err == nil {
		t.Error("answered a relay of no network")
	}
}
