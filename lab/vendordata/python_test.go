package vendordata_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	ours "ingot/internal/vendordata"
	"ingot/lab/ports"
)

// TestTargetInPython asks the example in Python, which checks signatures with code of its own: the words of the documentation are
// enough to write one.
func TestTargetInPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed: scripts/prepare.sh installs it with the clients")
	}
	at, err := ports.Free("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(at)
	dir := t.TempDir()
	file, other := filepath.Join(dir, "keys"), filepath.Join(dir, "other")
	line, _ := key("k")
	strange, _ := key("k")
	write(t, file, line)
	write(t, other, strange)
	c := exec.Command("python3", "../../examples/vendordata-target/target.py", host, port, file, at)
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	for limit := time.Now().Add(time.Minute); ; {
		conn, err := net.Dial("tcp", at)
		if err == nil {
			_ = conn.Close()
			break
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond) // between two looks
	}
	url := "http://" + at + "/a%2Fb?c=d"
	s := asks(t, url, ours.ProofConfig{VendordataDynamicSigningKeyfile: file}, io.Discard, nil)
	a, err := s.Fetch(t.Context(), ours.Request{Hostname: "web1", BootRoles: []string{"member", "reader"}})
	if err != nil || len(a.Failed()) > 0 {
		t.Fatalf("%v, %s", err, a.Why())
	}
	var got struct {
		X struct {
			Hostname string
			Roles    []string
		}
	}
	if err := json.Unmarshal(a.VendorData2(nil), &got); err != nil || got.X.Hostname != "web1" || len(got.X.Roles) != 2 {
		t.Errorf("%s: %v", a.VendorData2(nil), err)
	}
	if why := fetch(t, asks(t, url, ours.ProofConfig{VendordataDynamicSigningKeyfile: other}, io.Discard, nil)); !strings.Contains(why, "401") {
		t.Errorf("signed with a strange key: %s", why)
	}
	if first, second := sendTwice(t, file, url); first != http.StatusOK || second != http.StatusUnauthorized {
		t.Errorf("sent again: %d, then %d", first, second)
	}
	if why := fetch(t, asks(t, url, ours.ProofConfig{}, io.Discard, nil)); !strings.Contains(why, "401") {
		t.Errorf("not signed: %s", why)
	}
}

// sendTwice signs a request once and sends it twice.
func sendTwice(t *testing.T, file, url string) (first, second int) {
	t.Helper()
	o, err := ours.Prove(ours.AuthDefaults(), ours.ProofConfig{VendordataDynamicSigningKeyfile: file}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	body := `{"hostname": "web1", "boot-roles": ""}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.Signer.Sign(t.Context(), r, []byte(body)); err != nil {
		t.Fatal(err)
	}
	send := func() int {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	return send(), send()
}
