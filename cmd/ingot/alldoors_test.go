package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"ingot/internal/api"
)

// door is one listener of a running server, and what a stranger may do there.
type door struct {
	name, at string
	tls      uint16           // the oldest version it speaks; 0: it speaks none
	answers  map[string][]int // by "METHOD path"; what a stranger is told
	client   bool             // it asks for a certificate before it answers anything
	file     bool             // it serves files to machines by itself, not through our HTTP server
}

// TestEveryDoor walks over every listener of a server that does everything and has every door open, and asks as a stranger who
// has no credentials: each speaks the TLS it should, answers with the headers it should, knows no method that it need not, and
// gives nothing away. The kernel is asked for what else the process listens at: there is nothing.
func TestEveryDoor(t *testing.T) {
	r, all, extra := everyDoor(t)
	for _, d := range all {
		t.Run(d.name, func(t *testing.T) {
			if d.client {
				d.wantsCertificate(t)
				return
			}
			d.speaks(t)
			for ask, statuses := range d.answers {
				d.asked(t, ask, statuses)
			}
			for _, method := range []string{"TRACE", "TRACK", "OPTIONS", "PROPFIND", "PUT", "DELETE", "JUNK"} {
				d.asked(t, method+" /", []int{400, 401, 403, 404, 405, 406, 501})
			}
		})
	}
	t.Run("tftp", func(t *testing.T) { tftpStranger(t, extra) })
	listensNowhereElse(t, r, all, extra)
	defaultCredentials(t, all[0])
}

// everyDoor starts a server with a user, whose password nobody guesses, and a node, whose name nobody must see.
func everyDoor(t *testing.T) (*running, []door, string) {
	t.Helper()
	dir := t.TempDir()
	var at [8]string
	for i := range at {
		var err error
		if at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	hash, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	pair := func(name string) (string, string) {
		t.Helper()
		own := filepath.Join(dir, name)
		if err := os.Mkdir(own, 0o700); err != nil {
			t.Fatal(err)
		}
		c, _, err := api.AgentCertificate(own, "127.0.0.1")
		if err != nil {
			t.Fatal(err)
		}
		return pemPair(t, own, c)
	}
	cert, key := pair("cert")
	conf := "[DEFAULT]\nauth_strategy = http_basic\nhttp_basic_auth_user_file = " + dir + "/users\n" +
		"[api]\nenable_ssl_api = true\ncert_file = " + cert + "\nkey_file = " + key + "\n" +
		"[metrics]\nlisten = " + at[4] + "\ncert_file = " + cert + "\nkey_file = " + key + "\n" +
		"[netboot]\nnetworks_file = " + dir + "/networks.yaml\nhttp_listen = " + at[5] + "\ntftp_listen = " + at[6] + "\n"
	for name, text := range map[string]string{"networks.yaml": "networks: []\n", "ingot.conf": conf, "users": "someone:" + string(hash) + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	init := exec.Command("ingot", "peer", "init", "--name", "one", "--config", "ingot.conf")
	init.Dir = dir
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("peer init: %v\n%s", err, out)
	}
	r := begin(t, dir, []string{"INGOT_DEFAULT__HOST=one"}, "serve", "--config", "ingot.conf", "--listen", at[0], "--agent-listen", at[1], "--boot-listen", at[2],
		"--peer-listen", at[3], "--peer-url", "https://"+at[3], "--metadata-listen", at[7])
	r.url = "https://" + at[0]
	c := insecure(0)
	patiently(t, "the server's answer", func() bool {
		select {
		case <-r.ended:
			t.Fatalf("it ended:\n%s", r.log)
		default:
		}
		res, err := c.Get(r.url + "/healthz") //nolint:noctx // a test
		if err == nil {
			res.Body.Close()
		}
		return err == nil
	})
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/nodes", strings.NewReader(`{"driver": "fake-hardware", "name": "hidden-node"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("someone", "correct horse")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	res, err := c.Do(req)
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatalf("make a node: %v, %v", res, err)
	}
	res.Body.Close()
	const node = "/v1/nodes/hidden-node"
	refused, gone := []int{401}, []int{403, 404}
	return r, []door{
		{name: "api", at: at[0], tls: tls.VersionTLS13, answers: map[string][]int{
			"GET /": {200}, "GET /v1": {200}, "GET /healthz": {200}, "GET /readyz": {200, 503}, "GET /v1/nodes": refused, "GET " + node: refused, "DELETE " + node: refused,
			"PATCH " + node: refused, "POST /v1/nodes": refused, "PUT " + node + "/states/power": refused, "GET /v1/drivers": refused, "GET /v1/conductors": refused,
			"GET /ingot/v1" + node[3:] + "/events": refused, "GET /ingot/v1" + node[3:] + "/logs": refused, "GET /v1/lookup?addresses=52:54:00:00:00:01": {401, 403, 404},
			"POST /v1/heartbeat/" + strings.Repeat("0", 8) + "-0000-4000-8000-000000000000": {400, 401, 403, 404}, "GET /metrics": {401, 404},
			"GET /debug/pprof/": {401, 404}, "GET /boot/a/b/c/d/boot.iso": {401, 404}}},
		{name: "agents", at: at[1], tls: tls.VersionTLS13, answers: map[string][]int{
			"GET /v1/nodes": gone, "GET " + node: gone, "POST /v1/nodes": {403, 404, 405}, "DELETE " + node: {403, 404, 405}, "GET /ingot/v1" + node[3:] + "/events": gone,
			"GET /v1/lookup?addresses=52:54:00:00:00:01": gone, "POST /v1/heartbeat/00000000-0000-4000-8000-000000000000": {400, 403, 404}, "GET /metrics": gone, "GET /debug/pprof/": gone}},
		{name: "boot", at: at[2], answers: map[string][]int{
			"GET /": gone, "GET /healthz": {200}, "GET /v1/nodes": gone, "GET /metrics": gone, "GET /debug/pprof/": gone,
			"GET /boot/hidden-node/1/0-0/" + strings.Repeat("A", 43) + "/boot.iso": gone, "GET /files/x/0-0/" + strings.Repeat("A", 43) + "/disk": gone,
			"GET /files/..%2f..%2fingot.key/0-0/A/x": gone, "GET /pushed/" + strings.Repeat("A", 43) + "/x": gone, "GET /ingot.key": gone, "GET /ingot.db": gone,
			"GET /netboot/" + strings.Repeat("A", 43) + "/script.ipxe": gone, "GET /grub/grub.cfg": gone, "POST /boot/a/b/c/d/boot.iso": {404, 405}}},
		{name: "metrics", at: at[4], tls: tls.VersionTLS13, answers: map[string][]int{
			"GET /metrics": {200}, "GET /healthz": {200}, "GET /readyz": {200, 503}, "GET /v1/nodes": gone, "GET /debug/pprof/": gone, "POST /metrics": {404, 405}}},
		{name: "peer", at: at[3], tls: tls.VersionTLS13, client: true},
		{name: "metadata", at: at[7], answers: map[string][]int{
			"GET /": {200}, "GET /openstack": {404}, "GET /openstack/latest/meta_data.json": {404}, "GET /latest/meta-data/hostname": {404}, "GET /healthz": {404}, "GET /metrics": {404},
			"GET /v1/nodes": {404}, "GET /debug/pprof/": {404}, "POST /openstack/latest/password": {404}, "POST /": {405}, "GET /openstack/latest/..%2f..%2f..%2fingot.key": {404}, "GET /ingot.key": {404}}},
		{name: "netboot", at: at[5], file: true, answers: map[string][]int{
			"GET /": gone, "GET /grub/grub.cfg": gone, "GET /netboot/" + strings.Repeat("A", 43) + "/script.ipxe": gone, "GET /../ingot.key": {400, 403, 404}, "GET /healthz": gone}},
	}, at[6]
}

// pemPair writes a certificate and its key where a configuration can name them.
func pemPair(t *testing.T, dir string, c tls.Certificate) (cert, key string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.X509KeyPair(text, text); err == nil { // both are in one file
			return f, f
		}
		for _, other := range files {
			if _, err := tls.LoadX509KeyPair(f, other); err == nil {
				return f, other
			}
		}
	}
	t.Fatalf("%d certificates and no pair among %v", len(c.Certificate), files)
	return "", ""
}

// insecure is a stranger's client: it takes any certificate. most is the newest TLS that it speaks; 0: any.
func insecure(most uint16) *http.Client {
	return &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: most}, DisableKeepAlives: true}}
}

func (d door) url(path string) string {
	if d.tls == 0 {
		return "http://" + d.at + path
	}
	return "https://" + d.at + path
}

// speaks: a door with TLS answers nothing without it, nor with an older version than it should.
func (d door) speaks(t *testing.T) {
	t.Helper()
	if d.tls == 0 {
		return
	}
	for _, old := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
		c, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: old}}).DialContext(t.Context(), "tcp", d.at)
		if err == nil {
			c.Close()
			if old < d.tls {
				t.Errorf("it speaks TLS %s", tls.VersionName(old))
			}
		}
	}
	res, err := insecure(0).Get("http://" + d.at + "/v1/nodes") //nolint:noctx // a test
	if err == nil {
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS it answers %s", res.Status)
		}
	}
}

// asked sends one request without credentials and looks at the answer's status and headers, and that it names no node.
func (d door) asked(t *testing.T, ask string, statuses []int) {
	t.Helper()
	method, path, _ := strings.Cut(ask, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, d.url(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "1.80")
	res, err := insecure(0).Do(req)
	if err != nil {
		t.Errorf("%s: %v", ask, err)
		return
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || !slices.Contains(statuses, res.StatusCode) {
		t.Errorf("%s: %s, want one of %v, %v\n%.200s", ask, res.Status, statuses, err, body)
	}
	if bytes.Contains(body, []byte("hidden-node")) && method != "TRACE" && !strings.Contains(path, "hidden-node") {
		t.Errorf("%s names a node", ask)
	}
	if res.StatusCode == http.StatusBadRequest && res.Header.Get("X-Content-Type-Options") == "" {
		return // net/http itself refused to read the request
	}
	h := res.Header
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"} {
		if h.Get(name) != want {
			t.Errorf("%s: %s is %q, want %q", ask, name, h.Get(name), want)
		}
	}
	if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("%s: the policy is %q", ask, csp)
	}
	if hsts := h.Get("Strict-Transport-Security"); (hsts != "") != (d.tls != 0) {
		t.Errorf("%s: Strict-Transport-Security is %q", ask, hsts)
	}
	for _, name := range []string{"Server", "X-Powered-By", "Access-Control-Allow-Origin", "Set-Cookie"} {
		if h.Get(name) != "" {
			t.Errorf("%s: it says %s: %s", ask, name, h.Get(name))
		}
	}
	if strings.HasPrefix(h.Get("Content-Type"), "text/html") {
		t.Errorf("%s: it is a page", ask)
	}
	if res.StatusCode == http.StatusUnauthorized && h.Get("WWW-Authenticate") == "" {
		t.Errorf("%s: it does not say how to log in", ask)
	}
}

// wantsCertificate: without one that our authority signed there is no answer at all.
func (d door) wantsCertificate(t *testing.T) {
	t.Helper()
	d.speaks(t)
	for _, path := range []string{"/v1/hello", "/v1/join", "/v1/secrets/fetch"} {
		res, err := insecure(0).Get(d.url(path)) //nolint:noctx // a test
		if err == nil {
			res.Body.Close()
			t.Errorf("%s: without a certificate it answers %s", path, res.Status)
		}
	}
}

// tftpStranger: TFTP knows no credentials; who boots nothing now gets no file, and nobody may write one. Source: RFC 1350.
func tftpStranger(t *testing.T, at string) {
	t.Helper()
	const readRequest, writeRequest, isError = 1, 2, 5
	for _, c := range []struct {
		op   uint16
		name string
	}{{readRequest, "bootx64.efi"}, {readRequest, "grub/grub.cfg"}, {readRequest, "../ingot.key"}, {readRequest, "/etc/passwd"}, {writeRequest, "bootx64.efi"}} {
		b := append(binary.BigEndian.AppendUint16(nil, c.op), c.name+"\x00octet\x00"...)
		answer := make([]byte, 1500)
		n := tftpAsk(t, at, b, answer)
		if n < 2 || binary.BigEndian.Uint16(answer) != isError {
			t.Errorf("request %d for %s: % x", c.op, c.name, answer[:min(n, 40)])
		}
	}
}

// tftpAsk sends a request from a socket that hears answers from any port: those of TFTP come from another.
func tftpAsk(t *testing.T, at string, request, into []byte) int {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.WriteToUDP(request, to); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, _, err := conn.ReadFromUDP(into)
	if err != nil {
		t.Errorf("% x: no answer: %v", request, err)
	}
	return n
}

// listensNowhereElse compares the sockets of the process with the doors that were looked at.
func listensNowhereElse(t *testing.T, r *running, all []door, tftp string) {
	t.Helper()
	known := []string{"udp " + tftp}
	for _, d := range all {
		known = append(known, "tcp "+d.at)
	}
	found := sockets(t, r.cmd.Process.Pid)
	if len(found) < len(all) {
		t.Errorf("the kernel tells of %v only", found)
	}
	for _, s := range found {
		if !slices.Contains(known, s) {
			t.Errorf("it listens at %s too, which this test does not know", s)
		}
	}
}

// sockets lists where a process listens. Source: Linux, proc_pid_net(5).
func sockets(t *testing.T, pid int) (out []string) {
	t.Helper()
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Skipf("the sockets of the process cannot be listed here: %v", err)
	}
	mine := map[string]bool{}
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if inode, is := strings.CutPrefix(to, "socket:["); err == nil && is {
			mine[strings.TrimSuffix(inode, "]")] = true
		}
	}
	for _, kind := range []struct{ name, file, state string }{{"tcp", "tcp", "0A"}, {"tcp", "tcp6", "0A"}, {"udp", "udp", "07"}, {"udp", "udp6", "07"}} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, kind.file))
		if err != nil {
			continue
		}
		for _, line := range strings.Split(string(text), "\n")[1:] {
			f := strings.Fields(line)
			if len(f) < 10 || f[3] != kind.state || !mine[f[9]] {
				continue
			}
			out = append(out, kind.name+" "+address(t, f[1]))
		}
	}
	return out
}

// address reads an address as the kernel writes it: words of 32 bits in the host's order, and a port.
func address(t *testing.T, text string) string {
	t.Helper()
	digits, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(digits)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil {
		t.Fatalf("the address %s: %v, %v", text, err, err2)
	}
	for i := 0; i+4 <= len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	return net.JoinHostPort(net.IP(raw).String(), strconv.FormatUint(n, 10))
}

// defaultCredentials: no pair that a product was ever shipped with lets anybody in.
func defaultCredentials(t *testing.T, d door) {
	t.Helper()
	c := insecure(0)
	for _, pair := range []string{"admin:admin", "admin:", ":", "admin:password", "ingot:ingot", "ironic:ironic", "root:calvin", "ADMIN:ADMIN", "someone:someone", "someone:"} {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), "GET", d.url("/v1/nodes"), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", pair, res.Status)
		}
	}
}
