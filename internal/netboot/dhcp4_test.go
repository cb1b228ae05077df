package netboot

import (
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"ingot/internal/metal"
)

// packet4 is a packet as a client sends it.
func packet4(t testing.TB, mac string, kind dhcpv4.MessageType, more ...dhcpv4.Modifier) []byte {
	t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		t.Fatal(err)
	}
	p, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(hw), dhcpv4.WithMessageType(kind)}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p.ToBytes()
}

func option(code uint8, data string) dhcpv4.Modifier {
	return dhcpv4.WithGeneric(dhcpv4.GenericOptionCode(code), []byte(data))
}

// firmware is a PXE firmware by its architecture, with the UUID in the order of bytes that it sends.
func firmware(arch iana.Arch, uuid string) dhcpv4.Modifier {
	return func(p *dhcpv4.DHCPv4) {
		class := "PXEClient:Arch:00000:UNDI:003000"
		if clients[arch].HTTP {
			class = "HTTPClient:Arch:00016:UNDI:003000"
		}
		option(60, class)(p)
		option(93, string([]byte{byte(arch >> 8), byte(arch)}))(p)
		if raw, _ := hex.DecodeString(strings.ReplaceAll(uuid, "-", "")); len(raw) == 16 {
			option(97, "\x00"+string(raw))(p)
		}
	}
}

var ipxe = option(77, "iPXE")

// ask sends a packet through the service as a socket does.
func ask(t testing.TB, s *Service, iface string, raw []byte, bootPort bool) (*dhcpv4.DHCPv4, netip.AddrPort, error) {
	t.Helper()
	out, to, _, err := s.packet4(t.Context(), iface, raw, netip.MustParseAddrPort("203.0.113.50:68"), bootPort)
	if err != nil {
		return nil, to, err
	}
	p, err := dhcpv4.FromBytes(out)
	if err != nil {
		t.Fatalf("the answer cannot be read: %v", err)
	}
	return p, to, nil
}

func mustAsk(t testing.TB, s *Service, raw []byte) *dhcpv4.DHCPv4 {
	t.Helper()
	p, _, err := ask(t, s, "lo", raw, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBootFileByWhoAsks(t *testing.T) {
	swappedA := "33221100-5544-7766-8899-aabbccddeeff"
	for _, tt := range []struct {
		name, iface, mac, boot string
		ask                    []dhcpv4.Modifier
		want, class, silent    string
	}{
		{name: "UEFI by TFTP", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA)}, want: keyA + "/snponly.efi"},
		{name: "arch 9", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_BC, swappedA)}, want: keyA + "/snponly.efi"},
		{name: "of another", mac: macB, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA)}, want: keyB + "/snponly.efi"},
		{name: "iPXE", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA), ipxe}, want: "http://192.0.2.1:6387/netboot/" + keyA + "/boot.ipxe"},
		{name: "iPXE by option 175", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.INTEL_X86PC, uidA), option(175, "\xb1\x05\x01\x10\xec\x81\x39")},
			want: "http://192.0.2.1:6387/netboot/" + keyA + "/boot.ipxe"},
		{name: "iPXE for GRUB", mac: macA, boot: metal.BootPXE, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA), ipxe}, want: keyA + "/snponly.efi"},
		{name: "HTTP", mac: macA, boot: metal.BootHTTP, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64_HTTP, uidA)},
			want: "http://192.0.2.1:6387/netboot/" + keyA + "/snponly.efi", class: "HTTPClient"},
		{name: "PXE where HTTP was asked for", mac: macA, boot: metal.BootHTTP, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA)}, want: keyA + "/snponly.efi"},
		{name: "HTTP of a PXE boot", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64_HTTP, uidA)}},
		{name: "BIOS of a UEFI boot", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.INTEL_X86PC, uidA)}},
		{name: "arm64", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_ARM64, uidA)}},
		{name: "not served", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_ITANIUM, uidA)}},
		{name: "no boot", mac: macC, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA)}},
		{name: "an operating system", mac: macA},
		{name: "another UUID", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, "ffffffff-4455-6677-8899-aabbccddeeff")}, silent: NoticeUUID},
		{name: "a stranger", mac: macX, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA)}, silent: "unknown machine"},
		{name: "odd option 93", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA), option(93, "\x00\x07\x00")}, silent: "malformed"},
		{name: "short option 97", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA), option(97, "\x00abc")}, silent: "malformed"},
		{name: "multicast MAC", mac: "01:00:5e:00:00:01", silent: "malformed"},
		{name: "proxy", iface: "eth9", mac: macA, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA)}, want: keyA + "/snponly.efi", class: "PXEClient"},
		{name: "proxy, no boot", iface: "eth9", mac: macC, ask: []dhcpv4.Modifier{firmware(iana.EFI_X86_64, uidA)}, silent: "no boot"},
		{name: "proxy, an operating system", iface: "eth9", mac: macA, silent: "asks for no boot file"},
		{name: "no such network", iface: "eth3", mac: macA, silent: "unknown network"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory()
			s := serviceFor(t, m)
			if tt.boot != "" {
				m.boots[0].Interface, m.boots[1].Interface = tt.boot, tt.boot
			}
			if tt.iface == "" {
				tt.iface = "lo"
			}
			p, _, err := ask(t, s, tt.iface, packet4(t, tt.mac, dhcpv4.MessageTypeDiscover, tt.ask...), false)
			var quiet silence
			if errors.As(err, &quiet); quiet.reason != tt.silent || (err != nil) != (tt.silent != "") {
				t.Fatalf("got %v, want the silence %q", err, tt.silent)
			}
			if tt.silent != "" {
				return
			}
			if got := p.BootFileNameOption(); got != tt.want {
				t.Errorf("boot file %q, want %q", got, tt.want)
			}
			if got := p.ClassIdentifier(); got != tt.class {
				t.Errorf("class %q, want %q", got, tt.class)
			}
			if tt.iface == "eth9" && !p.YourIPAddr.IsUnspecified() {
				t.Errorf("a proxy gave the address %s", p.YourIPAddr)
			}
		})
	}
}

func TestRefusalsAreNoted(t *testing.T) {
	m := newMemory()
	s := serviceFor(t, m)
	_, _, _ = ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeDiscover, firmware(iana.EFI_X86_64, "ffffffff-4455-6677-8899-aabbccddeeff")), false)
	mustAsk(t, s, packet4(t, macA, dhcpv4.MessageTypeDiscover, firmware(iana.INTEL_X86PC, uidA)))
	if m.noted(NoticeUUID) != 1 || m.noted(NoticeLoader) != 1 {
		t.Errorf("noted: %v", m.notices)
	}
}

func TestLeaseFromOfferToRelease(t *testing.T) {
	s := serviceFor(t, newMemory())
	offer := mustAsk(t, s, packet4(t, macA, dhcpv4.MessageTypeDiscover))
	got := offer.YourIPAddr
	if offer.MessageType() != dhcpv4.MessageTypeOffer || !net.ParseIP("192.0.2.0").Mask(net.CIDRMask(24, 32)).Equal(got.Mask(net.CIDRMask(24, 32))) {
		t.Fatalf("offered: %v", offer)
	}
	if offer.IPAddressLeaseTime(0) != 30*time.Minute || len(offer.Router()) != 1 || len(offer.DNS()) != 1 || offer.DomainName() != "boot.example" {
		t.Errorf("offered: %v", offer)
	}
	request := []dhcpv4.Modifier{dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(got)), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{192, 0, 2, 1}))}
	ack := mustAsk(t, s, packet4(t, macA, dhcpv4.MessageTypeRequest, request...))
	if ack.MessageType() != dhcpv4.MessageTypeAck || !ack.YourIPAddr.Equal(got) {
		t.Fatalf("acknowledged: %v", ack)
	}
	if nak := mustAsk(t, s, packet4(t, macB, dhcpv4.MessageTypeRequest, request...)); nak.MessageType() != dhcpv4.MessageTypeNak {
		t.Errorf("another machine asked for the same address and got %v", nak)
	}
	if _, _, err := ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeRequest, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(got)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IP{192, 0, 2, 9}))), false); err == nil {
		t.Error("answered who chose another server")
	}
	again := mustAsk(t, s, packet4(t, macA, dhcpv4.MessageTypeDiscover))
	if !again.YourIPAddr.Equal(got) {
		t.Errorf("then offered %s, not %s again", again.YourIPAddr, got)
	}
	renewed, to, err := ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeRequest, dhcpv4.WithClientIP(got)), false)
	if err != nil || renewed.MessageType() != dhcpv4.MessageTypeAck || to.Addr().String() != got.String() {
		t.Errorf("renewed: %v to %v, %v", renewed, to, err)
	}
	_, _, err = ask(t, s, "lo", packet4(t, macB, dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(got)), false)
	if l, _ := s.o.Leases.Holder(t.Context(), netip.MustParseAddr(got.String()), time.Now()); err == nil || l == nil || l.MAC != macA {
		t.Errorf("after another's release: %v, %v", l, err)
	}
	_, _, err = ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeRelease, dhcpv4.WithClientIP(got)), false)
	if l, _ := s.o.Leases.Holder(t.Context(), netip.MustParseAddr(got.String()), time.Now()); err == nil || l != nil {
		t.Errorf("after the release: %v, %v", l, err)
	}
}

func TestDeclinedAddressAndExhaustedRange(t *testing.T) {
	m := newMemory()
	s := serviceFor(t, m)
	first := mustAsk(t, s, packet4(t, macA, dhcpv4.MessageTypeDiscover)).YourIPAddr
	ask(t, s, "lo", packet4(t, macB, dhcpv4.MessageTypeDecline, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(first))), false) //nolint:errcheck // silence
	if again := mustAsk(t, s, packet4(t, macA, dhcpv4.MessageTypeDiscover)).YourIPAddr; !again.Equal(first) {
		t.Errorf("another machine's decline took %s away", first)
	}
	ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeDecline, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(first))), false) //nolint:errcheck // silence
	if again := mustAsk(t, s, packet4(t, macA, dhcpv4.MessageTypeDiscover)).YourIPAddr; again.Equal(first) {
		t.Errorf("%s was offered again though it is in use", first)
	}
	mustAsk(t, s, packet4(t, macB, dhcpv4.MessageTypeDiscover)) // two leases, one address in use: the range is full
	if _, _, err := ask(t, s, "lo", packet4(t, macC, dhcpv4.MessageTypeDiscover), false); !errors.Is(err, errExhausted) || m.noted(NoticeExhausted) != 1 {
		t.Errorf("a full range: %v, noted %v", err, m.notices)
	}
	later(s, time.Hour)
	if got := mustAsk(t, s, packet4(t, macC, dhcpv4.MessageTypeDiscover)).YourIPAddr; got.IsUnspecified() {
		t.Error("no address when the leases were over")
	}
}

func TestReservation(t *testing.T) {
	m := newMemory()
	s := serviceFor(t, m)
	m.known[macC].Reserved = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("192.0.2.77")}
	s.networks[0].Reservations = map[string]netip.Addr{macA: netip.MustParseAddr("192.0.2.11")}
	for mac, want := range map[string]string{macC: "192.0.2.77", macA: "192.0.2.11"} {
		if got := mustAsk(t, s, packet4(t, mac, dhcpv4.MessageTypeDiscover)).YourIPAddr.String(); got != want {
			t.Errorf("%s got %s, want %s", mac, got, want)
		}
	}
	if got := mustAsk(t, s, packet4(t, macB, dhcpv4.MessageTypeDiscover, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.IP{192, 0, 2, 11})))).YourIPAddr.String(); got == "192.0.2.11" {
		t.Error("a reserved address went to another machine")
	}
}

func TestRelayed(t *testing.T) {
	s := serviceFor(t, newMemory())
	p, to, err := ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeDiscover, dhcpv4.WithRelay(net.IP{198, 51, 100, 1})), false)
	if err != nil || to != netip.MustParseAddrPort("198.51.100.1:67") || p.YourIPAddr.String()[:11] != "198.51.100." {
		t.Errorf("%v to %v: %v", p, to, err)
	}
	if _, _, err := ask(t, s, "lo", packet4(t, macA, dhcpv4.MessageTypeDiscover, dhcpv4.WithRelay(net.IP{172, 16, 0, 1})), false); err == nil {
		t.Error("answered a relay of no network")
	}
}

func TestBootServerPort(t *testing.T) {
	s := serviceFor(t, newMemory())
	p, to, err := ask(t, s, "eth9", packet4(t, macA, dhcpv4.MessageTypeRequest, firmware(iana.EFI_X86_64, uidA)), true)
	if err != nil || p.MessageType() != dhcpv4.MessageTypeAck || to.Port() != 68 || p.BootFileNameOption() != keyA+"/snponly.efi" {
		t.Errorf("%v to %v: %v", p, to, err)
	}
	if !p.YourIPAddr.IsUnspecified() || p.ClassIdentifier() != "PXEClient" {
		t.Errorf("%v", p)
	}
}
