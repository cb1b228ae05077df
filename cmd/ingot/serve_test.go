package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// available enrols a Redfish node that is available at once, as clients before 1.11 may: none of its BMC's
// answers is needed.
func (r *running) available(t *testing.T, name, bmc string, instance map[string]any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"driver": "redfish", "name": name, "instance_info": instance, "driver_info": map[string]any{
		"redfish_address": bmc, "redfish_username": "u", "redfish_password": "p"}})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/v1/nodes", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.10")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if out, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusCreated {
		t.Fatalf("create %s: %s\n%s", name, res.Status, out)
	}
}

// became tells what became of a step of a node, in the words of its history; "" for nothing.
func (r *running) became(t *testing.T, node, step string) string {
	t.Helper()
	var doc struct {
		Events []metal.HistoryEvent `json:"events"`
	}
	if err := json.Unmarshal(r.call(t, "GET", "/ingot/v1/nodes/"+node+"/events", nil, 200), &doc); err != nil {
		t.Fatal(err)
	}
	for _, e := range doc.Events {
		if e.Step == step {
			return e.Why
		}
	}
	return ""
}

// A server on loopback cannot serve a machine elsewhere: the deployment says so before it touches it.
func TestBootURLOnLoopbackIsToldAtOnce(t *testing.T) {
	r := serving(t, t.TempDir())
	r.available(t, "far", "https://198.51.100.7", map[string]any{"image_source": "http://127.0.0.1:1/disk.raw", "image_checksum": strings.Repeat("ab", 32)})
	r.call(t, "PUT", "/v1/nodes/far/states/provision", map[string]any{"target": "active"}, 202)
	r.until(t, "far", "deploy failed")
	said := r.became(t, "far", "check boot url")
	for _, w := range []string{`Step "check boot url" failed: The boot URL http://127.0.0.1:`, "198.51.100.7", "--boot-listen", "--boot-url"} {
		if !strings.Contains(said, w) {
			t.Errorf("%q is missing in %q", w, said)
		}
	}
	if what := r.became(t, "far", "power off"); what != "" {
		t.Errorf("the machine was touched: %s", what)
	}
}

func TestBeyondLoopback(t *testing.T) {
	for _, c := range []struct {
		boot, bmc string
		ok        bool
	}{
		{"http://127.0.0.1:6387", "https://192.0.2.1", false},
		{"http://127.0.0.1:6387", "192.0.2.1:8443", false},
		{"http://[::1]:6387", "https://[2001:db8::1]", false},
		{"http://localhost:6387", "https://192.0.2.1", false},
		{"http://127.0.0.1:6387", "https://127.0.0.1:8443", true},
		{"http://127.0.0.1:6387", "localhost", true},
		{"http://127.0.0.1:6387", "https://[::ffff:127.0.0.2]", true},
		{"http://192.0.2.9:6387", "https://192.0.2.1", true},
		{"http://127.0.0.1:6387", "", true},
	} {
		if err := beyondLoopback(t.Context(), c.boot, c.bmc); (err == nil) != c.ok || err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("boot URL %s, BMC %s: %v", c.boot, c.bmc, err)
		}
	}
}

// An image may be a file of the server, below a folder the operator names.
func TestFileImages(t *testing.T) {
	allowed, elsewhere := t.TempDir(), t.TempDir()
	for _, dir := range []string{allowed, elsewhere} {
		if err := os.WriteFile(filepath.Join(dir, "debian 12.raw"), disk(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("INGOT_CONDUCTOR__FILE_URL_ALLOWED_PATHS", allowed)
	r := serving(t, t.TempDir())
	for dir, want := range map[string]string{allowed: `Step "check image" is done.`, elsewhere: "file_url_allowed_paths"} {
		node := filepath.Base(filepath.Dir(dir)) + filepath.Base(dir)
		r.available(t, node, "https://127.0.0.1:1", nil)
		out, err := r.command("node", "deploy", node, "--image", filepath.Join(dir, "debian 12.raw"), "--wait").CombinedOutput()
		if err == nil || !strings.Contains(string(out), "from the file itself") {
			t.Errorf("deploy of a machine that is not there: %v\n%s", err, out)
		}
		if said := r.became(t, node, "check image"); !strings.Contains(said, want) {
			t.Errorf("%s: said %q, want %q", dir, said, want)
		}
	}

	files, err := depot.New(t.TempDir(), depot.Options{Key: secret.New(strings.Repeat("k", 32)), AllowedFileRoots: []string{allowed}})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	h := httptest.NewServer(files.Handler())
	defer h.Close()
	url, err := (&offers{depot: files, url: h.URL}).File(filepath.Join(allowed, "debian 12.raw"), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err != nil || res.StatusCode != 200 || !bytes.Equal(got, disk()) {
		t.Errorf("%s: %s, %d bytes, %v", url, res.Status, len(got), err)
	}
}

// command prepares one of our commands against the server.
func (r *running) command(args ...string) *exec.Cmd {
	c := exec.Command("ingot", args...)
	c.Dir, c.Env = r.dir, append(os.Environ(), "INGOT_ENDPOINT="+r.url)
	return c
}

// Asked to end, the server ends in seconds although a BMC keeps it waiting; started again, it goes on.
func TestEndsWithWorkLeftToBeResumed(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	called := make(chan net.Conn, 100)
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			called <- c
		}
	}()
	dir := t.TempDir()
	r := serving(t, dir)
	r.call(t, "POST", "/v1/nodes", map[string]any{"driver": "redfish", "name": "mute", "driver_info": map[string]any{
		"redfish_address": "https://" + silent.Addr().String(), "redfish_username": "u", "redfish_password": "p"}}, 201)
	r.call(t, "PUT", "/v1/nodes/mute/states/provision", map[string]any{"target": "manage"}, 202)
	defer (<-called).Close()
	begun := time.Now()
	if code := r.stop(t); code != 0 || time.Since(begun) > 10*time.Second {
		t.Errorf("ended with %d after %s; its log:\n%s", code, time.Since(begun), r.log)
	}
	t.Logf("ended after %s", time.Since(begun).Round(time.Millisecond))
	r = serving(t, dir)
	held := <-called
	r.until(t, "mute", "verifying")
	var w metal.Why
	if err := json.Unmarshal(r.call(t, "GET", "/ingot/v1/nodes/mute/why", nil, 200), &w); err != nil || w.Step != "read power" {
		t.Errorf("after the restart: %+v, %v", w, err)
	}
	silent.Close()
	held.Close() // the try ends, and with it the history is written
	patiently(t, "the history to tell who went on", func() bool {
		return strings.Contains(r.became(t, "mute", "read power"), "took the operation over")
	})
}

// The first promise to whoever tries Ingot: no flags, no files, an answer within a second.
func TestServesAtOnceWithoutFlags(t *testing.T) {
	for _, address := range []string{"127.0.0.1:6385", "127.0.0.1:6386", "127.0.0.1:6387"} {
		if taken(address) {
			t.Skipf("another program listens on %s, which this test is about", address)
		}
	}
	var took []time.Duration
	for range 3 { // a busy host may delay one start, not three
		begun := time.Now()
		r := begin(t, t.TempDir(), nil, "serve")
		err := answering("http://127.0.0.1:6385")
		took = append(took, time.Since(begun))
		if err != nil {
			t.Fatalf("%v\nlog:\n%s", err, r.log)
		}
		if code := r.stop(t); code != 0 {
			t.Fatalf("ended with %d; its log:\n%s", code, r.log)
		}
		if took[len(took)-1] < time.Second {
			break
		}
	}
	if slices.Min(took) >= time.Second {
		t.Errorf("the first answer came after %s", fmt.Sprint(took))
	}
}
