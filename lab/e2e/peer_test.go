package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ingot/internal/client"
	"ingot/internal/metal"
	"ingot/internal/peer"
	"ingot/internal/secret"
)

// plugin is a program in the machine's ramdisk that takes a password for its step, keeps what it was given, and
// then does its worst: it prints the password in its log and, if it fails, in its complaint.
const pluginScript = `#!/bin/sh
if [ "$1" = describe ]; then
	echo '{"result": {"name": "licence", "version": "1", "support": 2, "deploy_steps": [{"interface": "deploy", "step": "licence", "priority": 0, "argsinfo": {"password": {"description": "of the licence"}, "mode": {"description": "how"}}}]}}'
	exit 0
fi
cat > %[1]s
password=$(sed 's/.*"password":"\([^"]*\)".*/\1/' < %[1]s)
echo "{\"log\": \"the password is $password\"}"
echo "using $password" >&2
if grep -q fail-now %[1]s; then echo "{\"error\": \"the password $password is wrong\"}"; exit 1; fi
echo "{\"result\": {\"used\": \"a password\"}}"
`

// plug puts the plugin into the machine's ramdisk; what it is given is kept in the file.
func (m *machine) plug() (file string) {
	m.t.Helper()
	dir := filepath.Join(m.root, "usr/lib/ingot/plugins")
	file = filepath.Join(m.root, "given")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "licence"), fmt.Appendf(nil, pluginScript, file), 0o755); err != nil { //nolint:gosec // it is run
		m.t.Fatal(err)
	}
	return file
}

// licence deploys with the plugin's step after the image is written.
func (n *node) licence(password string, more map[string]any) error {
	args := map[string]any{"password": map[string]any{"secret": "pw"}}
	for k, v := range more {
		args[k] = v
	}
	return n.SetProvision(n.t.Context(), n.name, client.Provision{Verb: metal.VerbActive, Secrets: map[string]secret.Secret{"pw": secret.New(password)},
		Steps: []any{map[string]any{"interface": "deploy", "step": "licence", "priority": 70, "args": args}}})
}

// inCluster is a machine and its node in a cluster of an API server and a conductor.
func inCluster(t *testing.T) (*cluster, *server, *machine, *node) {
	t.Helper()
	c := newCluster(t)
	two := c.conductor("two")
	m := newMachine(t)
	n := c.one.enrol(t, m.reach, map[string]any{"automated_clean": false, "properties": map[string]any{"root_device": map[string]any{"serial": "first"}}})
	return c, two, m, n
}

// TestASecretBetweenTwoServers deploys with a secret value that one process takes and another gives to the machine.
// Between them there is only TLS, and the value is in nothing that either of them leaves anywhere.
func TestASecretBetweenTwoServers(t *testing.T) {
	beside(t)
	c, two, m, n := inCluster(t)
	given := m.plug()
	n.available(soon)
	i := serveImages(t, "127.0.0.1", wholeDisk(8*mib), 0)
	n.wants(i.url+"good", sum(i.good))
	password, wrong := "canary"+rand.Text(), "canary"+rand.Text()

	if err := n.licence(wrong, map[string]any{"mode": "fail-now"}); err != nil {
		t.Fatal(err)
	}
	if said := n.rests(metal.DeployFailed, soon); !contains(said, "the password ****** is wrong") {
		t.Errorf("last_error: %s", said)
	}
	if err := n.licence(password, nil); err != nil {
		t.Fatal(err)
	}
	n.rests(metal.Active, soon)
	n.deployed(m, i.good)
	if text, err := os.ReadFile(given); err != nil || !bytes.Contains(text, []byte(password)) {
		t.Errorf("the machine was not given the value: %v", err)
	}

	streams := c.wire.seen()
	records := 0
	for at, s := range streams {
		n, err := tlsOnly(s)
		if err != nil {
			t.Errorf("stream %d between the servers: %v", at, err)
		}
		records += n
		unseen(t, "the wire", s, password, wrong, "HTTP/1", "/v1/secrets")
	}
	if records < 20 {
		t.Errorf("%d records were seen: the servers spoke another way", records)
	}
	t.Logf("%d connections between the servers, %d TLS records", len(streams)/2, records)

	var answers bytes.Buffer
	for _, path := range []string{"/v1/nodes/n1", "/v1/nodes/n1/states", "/v1/nodes/n1/history/detail", "/ingot/v1/nodes/n1/why", "/ingot/v1/nodes/n1/events",
		"/ingot/v1/nodes/n1/logs", "/v1/operations", "/ingot/v1/servers"} {
		answers.WriteString(path + "\n")
		answers.Write(c.one.get(path))
	}
	unseen(t, "an answer", answers.Bytes(), password, wrong)
	for _, words := range []string{"licence", "two"} {
		if !contains(answers.String(), words) {
			t.Errorf("the answers do not speak of %q: they prove nothing", words)
		}
	}
	dump := c.dump()
	unseen(t, "the database", dump, password, wrong)
	if !bytes.Contains(dump, []byte("licence")) {
		t.Error("the dump of the database does not speak of the step: it proves nothing")
	}
	for name, s := range map[string]*server{"one": c.one, "two": two} {
		text, err := os.ReadFile(s.log)
		if err != nil || len(text) == 0 {
			t.Errorf("log of %s: %v", name, err)
		}
		unseen(t, "the log of "+name, text, password, wrong)
		unseenBelow(t, s.data, password, wrong)
	}
}

// TestAForeignCertificateIsRefused shows the peer listener of a running server certificates of other authorities,
// and none: it answers with nothing.
func TestAForeignCertificateIsRefused(t *testing.T) {
	beside(t)
	c := newCluster(t)
	two := c.conductor("two")
	foreign := t.TempDir()
	if _, err := peer.Init(foreign, "two", []peer.Role{peer.Conductor}, secret.New("a key"), time.Hour); err != nil {
		t.Fatal(err)
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(two.data, "peer", "identity.pem"), filepath.Join(two.data, "peer", "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := tls.LoadX509KeyPair(filepath.Join(foreign, "identity.pem"), filepath.Join(foreign, "identity.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := speak(c.wire.at, own); err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200") {
		t.Fatalf("our own certificate: %q, %v", answer, err)
	}
	for name, certs := range map[string][]tls.Certificate{"foreign": {stranger}, "none": nil} {
		if answer, err := speak(c.wire.at, certs...); answer != "" || err == nil {
			t.Errorf("%s: answered %q, %v", name, answer, err)
		}
	}
	c.ingot("server", "revoke", "two")
	await(t, 30*time.Second, "the revocation", func() (bool, error) {
		answer, _ := speak(c.wire.at, own)
		return answer == "", nil
	})
}

// speak asks a peer listener for its greeting and gives every byte that it answers.
func speak(at string, certs ...tls.Certificate) (string, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: &tls.Config{InsecureSkipVerify: true, Certificates: certs}} //nolint:gosec // a stranger takes anybody
	conn, err := d.DialContext(context.Background(), "tcp", at)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "GET /v1/hello HTTP/1.1\r\nHost: one\r\nConnection: close\r\n\r\n"); err != nil {
		return "", err
	}
	all, err := io.ReadAll(conn)
	return string(all), err
}

// TestSecretsDieWithTheirServer kills the server that keeps the value before it is needed. The deployment fails and
// says which value to give again.
func TestSecretsDieWithTheirServer(t *testing.T) {
	beside(t)
	c, _, m, n := inCluster(t)
	m.plug()
	n.available(soon)
	i := serveImages(t, "127.0.0.1", wholeDisk(16*mib), 0)
	n.wants(i.url+"gated", sum(i.good))
	if err := n.licence("canary"+rand.Text(), nil); err != nil {
		t.Fatal(err)
	}
	n.writes(0.1, soon)
	c.one.kill()
	c.one.start()
	i.openGate()
	said := n.rests(metal.DeployFailed, soon)
	n.failed(said, "the secret values pw cannot be had from server one", "give them again")
	n.nothingLeft()
}

// tlsOnly reads a stream as TLS records and counts them. Source: RFC 8446, section 5.1.
func tlsOnly(s []byte) (records int, err error) {
	for len(s) > 0 {
		if len(s) < 5 {
			return records, fmt.Errorf("%d bytes after %d records are no record", len(s), records)
		}
		kind, size := s[0], int(s[3])<<8|int(s[4])
		if kind < 20 || kind > 23 || s[1] != 3 || s[2] > 3 || size > 1<<14+256 || len(s) < 5+size {
			return records, fmt.Errorf("after %d records comes % x", records, s[:5])
		}
		s = s[5+size:]
		records++
	}
	return records, nil
}

// unseen looks for words as they are, in hexadecimal, and in base64 at each of its offsets.
func unseen(t *testing.T, where string, b []byte, words ...string) {
	t.Helper()
	for _, w := range words {
		forms := []string{w, hex.EncodeToString([]byte(w))}
		for offset := range 3 {
			s := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", offset) + w))
			forms = append(forms, s[[]int{0, 2, 3}[offset]:len(s)-4])
		}
		for _, form := range forms {
			if at := bytes.Index(b, []byte(form)); at >= 0 {
				t.Errorf("%s shows %q, as %q at byte %d: %q", where, w, form, at, b[max(0, at-80):min(len(b), at+80)])
			}
		}
	}
}

func unseenBelow(t *testing.T, dir string, words ...string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		unseen(t, path, b, words...)
		files++
		return err
	})
	if err != nil || files == 0 {
		t.Errorf("%s: %d files, %v", dir, files, err)
	}
}

// get asks the API at its newest version.
func (s *server) get(path string) []byte {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.api+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %v\n%s", path, res.Status, err, b)
	}
	return b
}

// dump is the whole database as text, bytes in hexadecimal.
func (c *cluster) dump() []byte {
	c.t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if len(found) == 0 {
		c.t.Fatal("there is no pg_dump beside the PostgreSQL that serves")
	}
	out, err := exec.Command(found[len(found)-1], c.url).Output()
	if err != nil {
		c.t.Fatalf("pg_dump: %v", err)
	}
	return out
}
