package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pin/tftp/v3"

	"ingot/internal/config"
	"ingot/internal/depot"
	"ingot/internal/metal"
)

const (
	hostKey   = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"
	otherKey  = "GFEDCBAzyxwvutsrqponmlkjihgfedcba9876543210"
	hostToken = "canary-of-the-token"
)

// bootHostRig is the boot services of a boot host to which a boot by pxe was pushed.
type bootHostRig struct {
	boots *pushedBoots
	shelf *depot.Shelf
	dir   string
	log   *slog.Logger
	lines *logLines
}

// logLines is what was logged; a handler may still write when it is read.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newBootHostRig(t *testing.T, c config.Config) *bootHostRig {
	t.Helper()
	r := &bootHostRig{dir: t.TempDir(), lines: &logLines{}}
	r.log = slog.New(slog.NewTextHandler(r.lines, nil))
	var err error
	if r.shelf, err = depot.OpenShelf(filepath.Join(r.dir, "pushed"), shelfOptions(c.BootHost)); err != nil {
		t.Fatal(err)
	}
	if r.boots, err = openPushedBoots(r.dir, c, r.shelf, r.log); err != nil {
		t.Fatal(err)
	}
	return r
}

// push pushes a boot as conductors do: its files, then the boot.
func (r *bootHostRig) push(t *testing.T) {
	t.Helper()
	until := time.Now().Add(time.Hour)
	p := depot.PushedBoot{Boot: metal.NetworkBoot{NodeUUID: "n1", Generation: "g1", Interface: metal.BootPXE, MACs: []string{"52:54:00:00:00:01"},
		Firmware: metal.UEFI, Arch: "x86_64", Expires: until}, Key: hostKey, Config: `{"agent_token":"` + hostToken + `"}`, Loader: depot.LoaderShim, Files: map[string]metal.BootFile{}}
	for _, name := range netNames(depot.LoaderShim) {
		text := strings.Repeat("the "+name, 1000) // several blocks of TFTP
		sum := sha256.Sum256([]byte(text))
		f := depot.Pushed{Name: hex.EncodeToString(sum[:]), Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:]), Expires: until, Holder: "n1"}
		if err := r.shelf.Put(t.Context(), f, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		p.Files[name] = metal.BootFile{Name: f.Name, Size: f.Size, SHA256: f.SHA256}
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.boots.Put("n1", raw); err != nil {
		t.Fatal(err)
	}
}

// byTFTP fetches a file; "" is a refusal.
func byTFTP(t *testing.T, at, name string) string {
	t.Helper()
	c, err := tftp.NewClient(at)
	if err != nil {
		t.Fatal(err)
	}
	from, err := c.Receive(name, "octet")
	if err != nil {
		return ""
	}
	var got bytes.Buffer
	if _, err := from.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

// byHTTP fetches a file; "" is a refusal.
func byHTTP(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode == http.StatusNotFound {
		return ""
	}
	return string(text)
}

// TestBootHostServesByTFTPAndHTTP: a boot that was pushed is served as [netboot] says, an unknown one is not, and nothing
// of it is served when it was withdrawn.
func TestBootHostServesByTFTPAndHTTP(t *testing.T) {
	c := config.Defaults()
	for _, at := range []*string{&c.Netboot.HTTPListen, &c.Netboot.TFTPListen} {
		address, err := free()
		if err != nil {
			t.Fatal(err)
		}
		*at = address
	}
	c.Netboot.NetworksFile = filepath.Join(t.TempDir(), "networks.yaml")
	if err := os.WriteFile(c.Netboot.NetworksFile, []byte("networks:\n- name: here\n  interface: lo\n  dhcp: \"off\"\n  subnet: 127.0.0.0/8\n  server: 127.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newBootHostRig(t, c)
	leases, err := openHostLeases(r.dir, c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := pushedNetboot(c, "", r.boots, leases, r.log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	r.push(t)
	get := map[string]func(key, name string) string{
		"tftp": func(key, name string) string { return byTFTP(t, c.Netboot.TFTPListen, key+"/"+name) },
		"http": func(key, name string) string {
			return byHTTP(t, "http://"+c.Netboot.HTTPListen+"/netboot/"+key+"/"+name)
		},
	}
	for by, get := range get {
		for _, name := range netNames(depot.LoaderShim) {
			if got := get(hostKey, name); got != strings.Repeat("the "+name, 1000) {
				t.Errorf("%s by %s: %d bytes", name, by, len(got))
			}
		}
		if got := get(hostKey, depot.NetGrub); !strings.Contains(got, hostKey+"/"+depot.NetKernel) || strings.Contains(got, hostToken) {
			t.Errorf("%s by %s: %q", depot.NetGrub, by, got)
		}
		if got := get(hostKey, depot.NetConfig); !strings.Contains(got, hostToken) {
			t.Errorf("the configuration by %s: %q", by, got)
		}
		for what, got := range map[string]string{"another's key": get(otherKey, depot.NetKernel), "no file": get(hostKey, "vmlinuz"), "an ISO that is not its": get(hostKey, depot.NetISO)} {
			if got != "" {
				t.Errorf("%s by %s: %d bytes", what, by, len(got))
			}
		}
	}
	if st := r.boots.Story("n1"); st.Fetches != 2 || st.Seen != depot.NetConfig {
		t.Errorf("what became of it: %+v", st)
	}
	if err := r.boots.Remove("n1", "g1"); err != nil {
		t.Fatal(err)
	}
	for by, get := range get {
		if got := get(hostKey, depot.NetKernel); got != "" {
			t.Errorf("withdrawn, by %s: %d bytes", by, len(got))
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if log := r.lines.String(); log == "" || strings.Contains(log, hostKey) || strings.Contains(log, hostToken) {
		t.Errorf("nothing is logged, or a secret:\n%s", log)
	}
}

// TestBootHostWithoutNetboot: nothing in [netboot] opens no port of its own, and files are at the boot listener, where that has no TLS.
func TestBootHostWithoutNetboot(t *testing.T) {
	c := config.Defaults()
	r := newBootHostRig(t, c)
	r.push(t)
	leases, err := openHostLeases(r.dir, c)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := (hostLeases{leases}).Addresses(t.Context(), "52:54:00:00:00:01"); len(found) != 0 || err != nil {
		t.Errorf("leases: %v, %v", found, err)
	}
	s, err := pushedNetboot(c, "http://192.0.2.9:6387", r.boots, leases, r.log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, tls := range []bool{false, true} {
		h := httptest.NewServer(besideBoots(s, r.shelf.Handler(), tls))
		defer h.Close()
		if got := byHTTP(t, fmt.Sprintf("%s/netboot/%s/%s", h.URL, hostKey, depot.NetKernel)); (got == "") != tls {
			t.Errorf("TLS %v: %d bytes", tls, len(got))
		}
	}
	if _, err := os.Stat(filepath.Join(r.dir, "leases.json")); !os.IsNotExist(err) {
		t.Errorf("there are leases: %v", err)
	}
}
