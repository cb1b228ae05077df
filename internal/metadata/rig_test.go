package metadata

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/seed"
	"ingot/internal/store"
	"ingot/internal/store/storetest"
	"ingot/internal/vendordata"
)

// world is a service on a real socket, over a real database.
type world struct {
	t       *testing.T
	db      *store.DB
	service *Service
	url     string
	log     *logbook
	secrets *keepers // what is stored nowhere

	nodes int
}

// each runs a test on both engines.
func each(t *testing.T, c Config, f func(t *testing.T, w *world)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, open func() *store.DB) { f(t, newWorld(t, open(), c, nil, nil)) })
}

// onSQLite is for what no engine can change.
func onSQLite(t *testing.T, c Config, f func(w *world)) {
	t.Helper()
	f(newWorld(t, storetest.SQLite(t)(), c, nil, nil))
}

func newWorld(t *testing.T, db *store.DB, c Config, vendor *vendordata.Service, others []Addresses) *world {
	t.Helper()
	w := &world{t: t, db: db, log: &logbook{}, secrets: newKeepers()}
	log := slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w.url, w.service = w.serve(c, vendor, others, log)
	return w
}

// serve starts another service on the same database, as another server would.
func (w *world) serve(c Config, vendor *vendordata.Service, others []Addresses, log *slog.Logger) (string, *Service) {
	w.t.Helper()
	s, err := New(Options{Config: c, Log: log, Others: others, Instances: &Stored{DB: w.db, Vendor: vendor, Log: log}, Installs: &Installs{DB: w.db, Secrets: w.secrets}})
	if err != nil {
		w.t.Fatal(err)
	}
	l := httptest.NewServer(s)
	w.t.Cleanup(l.Close)
	return l.URL, s
}

// logbook keeps what is logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *logbook) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (w *world) write(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.db.Write(w.t.Context(), f); err != nil {
		w.t.Fatal(err)
	}
}

// node makes an active node with a NIC; its number makes its names.
func (w *world) node() *metal.Node {
	w.t.Helper()
	w.nodes++
	n := &metal.Node{UUID: fmt.Sprintf("00000000-0000-4000-8000-%012d", w.nodes), Name: fmt.Sprintf("node%d", w.nodes), Driver: "fake", ProvisionState: metal.Active}
	w.write(func(tx *store.Tx) error { return tx.CreateNode(n) })
	w.write(func(tx *store.Tx) error {
		return tx.CreatePort(&metal.Port{UUID: fmt.Sprintf("00000000-0000-4000-9000-%012d", w.nodes), NodeUUID: n.UUID, Address: macOf(w.nodes)})
	})
	return n
}

func macOf(i int) string { return fmt.Sprintf("52:54:00:00:00:%02x", i) }

// deploy gives a node an instance at addresses, of a project. What it reads names it: its hostname and its user data.
func (w *world) deploy(n *metal.Node, name, project string, at ...string) *store.Instance {
	w.t.Helper()
	i := w.rendered(n, name, project)
	w.save(n, i, at...)
	return i
}

// rendered is such an instance.
func (w *world) rendered(n *metal.Node, name, project string) *store.Instance {
	w.t.Helper()
	s, err := seed.Render(seed.Input{UUID: n.UUID, Name: name, ProjectID: project, UserData: secret.New("#!user data of " + name),
		PublicKeys: map[string]string{"k": "ssh-ed25519 AAAA " + name}, VendorData: map[string]any{}})
	if err != nil {
		w.t.Fatal(err)
	}
	request := vendordata.Request{ProjectID: project, InstanceID: n.UUID, Hostname: name, UserData: secret.New("#!user data of " + name)}
	return &store.Instance{ID: n.UUID, Project: project, Deploy: "deploy of " + name, Seed: secret.New(string(s.Encode())), Request: secret.New(string(request.Encode())),
		Answers: secret.New(string(vendordata.Answers{}.Encode()))}
}

func (w *world) save(n *metal.Node, i *store.Instance, at ...string) {
	w.t.Helper()
	var list []store.InstanceAddress
	for _, a := range at {
		list = append(list, store.InstanceAddress{Address: netip.MustParseAddr(a)})
	}
	w.write(func(tx *store.Tx) error {
		if err := tx.SaveInstance(n, i); err != nil {
			return err
		}
		return tx.SaveInstanceAddresses(n.ID, store.FromNode, list)
	})
}

// lease gives an address to a NIC for an hour.
func (w *world) lease(address, mac string) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		return tx.HoldLease(store.Lease{Network: "tenants", Address: netip.MustParseAddr(address), MAC: mac, Until: now.Add(time.Hour)}, now)
	})
}

func (w *world) state(n *metal.Node, s metal.State) {
	w.t.Helper()
	w.write(func(tx *store.Tx) error {
		n, err := tx.Node(n.UUID)
		if err != nil {
			return err
		}
		n.ProvisionState = s
		return tx.SaveNode(n)
	})
}

// reply is an answer that was read.
type reply struct {
	status int
	head   http.Header
	body   string
}

// ask sends a request from an address of this host, as the instance with that address would.
func (w *world) ask(from, method, path, body string, headers ...string) reply {
	w.t.Helper()
	return w.askAt(w.url, from, method, path, body, headers...)
}

func (w *world) askAt(url, from, method, path, body string, headers ...string) reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, url+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, at string) (net.Conn, error) {
		return d.DialContext(ctx, network, at)
	}, DisableKeepAlives: true}}
	res, err := c.Do(r)
	if err != nil {
		w.t.Fatalf("%s %s from %s: %v", method, path, from, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatalf("%s %s from %s: %v", method, path, from, err)
	}
	return reply{res.StatusCode, res.Header, string(b)}
}

// get is a GET that must have a status.
func (w *world) get(from, path string, status int, headers ...string) reply {
	w.t.Helper()
	r := w.ask(from, "GET", path, "", headers...)
	if r.status != status {
		w.t.Errorf("GET %s from %s: %d, want %d: %s", path, from, r.status, status, r.body)
	}
	return r
}

// hostname is who the service thinks an address is; "" for nobody.
func (w *world) hostname(from string, headers ...string) string {
	w.t.Helper()
	r := w.ask(from, "GET", "/latest/meta-data/hostname", "", headers...)
	if r.status == http.StatusNotFound {
		return ""
	}
	if r.status != http.StatusOK {
		w.t.Errorf("from %s: %d: %s", from, r.status, r.body)
	}
	return r.body
}

// sign is how Neutron's agents sign.
func sign(key, id string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(id))
	return hex.EncodeToString(m.Sum(nil))
}

// events are a node's, each as severity and sentence.
func (w *world) events(n *metal.Node) (out []string) {
	w.t.Helper()
	err := w.db.Read(w.t.Context(), func(tx *store.Tx) error {
		all, err := tx.Events(n, store.Page{Limit: 100})
		for _, e := range all {
			out = append(out, e.Severity+" "+e.Why)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func at(a string) netip.Addr { return netip.MustParseAddr(a) }
