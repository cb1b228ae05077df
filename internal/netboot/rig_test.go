package netboot

import (
	"bytes"
	"context"
	"crypto/subtle"
	"io"
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

const (
	macA = "52:54:00:00:00:0a" // has a boot
	macB = "52:54:00:00:00:0b" // has another
	macC = "52:54:00:00:00:0c" // is known and has none
	macX = "52:54:00:00:00:99" // a stranger
	keyA = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	keyB = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
	uidA = "00112233-4455-6677-8899-aabbccddeeff"
)

// memory is Boots in memory, with what was asked of it.
type memory struct {
	mu      sync.Mutex
	boots   []*metal.NetworkBoot
	known   map[string]*Known
	given   map[string]int
	notices []Notice
}

func newMemory() *memory {
	m := &memory{known: map[string]*Known{}, given: map[string]int{}}
	for _, mac := range []string{macA, macB, macC} {
		m.known[mac] = &Known{NodeUUID: "node-of-" + mac, MAC: mac}
	}
	for _, of := range [][2]string{{macA, keyA}, {macB, keyB}} {
		mac, key := of[0], of[1]
		m.boots = append(m.boots, &metal.NetworkBoot{NodeUUID: "node-of-" + mac, Interface: metal.BootIPXE, MACs: []string{mac}, SystemUUID: uidA,
			Firmware: metal.UEFI, Arch: "x86_64", Key: secret.New(key), Config: secret.New("token-of-" + mac)})
	}
	return m
}

func (m *memory) Known(_ context.Context, mac string) (*Known, error) { return m.known[mac], nil }

func (m *memory) ByMAC(_ context.Context, mac string) (*metal.NetworkBoot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.boots {
		if b.MACs[0] == mac {
			return b, nil
		}
	}
	return nil, nil //nolint:nilnil // as Boots
}

func (m *memory) ByKey(_ context.Context, key string) (*metal.NetworkBoot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.boots {
		if subtle.ConstantTimeCompare([]byte(b.Key.Expose()), []byte(key)) == 1 {
			return b, nil
		}
	}
	return nil, nil //nolint:nilnil // as Boots
}

func (m *memory) Loader(_ context.Context, b *metal.NetworkBoot, c Client) (string, error) {
	if c.Arch != b.Arch || c.Firmware != b.Firmware {
		return "", fault.New(fault.Invalid, "The boot is for %s %s.", b.Arch, b.Firmware)
	}
	return "snponly.efi", nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func (m *memory) Open(_ context.Context, b *metal.NetworkBoot, name string, at Place) (File, error) {
	files := map[string]string{FileKernel: "kernel of " + b.NodeUUID, FileScript: "#!ipxe " + at.HTTP, FileGrub: "linux " + at.TFTP,
		FileConfig: b.Config.Expose(), "snponly.efi": string(bytes.Repeat([]byte("loader"), 1000))}
	body, found := files[name]
	if !found {
		return File{}, fault.New(fault.NotFound, "There is no file %s.", name)
	}
	return File{ReadSeekCloser: nopCloser{bytes.NewReader([]byte(body))}, Size: int64(len(body))}, nil
}

func (m *memory) Give(_ context.Context, b *metal.NetworkBoot, _ netip.Addr) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.given[b.NodeUUID]++; m.given[b.NodeUUID] > 3 {
		return fault.New(fault.Conflict, "It was given out often enough.")
	}
	return nil
}

func (m *memory) Note(_ context.Context, n Notice) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notices = append(m.notices, n)
}

func (m *memory) noted(kind string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	count := 0
	for _, n := range m.notices {
		if n.Kind == kind {
			count++
		}
	}
	return count
}

const networksOfTests = `networks:
- name: provisioning
  interface: lo
  dhcp: server
  subnet: 192.0.2.0/24
  server: 192.0.2.1
  range: 192.0.2.10-192.0.2.12
  routers: [192.0.2.1]
  dns: [192.0.2.53]
  domain: boot.example
  lease_time: 30m
  dhcpv6: server
  subnet6: 2001:db8::/64
  server6: 2001:db8::1
  range6: 2001:db8::10-2001:db8::1f
- name: far
  interface: lo
  relayed: true
  dhcp: server
  subnet: 198.51.100.0/24
  server: 192.0.2.1
  range: 198.51.100.10-198.51.100.20
- name: beside
  interface: eth9
  dhcp: proxy
  subnet: 203.0.113.0/24
  server: 203.0.113.1
  dhcpv6: information
  subnet6: 2001:db8:1::/64
  server6: 2001:db8:1::1
`

// serviceFor is the boot services of tests, without sockets.
func serviceFor(t testing.TB, m *memory) *Service {
	t.Helper()
	networks, err := ParseNetworks([]byte(networksOfTests))
	if err != nil {
		t.Fatal(err)
	}
	leases, err := OpenLeaseFile(filepath.Join(t.TempDir(), "leases.json"))
	if err != nil {
		t.Fatal(err)
	}
	s := newService(Options{Networks: networks, Boots: m, Leases: leases, BootURL: "http://192.0.2.1:6387", TFTPListen: "127.0.0.1:0"}, wellKnown)
	s.neighbor = func(netip.Addr) string { return "" }
	return s
}

// later moves a service's clock.
func later(s *Service, by time.Duration) { s.now = func() time.Time { return time.Now().Add(by) } }
