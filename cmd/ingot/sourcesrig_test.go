package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	agentdisk "ingot/agent/disk"
	"ingot/internal/agentapi"
	"ingot/internal/driver/neutron/neutrontest"
)

const (
	imageReader  = "reader"
	readerSecret = "canary-reader"
	imageToken   = "canary-image-token"
	targetSize   = 16 << 20
)

// sourcesRig is a server, and a machine whose agent writes to a file with the agent's own code. Its image servers have certificates
// of an authority of their own.
type sourcesRig struct {
	t       *testing.T
	r       *running
	dir     string
	ca      string // a file
	pair    tls.Certificate
	machine *playedMachine
	target  string // the machine's disk
	image   []byte
	sum     string
	web     *httptest.Server // by https: /basic, /bearer and /open serve the image, others go wrong
	away    *httptest.Server // another origin, which remembers what it is told
	glance  *neutrontest.Glance
	oci     string // host:port of a registry; "": none

	mu   sync.Mutex
	told []string            // guarded by mu: credentials that away was told
	last *agentapi.ImageInfo // guarded by mu: what the agent was told to write
}

func newSourcesRig(t *testing.T) *sourcesRig {
	t.Helper()
	g := &sourcesRig{t: t, dir: t.TempDir(), image: disk2()}
	s := sha256.Sum256(g.image)
	g.sum = hex.EncodeToString(s[:])
	g.authority()
	g.away = g.secured(http.HandlerFunc(g.serveAway))
	g.web = g.secured(http.HandlerFunc(g.serveWeb))
	if neutrontest.GlanceInstalled() {
		g.glance = neutrontest.StartGlance(t)
	}
	g.registry()
	g.serve()
	g.enrol()
	return g
}

// disk2 is a whole disk that boots: a partition table, and data that no hole swallows.
func disk2() []byte {
	b := disk()
	for i := 1 << 20; i < len(b); i++ {
		b[i] = byte(i>>9) | 1
	}
	return b
}

// authority makes an authority and a certificate for loopback.
func (g *sourcesRig) authority() {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	made := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, made, made, key.Public(), key)
	if err != nil {
		g.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		g.t.Fatal(err)
	}
	g.pair = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	g.ca = g.file("ca.pem", pemOf(der))
	g.file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func (g *sourcesRig) file(name, text string) string {
	g.t.Helper()
	path := filepath.Join(g.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		g.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		g.t.Fatal(err)
	}
	return path
}

func (g *sourcesRig) secured(h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{g.pair}}
	s.StartTLS()
	g.t.Cleanup(s.Close)
	return s
}

// serveAway gives the image to who logs in, and everybody under /open.
func (g *sourcesRig) serveAway(w http.ResponseWriter, r *http.Request) {
	told := r.Header.Get("Authorization")
	g.mu.Lock()
	g.told = append(g.told, told)
	g.mu.Unlock()
	if told == "" && r.URL.Path != "/open" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(g.image))
}

func (g *sourcesRig) serveWeb(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	basic, bearer := user == imageReader && password == readerSecret, r.Header.Get("Authorization") == "Bearer "+imageToken
	content := g.image
	switch r.URL.Path {
	case "/basic", "/bearer":
		if r.URL.Path == "/basic" && !basic || r.URL.Path == "/bearer" && !bearer {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	case "/sums":
		_, _ = io.WriteString(w, "# of today\n"+g.sum+" *open\n")
		return
	case "/away":
		http.Redirect(w, r, g.away.URL+"/closed", http.StatusFound)
		return
	case "/userinfo":
		http.Redirect(w, r, strings.Replace(g.away.URL, "https://", "https://u:p@", 1)+"/open", http.StatusFound)
		return
	case "/metadata":
		http.Redirect(w, r, "https://169.254.169.254/latest", http.StatusFound)
		return
	case "/short":
		content = content[:len(content)-4096]
	case "/noise":
		content = bytes.Repeat([]byte("no format at all. "), 1<<17)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// registry starts Debian's registry, which asks for a password, if it is installed, and puts the image in it.
func (g *sourcesRig) registry() {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return
	}
	at, err := free()
	if err != nil {
		g.t.Fatal(err)
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(readerSecret), bcrypt.MinCost)
	if err != nil {
		g.t.Fatal(err)
	}
	users := g.file("htpasswd", imageReader+":"+string(hash)+"\n")
	conf := g.file("registry.yml", fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q, tls: {certificate: %s, key: %s}}\nauth: {htpasswd: {realm: images, path: %s}}\n",
		filepath.Join(g.dir, "registry"), at, g.ca, filepath.Join(g.dir, "key.pem"), users))
	cmd := exec.Command(program, "serve", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	g.oci = at
	patiently(g.t, "the registry to answer", func() bool {
		answer, err := g.web.Client().Get("https://" + at + "/v2/")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
	g.upload(g.image)
	g.upload([]byte("{}"))
	manifest, err := json.Marshal(object{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": "application/vnd.example.disk",
		"config": object{"mediaType": "application/vnd.oci.empty.v1+json", "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", "size": 2},
		"layers": []any{object{"mediaType": "application/octet-stream", "digest": "sha256:" + g.sum, "size": len(g.image), "annotations": object{"disktype": "raw"}}}})
	if err != nil {
		g.t.Fatal(err)
	}
	g.send(http.MethodPut, "https://"+at+"/v2/disks/debian/manifests/12", "application/vnd.oci.image.manifest.v1+json", manifest)
}

func (g *sourcesRig) upload(b []byte) {
	s := sha256.Sum256(b)
	to := g.send(http.MethodPost, "https://"+g.oci+"/v2/disks/debian/blobs/uploads/", "", nil).Get("Location")
	g.send(http.MethodPut, to+"&digest=sha256:"+hex.EncodeToString(s[:]), "application/octet-stream", b)
}

func (g *sourcesRig) send(method, url, kind string, body []byte) http.Header {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.SetBasicAuth(imageReader, readerSecret)
	r.Header.Set("Content-Type", kind)
	answer, err := g.web.Client().Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 300 {
		said, _ := io.ReadAll(answer.Body)
		g.t.Fatalf("%s %s: %s %s", method, url, answer.Status, said)
	}
	return answer.Header
}

// serve starts the server.
func (g *sourcesRig) serve() {
	var at [3]string
	for i := range at {
		var err error
		if at[i], err = free(); err != nil {
			g.t.Fatal(err)
		}
	}
	text := "[DEFAULT]\nenabled_hardware_types = redfish\nwebserver_verify_ca = " + g.ca + "\n[conductor]\nautomated_clean = false\nfile_url_allowed_paths = " + filepath.Join(g.dir, "allowed") + "\n"
	if g.glance != nil {
		text += fmt.Sprintf("[glance]\nauth_url = %s\nusername = %s\npassword = %s\n", g.glance.AuthURL, g.glance.User, neutrontest.Password)
	}
	conf := g.file("ingot.conf", text)
	g.r = begin(g.t, g.dir, nil, "serve", "--config", conf, "--data", filepath.Join(g.dir, "data"), "--listen", at[0], "--agent-listen", at[1], "--boot-listen", at[2])
	g.r.url = "http://" + at[0]
	if err := answering(g.r.url); err != nil {
		g.t.Fatalf("%v\nlog:\n%s", err, g.r.log)
	}
	g.machine = newPlayedMachine(g.t, at[1], filepath.Join(g.dir, "data"))
	g.machine.found = func(string) {}
	g.machine.state = func() string {
		var n struct {
			State string `json:"provision_state"`
		}
		ask, err := http.NewRequest(http.MethodGet, g.r.url+"/v1/nodes/n", nil)
		if err != nil {
			return ""
		}
		ask.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
		answer, err := http.DefaultClient.Do(ask)
		if err != nil {
			return ""
		}
		defer answer.Body.Close()
		_ = json.NewDecoder(answer.Body).Decode(&n) // no node yet
		return n.State
	}
	g.target = filepath.Join(g.dir, "target")
	g.machine.write = func(i agentapi.ImageInfo) error {
		g.mu.Lock()
		g.last = &i
		g.mu.Unlock()
		_, err := agentdisk.WriteImage(g.t.Context(), agentdisk.Request{Device: g.target, Image: i})
		return err
	}
}

func (g *sourcesRig) enrol() {
	ctx, stop := context.WithCancel(g.t.Context())
	var running sync.WaitGroup
	running.Go(func() { g.machine.run(ctx) })
	g.t.Cleanup(func() { stop(); running.Wait() })
	g.r.call(g.t, "POST", "/v1/nodes", object{"driver": "redfish", "name": "n", "properties": object{"cpu_arch": "x86_64"}, "driver_info": object{"redfish_address": g.machine.bmc.URL(),
		"redfish_username": "admin", "redfish_password": playedPassword, "redfish_verify_ca": pemOf(g.machine.bmc.CertificateDER()), "deploy_iso": "http://198.51.100.9/agent.iso"}}, 201)
	for _, mac := range g.machine.MACs() {
		g.r.call(g.t, "POST", "/v1/ports", object{"node_uuid": g.r.uuid(g.t, "n"), "address": mac}, 201)
	}
	g.verb("manage", "manageable")
	g.verb("provide", "available")
}

// verb sends a verb and waits until the node is in one of the states, which it gives.
func (g *sourcesRig) verb(verb string, states ...string) string {
	g.t.Helper()
	g.r.call(g.t, "PUT", "/v1/nodes/n/states/provision", object{"target": verb}, 202)
	for began := time.Now(); time.Since(began) < 3*time.Minute; time.Sleep(50 * time.Millisecond) { // between two looks
		is := g.machine.state()
		for _, s := range states {
			if is == s {
				g.r.untilField(g.t, "n", "reservation", nil)
				return is
			}
		}
	}
	log := g.r.log.String()
	g.t.Fatalf("after %s the node is %q; log:\n%s", verb, g.machine.state(), log[max(0, len(log)-3000):])
	return ""
}

// deploy puts old data on the disk and an image beside it, and says what became of it.
func (g *sourcesRig) deploy(info object) (state, why string) {
	g.t.Helper()
	if err := os.WriteFile(g.target, bytes.Repeat([]byte("old data"), targetSize/8), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.mu.Lock()
	g.last, g.told = nil, nil
	g.mu.Unlock()
	g.r.call(g.t, "PATCH", "/v1/nodes/n", []object{{"op": "add", "path": "/instance_info", "value": info}}, 200)
	verb := "active"
	if g.machine.state() != "available" {
		verb = "rebuild"
	}
	state = g.verb(verb, "active", "deploy failed")
	var n struct {
		LastError string `json:"last_error"`
	}
	if err := json.Unmarshal(g.r.call(g.t, "GET", "/v1/nodes/n", nil, 200), &n); err != nil {
		g.t.Fatal(err)
	}
	return state, n.LastError
}

// written is what the machine's disk holds.
func (g *sourcesRig) written() []byte {
	g.t.Helper()
	b, err := os.ReadFile(g.target)
	if err != nil {
		g.t.Fatal(err)
	}
	return b
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
