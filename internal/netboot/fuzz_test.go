package netboot

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// FuzzDHCPv4: no packet crashes the server, and what it answers is for the MAC in the packet and holds no other's key.
func FuzzDHCPv4(f *testing.F) {
	f.Add(packet4(f, macA, dhcpv4.MessageTypeDiscover, firmware(iana.EFI_X86_64, uidA)), false)
	f.Add(packet4(f, macA, dhcpv4.MessageTypeRequest, firmware(iana.EFI_X86_64_HTTP, uidA), ipxe), true)
	f.Add(packet4(f, macB, dhcpv4.MessageTypeDiscover, dhcpv4.WithRelay([]byte{198, 51, 100, 1})), false)
	f.Add(packet4(f, macC, dhcpv4.MessageTypeDecline, dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress([]byte{192, 0, 2, 10}))), false)
	s := serviceFor(f, newMemory())
	s.o.Leases = &lightLeases{}
	f.Fuzz(func(t *testing.T, raw []byte, bootPort bool) {
		for _, iface := range []string{"lo", "eth9"} {
			out, _, _, err := s.packet4(context.Background(), iface, raw, netip.MustParseAddrPort("203.0.113.7:68"), bootPort)
			if err != nil {
				continue
			}
			p, err := dhcpv4.FromBytes(out)
			if err != nil {
				t.Fatalf("an answer that nobody can read: %v", err)
			}
			if !bytes.Equal(p.ClientHWAddr, raw[28:34]) || !bytes.Equal(p.TransactionID[:], raw[4:8]) {
				t.Fatalf("%v is no answer to %x", p, raw)
			}
			owns(t, p.ClientHWAddr.String(), out)
		}
	})
}

// FuzzDHCPv6 is the same for DHCPv6: an answer holds no key of another MAC than the packet's.
func FuzzDHCPv6(f *testing.F) {
	f.Add(message6(dhcpv6.MessageTypeSolicit, uefi6...).ToBytes(), true)
	r := &dhcpv6.RelayMessage{MessageType: dhcpv6.MessageTypeRelayForward, LinkAddr: []byte(strings.Repeat(" ", 16)), PeerAddr: linkOf(macB).Addr().AsSlice()}
	r.AddOption(dhcpv6.OptRelayMessage(message6(dhcpv6.MessageTypeInformationRequest, uefi6...)))
	f.Add(r.ToBytes(), false)
	s := serviceFor(f, newMemory())
	s.o.Leases = &lightLeases{}
	f.Fuzz(func(t *testing.T, raw []byte, fromA bool) {
		from := netip.MustParseAddrPort("[2001:db8::77]:546")
		if fromA {
			from = linkOf(macA)
		}
		for _, iface := range []string{"lo", "eth9"} {
			out, _, _, err := s.packet6(context.Background(), iface, raw, from)
			if err != nil {
				continue
			}
			if _, err := dhcpv6.FromBytes(out); err != nil {
				t.Fatalf("an answer that nobody can read: %v", err)
			}
			q, err := parse6(raw, from)
			if err != nil {
				t.Fatalf("answered what cannot be parsed: %v", err)
			}
			owns(t, q.mac, out)
		}
	})
}

// owns fails if an answer to a MAC holds another machine's key, or is to a stranger.
func owns(t *testing.T, mac string, out []byte) {
	t.Helper()
	if mac != macA && mac != macB && mac != macC {
		t.Fatalf("a stranger, %s, was answered", mac)
	}
	for owner, key := range map[string]string{macA: keyA, macB: keyB} {
		if mac != owner && bytes.Contains(out, []byte(key)) {
			t.Fatalf("%s got the key of %s", mac, owner)
		}
	}
}

// lightLeases are leases without a file: every address is free.
type lightLeases struct{}

func (lightLeases) List(context.Context, string) ([]Lease, error) { return nil, nil }
func (lightLeases) Hold(context.Context, Lease, time.Time) error  { return nil }
func (lightLeases) Drop(context.Context, Lease) error             { return nil }
func (lightLeases) Holder(context.Context, netip.Addr, time.Time) (*Lease, error) {
	return nil, nil //nolint:nilnil // as Leases
}

// FuzzUserClass: a class that is read is one that is written in the data, and nothing crashes.
func FuzzUserClass(f *testing.F) {
	f.Add([]byte("iPXE"))
	f.Add([]byte("\x04iPXE"))
	f.Add([]byte("\x03abc\x04iPXE"))
	f.Add([]byte("PXEClient:Arch:00007:UNDI:003000"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if isIPXE(raw) && !bytes.Contains(raw, []byte("iPXE")) {
			t.Errorf("%q is no iPXE", raw)
		}
		if class, archs := classOf(raw); class == "" && archs != nil || class != "" && !bytes.HasPrefix(raw, []byte(class)) {
			t.Errorf("%q: class %q, %v", raw, class, archs)
		}
		if archs := archsOf(raw); archs != nil && len(archs)*2 != len(raw) {
			t.Errorf("%x: %v", raw, archs)
		}
		uuidOf(raw)
	})
}

// FuzzName: a name leads into the table of a boot's files or nowhere.
func FuzzName(f *testing.F) {
	for _, name := range []string{keyA + "/kernel", "/grub/grub.cfg", "../../etc/passwd", keyA + "/..//x", "grub/grub.cfg-01-52-54-00-00-00-0a"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		r, ok := parseName(name)
		if !ok {
			if r != (request{}) {
				t.Errorf("%q is refused and gives %v", name, r)
			}
			return
		}
		if !fileName.MatchString(r.name) || strings.Contains(r.name, "/") || r.name == ".." || r.key != "" && !keyForm.MatchString(r.key) {
			t.Errorf("%q leads to %v", name, r)
		}
		if strings.Contains(masked(name), keyA) {
			t.Errorf("the log would hold the key: %q", masked(name))
		}
	})
}

// FuzzTFTP sends packets to the server over loopback: whatever was sent, it serves the next machine.
func FuzzTFTP(f *testing.F) {
	f.Add([]byte("\x00\x01" + keyA + "/kernel\x00octet\x00tsize\x000\x00blksize\x001024\x00"))
	f.Add([]byte("\x00\x01x\x00netascii\x00blksize\x0065464\x00"))
	f.Add([]byte("\x00\x02up\x00octet\x00"))
	f.Add([]byte("\x00\x06tsize\x00"))
	f.Add([]byte{0, 1})
	at := tftpServer(f, serviceFor(f, newMemory()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := exchange(at, raw)
		if err == nil && bytes.Contains(got, []byte(macB)) && !bytes.Contains(raw, []byte(keyB)) {
			t.Fatalf("%q was answered with another's file: %q", raw, got)
		}
		if alive, err := exchange(at, []byte("\x00\x01"+keyA+"/kernel\x00octet\x00")); err != nil || !bytes.Contains(alive, []byte("kernel of")) {
			t.Fatalf("after %q the server says %q, %v", raw, alive, err)
		}
	})
}

// exchange sends one datagram and takes the first answer; to what is ignored there is none, which a datagram to
// the same server's answer tells sooner than a timeout would.
func exchange(at string, raw []byte) ([]byte, error) {
	to, err := net.ResolveUDPAddr("udp", at)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IP{127, 0, 0, 1}})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	limit := 5 * time.Second
	if !bytes.HasPrefix(raw, []byte{0, 1}) && !bytes.HasPrefix(raw, []byte{0, 2}) {
		limit = time.Millisecond // no answer is the right one
	}
	if _, err := conn.WriteToUDP(raw, to); err != nil {
		return nil, err
	}
	_ = conn.SetReadDeadline(time.Now().Add(limit))
	buf := make([]byte, 2048)
	n, from, err := conn.ReadFromUDP(buf)
	if err == nil {
		_, _ = conn.WriteToUDP([]byte("\x00\x05\x00\x00enough\x00"), from) // so that nothing is sent again
	}
	return buf[:n], err
}
