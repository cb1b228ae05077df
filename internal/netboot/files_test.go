package netboot

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pin/tftp/v3"
)

func TestParseName(t *testing.T) {
	for name, want := range map[string]request{
		keyA + "/kernel":                     {keyA, "kernel"},
		"/" + keyA + "//grubx64.efi":         {keyA, "grubx64.efi"},
		"/grub/grub.cfg":                     {"", FileGrub},
		"grub/grub.cfg-01-52-54-00-00-00-0a": {"", FileGrub},
		"kernel":                             {},
		"grub/x86_64-efi/command.lst":        {},
		keyA + "/../" + keyB + "/kernel":     {},
		keyA + "/..":                         {},
		keyA + "/.hidden":                    {},
		keyA + "/a/b":                        {},
		keyA[1:] + "/kernel":                 {},
		keyA + "\\kernel":                    {},
		keyA + "/%2e%2e":                     {},
		keyA + "/" + strings.Repeat("k", 65): {},
		"grub/" + strings.Repeat("g", 300):   {},
		"52:54:00:00:00:0b.conf":             {},
		"":                                   {},
		"/":                                  {},
	} {
		if got, _ := parseName(name); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

// lets gives a MAC the address from which tests ask.
func lets(t *testing.T, s *Service, mac string) {
	t.Helper()
	l := Lease{Network: "provisioning", Address: netip.MustParseAddr("127.0.0.1"), MAC: mac, Until: time.Now().Add(time.Hour)}
	if err := s.o.Leases.Hold(t.Context(), l, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func TestHTTPGivesEachItsOwn(t *testing.T) {
	m := newMemory()
	s := serviceFor(t, m)
	var log bytes.Buffer
	s.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	get := func(method, path string, more ...string) (int, string) {
		q, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(more); i += 2 {
			q.Header.Set(more[i], more[i+1])
		}
		r, err := http.DefaultTransport.RoundTrip(q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		body, _ := io.ReadAll(r.Body)
		return r.StatusCode, string(body)
	}
	lets(t, s, macA)
	for _, tt := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/netboot/" + keyA + "/kernel", 200, "kernel of node-of-" + macA},
		{"GET", "/netboot/" + keyB + "/kernel", 200, "kernel of node-of-" + macB},
		{"GET", "/netboot/" + keyA + "//boot.ipxe", 200, "#!ipxe http://192.0.2.1:6387/netboot/" + keyA},
		{"GET", "/grub/grub.cfg", 200, "linux tftp://127.0.0.1/" + keyA},
		{"GET", "/grub/grub.cfg-01-52-54-00-00-00-0b", 200, "linux tftp://127.0.0.1/" + keyA},
		{"GET", "/netboot/" + strings.Repeat("C", 43) + "/kernel", 404, ""},
		{"GET", "/netboot/kernel", 404, ""},
		{"GET", "/netboot/" + keyA + "/nothing.efi", 404, ""},
		{"GET", "/netboot/" + keyA + "/../" + keyB + "/.ssh", 404, ""},
		{"POST", "/netboot/" + keyA + "/kernel", 405, ""},
		{"HEAD", "/netboot/" + keyA + "/config", 200, ""},
	} {
		status, body := get(tt.method, tt.path)
		if status != tt.status || tt.body != "" && body != tt.body {
			t.Errorf("%s %s: %d %q", tt.method, tt.path, status, body)
		}
	}
	if status, body := get("GET", "/netboot/"+keyA+"/kernel", "Range", "bytes=0-5"); status != 206 || body != "kernel" {
		t.Errorf("a range: %d %q", status, body)
	}
	for i, want := range []int{200, 200, 200, 404} {
		if status, _ := get("GET", "/netboot/"+keyA+"/config"); status != want {
			t.Errorf("configuration, time %d: %d", i+1, status)
		}
	}
	if m.noted(NoticeConfig) != 1 {
		t.Errorf("noted: %v", m.notices)
	}
	if text := log.String(); strings.Contains(text, keyA) || strings.Contains(text, keyB) || strings.Contains(text, "token-of") {
		t.Errorf("the log holds a key: %s", text)
	}
	s.neighbor = func(netip.Addr) string { return macB }
	if status, body := get("GET", "/grub/grub.cfg"); status != 404 {
		t.Errorf("with another's address: %d %q", status, body)
	}
}

// tftpServer serves s over TFTP on loopback.
func tftpServer(t testing.TB, s *Service) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IP{127, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	s.tftp = conn
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.serveTFTP(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn.LocalAddr().String()
}

func TestTFTP(t *testing.T) {
	m := newMemory()
	s := serviceFor(t, m)
	at := tftpServer(t, s)
	lets(t, s, macB)
	c, err := tftp.NewClient(at)
	if err != nil {
		t.Fatal(err)
	}
	c.SetBlockSize(1024)
	c.RequestTSize(true)
	get := func(name string) (string, error) {
		in, err := c.Receive(name, "octet")
		if err != nil {
			return "", err
		}
		var b bytes.Buffer
		if _, err := in.WriteTo(&b); err != nil {
			return "", err
		}
		return b.String(), nil
	}
	for name, want := range map[string]string{
		keyA + "/kernel":            "kernel of node-of-" + macA,
		"/" + keyA + "/snponly.efi": strings.Repeat("loader", 1000),
		keyA + "/config":            "token-of-" + macA,
		"/grub/grub.cfg":            "linux tftp://127.0.0.1/" + keyB,
		"grub/grub.cfg-01-" + strings.ReplaceAll(macA, ":", "-"): "linux tftp://127.0.0.1/" + keyB, // by who asks, not by what it says
	} {
		if got, err := get(name); got != want {
			t.Errorf("%s: %.80q, %v", name, got, err)
		}
	}
	for _, name := range []string{"grub/x86_64-efi/command.lst", keyA + "/passwd", "../../etc/passwd", strings.Repeat("C", 43) + "/kernel"} {
		if got, err := get(name); err == nil || !strings.Contains(err.Error(), "file not found") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if m.given["node-of-"+macA] != 1 {
		t.Errorf("given out %d times", m.given["node-of-"+macA])
	}
}

func TestTFTPSizeProbeGivesNothingOut(t *testing.T) {
	m := newMemory()
	s := serviceFor(t, m)
	server, err := net.Dial("udp", tftpServer(t, s))
	if err != nil {
		t.Fatal(err)
	}
	at := server.RemoteAddr().(*net.UDPAddr)
	server.Close()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IP{127, 0, 0, 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.WriteToUDP([]byte("\x00\x01"+keyA+"/config\x00octet\x00tsize\x000\x00"), at); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 600)
	n, from, err := conn.ReadFromUDP(buf)
	if err != nil || !bytes.HasPrefix(buf[:n], []byte("\x00\x06tsize\x0026\x00")) {
		t.Fatalf("answered %q, %v", buf[:n], err)
	}
	_, _ = conn.WriteToUDP([]byte("\x00\x05\x00\x08User aborted\x00"), from)
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.given) != 0 {
		t.Errorf("given out: %v", m.given)
	}
}

func TestLeaseFileOutlivesItsProcess(t *testing.T) {
	path := t.TempDir() + "/leases.json"
	f, err := OpenLeaseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	l := Lease{Network: "n", Address: netip.MustParseAddr("192.0.2.5"), MAC: macA, Until: now.Add(time.Hour).UTC().Truncate(time.Second)}
	if err := f.Hold(t.Context(), l, now); err != nil {
		t.Fatal(err)
	}
	if f, err = OpenLeaseFile(path); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Holder(t.Context(), l.Address, now); err != nil || got == nil || *got != l {
		t.Errorf("after a restart: %v, %v", got, err)
	}
	other := l
	other.MAC = macB
	if err := f.Hold(t.Context(), other, now); err == nil {
		t.Error("two machines have one address")
	}
	if err := f.Hold(t.Context(), other, now.Add(2*time.Hour)); err != nil {
		t.Errorf("after its end: %v", err)
	}
}

func TestLeaseFileKnowsAMachinesAddresses(t *testing.T) {
	f, err := OpenLeaseFile(t.TempDir() + "/leases.json")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, l := range []Lease{
		{Address: netip.MustParseAddr("192.0.2.5"), MAC: macA, Until: now.Add(time.Hour)},
		{Address: netip.MustParseAddr("2001:db8::5"), MAC: macA, Client: "aa", Until: now.Add(2 * time.Hour)},
		{Address: netip.MustParseAddr("192.0.2.6"), MAC: macB, Until: now.Add(time.Hour)},
		{Address: netip.MustParseAddr("192.0.2.7"), MAC: macA, Until: now.Add(-time.Hour)},
		{Address: netip.MustParseAddr("192.0.2.8"), MAC: macA, Until: now.Add(time.Hour), Declined: true},
	} {
		if err := f.Hold(t.Context(), l, now); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(f.Addresses(macA, now)); got != "[2001:db8::5 192.0.2.5]" {
		t.Errorf("addresses: %s", got)
	}
}

func TestOwnHTTPListener(t *testing.T) {
	s := serviceFor(t, newMemory())
	s.networks, s.o.TFTPListen, s.o.HTTPListen = nil, "", "127.0.0.1:0"
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	at := "http://" + s.http.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for _, path := range []string{"/netboot/" + keyA + "/kernel", "/netboot/" + keyB + "//kernel"} {
		r, err := http.Get(at + path) //nolint:noctx // a test
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("it ended with %v", err)
	}
}
