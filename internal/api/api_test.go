package api

import (
	"bytes"
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

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/policy"
	"ingot/internal/store"
	"ingot/internal/wire"
)

// rig is a real service on a real database behind a real listener on loopback.
type rig struct {
	t   testing.TB
	db  *store.DB
	s   *ops.Service
	url string
	log *logText
}

// logText is a log that can be read while it is written.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(t testing.TB, change ...func(*Options)) *rig {
	t.Helper()
	dir := t.TempDir()
	key, err := store.LoadKey(filepath.Join(dir, "key"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "ingot.db"), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	err = db.Write(t.Context(), func(tx *store.Tx) error {
		return tx.SaveConductor("c1", "", []metal.HardwareType{
			{Name: "fake-hardware", Interfaces: map[string][]string{"deploy": {"fake"}, "power": {"fake", "noop"}}},
			{Name: "redfish", Interfaces: map[string][]string{"deploy": {"direct"}, "power": {"redfish"}},
				Fields: []metal.Field{{Name: "redfish_address", Description: "URL of the BMC.", Required: true}, {Name: "redfish_password", Secret: true}}},
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	config := ops.Defaults()
	config.AnswerLimit = 50 * time.Millisecond // nobody answers here
	r := &rig{t: t, db: db, s: ops.New(db, config, slog.New(slog.DiscardHandler)), log: &logText{}}
	o := Options{Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if _, bench := t.(*testing.B); bench {
		o.Log = nil
	}
	for _, f := range change {
		f(&o)
	}
	r.url = r.serve(New(r.s, o))
	return r
}

func (r *rig) serve(h http.Handler) string {
	server := httptest.NewUnstartedServer(nil)
	server.Config = Server(h, slog.New(slog.DiscardHandler))
	server.Start()
	r.t.Cleanup(server.Close)
	return server.URL
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body []byte
}

// do sends a request at microversion minor (0: no header); body is text, or marshalled.
func (r *rig) do(method, path string, minor int, body any) reply {
	r.t.Helper()
	h := http.Header{}
	if minor > 0 {
		h.Set(wire.HeaderVersion, wire.Version(minor))
	}
	return r.send(method, r.url+path, h, body)
}

func (r *rig) send(method, url string, h http.Header, body any) reply {
	r.t.Helper()
	var in io.Reader
	if body != nil {
		text, ok := body.(string)
		if !ok {
			j, err := json.Marshal(body)
			if err != nil {
				r.t.Fatal(err)
			}
			text = string(j)
		}
		in = strings.NewReader(text)
		if h.Get("Content-Type") == "" {
			h.Set("Content-Type", "application/json")
		}
	}
	q, err := http.NewRequestWithContext(r.t.Context(), method, url, in)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header = h
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return reply{a, b}
}

// want checks the status and that every one of says is in the body (of an error: in its sentence).
func (a reply) want(t testing.TB, status int, says ...string) reply {
	t.Helper()
	text := string(a.body)
	if a.StatusCode >= 400 {
		if text = wire.ErrorText(a.body); text == "" {
			t.Errorf("%s %s: no sentence in %q", a.Request.Method, a.Request.URL, a.body)
		}
	}
	if a.StatusCode != status {
		t.Errorf("%s %s: %d %s; want %d", a.Request.Method, a.Request.URL, a.StatusCode, text, status)
	}
	for _, s := range says {
		if !strings.Contains(text, s) {
			t.Errorf("%s %s: %s; want %q in it", a.Request.Method, a.Request.URL, text, s)
		}
	}
	return a
}

func (a reply) json(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		t.Fatalf("%v in %q", err, a.body)
	}
	return m
}

// node enrols a node, without a name if that is empty.
func (r *rig) node(name string) string {
	r.t.Helper()
	body := map[string]any{"name": name, "driver": "fake-hardware", "extra": map[string]any{"rack": "r1", "list": []int{1, 2}}}
	if name == "" {
		delete(body, "name")
	}
	a := r.do(post, "/v1/nodes", 80, body)
	id, _ := a.want(r.t, 201).json(r.t)["uuid"].(string)
	return id
}

// force puts a node into a state, as a conductor would.
func (r *rig) force(ident string, change func(*metal.Node)) {
	r.t.Helper()
	err := r.db.Write(r.t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(ident)
		if err != nil {
			return err
		}
		change(n)
		return tx.SaveNode(n)
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestVersionHeaders(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		path, standard, legacy string
		status                 int
		inEffect               string
	}{
		{"/", "", "", 200, "1.1"},
		{"/v1", "", "1.80", 200, "1.80"},
		{"/v1/", "baremetal latest", "1.5", 200, "1.115"},
		{"/v1/nodes", "compute 2.1", "", 200, "1.1"},
		{"/", "", "1.116", 406, ""},
		{"/v1/nodes", "", "2.1", 406, ""},
		{"/nowhere", "", "x", 406, ""},
		{"/nowhere", "", "1.80", 404, "1.80"},
	} {
		h := http.Header{}
		if c.standard != "" {
			h.Set(wire.HeaderStandard, c.standard)
		}
		if c.legacy != "" {
			h.Set(wire.HeaderVersion, c.legacy)
		}
		a := r.send(get, r.url+c.path, h, nil).want(t, c.status)
		if got := a.Header.Get(wire.HeaderVersion); got != c.inEffect {
			t.Errorf("%+v: version in effect %q", c, got)
		}
		if a.Header.Get(wire.HeaderMin) != "1.1" || a.Header.Get(wire.HeaderMax) != "1.115" ||
			!strings.HasPrefix(a.Header.Get(wire.HeaderRequest), "req-") || a.Header.Get(wire.HeaderRequestX) != a.Header.Get(wire.HeaderRequest) {
			t.Errorf("%+v: headers %v", c, a.Header)
		}
	}
}

func TestRoot(t *testing.T) {
	r := newRig(t)
	root := r.do(get, "/", 0, nil).want(t, 200).json(t)
	v, _ := root["default_version"].(map[string]any)
	if v["id"] != "v1" || v["min_version"] != "1.1" || v["version"] != "1.115" {
		t.Errorf("%v", root)
	}
	doc := r.do(get, "/v1/", 1, nil).want(t, 200).json(t)
	if doc["nodes"] == nil || doc["conductors"] != nil || doc["lookup"] != nil {
		t.Errorf("%v", doc)
	}
	r = newRig(t, func(o *Options) { o.AgentOnPublic, o.PublicEndpoint = true, "https://metal.example.org/" })
	doc = r.do(get, "/v1", 80, nil).want(t, 200, "https://metal.example.org/v1/nodes/").json(t)
	if doc["conductors"] == nil || doc["lookup"] == nil {
		t.Errorf("%v", doc)
	}
}

func TestRouting(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	for _, c := range []struct {
		method, path string
		minor        int
		status       int
		says         string
	}{
		{get, "/nodes", 80, 200, "web-1"},
		{get, "/v1/nodes/", 80, 200, "web-1"},
		{get, "//v1//nodes/", 80, 200, "web-1"},
		{get, "/nodes/web-1", 80, 200, id},
		{get, "/v1/nodes/web-1.json", 80, 200, id},
		{get, "/v1/nodes/web-1.json", 91, 404, "web-1.json"},
		{get, "/v1/nodes/web-1", 4, 404, "1.5"},
		{get, "/v1/nodes/" + id, 4, 200, id},
		{get, "/v1/nodes/a%2Fb", 80, 400, "UUID or name"},
		{get, "/v1/nodes/%20", 80, 400, "UUID or name"},
		{post, "/v1/nodes/web-1", 80, 405, "Allowed: DELETE, GET, HEAD, PATCH"},
		{"OPTIONS", "/v1", 80, 405, "Allowed: GET, HEAD"},
		{put, "/", 80, 405, "Allowed: GET, HEAD"},
		{get, "/v2/nodes", 80, 404, "could not be found"},
		{get, "/v1/nodes/web-1/bogus", 80, 400, "Field bogus is not a valid field."},
		{get, "/v1/nodes/web-1/portgroups", 80, 200, `{"portgroups":[]}`},
		{get, "/v1/nodes/web-1/portgroups", 23, 404, "1.24"},
		{get, "/v1/nodes/web-1/traits", 36, 406, "1.37"},
		{get, "/v1/deploy_templates", 54, 404, "1.55"},
		{post, "/v1/deploy_templates", 54, 405, "needs API version 1.55"},
		{put, "/v1/nodes/web-1/states/raid", 11, 406, "1.12"},
		{put, "/v1/nodes/web-1/management/inject_nmi", 28, 404, "1.29"},
		{get, "/v1/volume/connectors", 31, 404, "1.32"},
		{get, "/v1/allocations", 51, 404, "1.52"},
		{get, "/v1/chassis/bogus", 80, 400, "UUID"},
		{get, "/v1/shards", 81, 404, "1.82"},
		{get, "/v1/shards/x", 82, 404, "could not be found"},
		{post, "/v1/events", 53, 404, "1.54"},
		{get, "/v1/nodes/web-1/ports/" + id, 80, 400, "Malformed request URI"},
		{post, "/v1/nodes/web-1/ports", 80, 400, "Malformed request URI"},
		{get, "/v1/lookup", 80, 404, "listener of their own"},
		{post, "/v1/heartbeat/" + id, 80, 404, "listener of their own"},
		{get, "/v1/conductors", 48, 404, "1.49"},
		{get, "/v1/nodes/web-1/history", 77, 404, "1.78"},
		{get, "/v1/nodes?bogus=1", 80, 400, "Unexpected arguments: bogus"},
		{get, "/v1/nodes?a=%zz", 80, 400, "query string"},
		{"HEAD", "/v1/nodes/web-1", 80, 200, ""},
	} {
		a := r.do(c.method, c.path, c.minor, nil)
		a.want(t, c.status, c.says)
		if a.StatusCode == 405 && a.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
}

// TestErrorBodies holds the two inner forms that clients parse.
func TestErrorBodies(t *testing.T) {
	r := newRig(t)
	for path, want := range map[string]string{
		"/v1/nodes/nobody": `{"error_message":"{\"faultcode\":\"Client\",\"faultstring\":\"Node nobody could not be found.\",\"debuginfo\":null}"}`,
		"/v1/bogus":        `{"error_message":"{\"code\":404,\"title\":\"Not Found\",\"description\":\"The resource could not be found.\"}"}`,
	} {
		a := r.do(get, path, 115, nil)
		if string(a.body) != want || a.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s %s", path, a.body, a.Header)
		}
	}
}

// TestRouteTable: every route names a known rule and a version, and no path is served twice.
func TestRouteTable(t *testing.T) {
	seen := map[string]bool{}
	for _, rt := range append(routes, agentRoutes...) {
		key := rt.method + " " + rt.path
		if seen[key] {
			t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if rt.do == nil || !knownRule(rt) {
			t.Errorf("%s: rule %q, handler %t", key, rt.rule, rt.do != nil)
		}
		for _, name := range strings.Fields(rt.takes) {
			if parameterOf(rt.path, name).says == "" {
				t.Errorf("%s takes %s, which has no row in parameters (parameters.go)", key, name)
			}
		}
		if rt.min > wire.MaxMinor {
			t.Errorf("%s: min %d", key, rt.min)
		}
	}
}

// TestEveryRouteAnswers asks every route of a fresh server: each must answer in its own words, none with an
// internal error, and none must be shadowed by another.
func TestEveryRouteAnswers(t *testing.T) {
	r := newRig(t, func(o *Options) { o.AgentOnPublic = true })
	for i, rt := range append(routes, agentRoutes...) {
		id := r.node(fmt.Sprintf("web-%d", i))
		path := strings.NewReplacer("{$}", "", "{node}", id, "{port}", id, "{uuid}", id, "{driver}", "fake-hardware", "{hostname}", "c1", "{name}", "x").Replace(rt.path)
		a := r.do(rt.method, path, wire.MaxMinor, nil)
		if a.StatusCode == 405 || a.StatusCode == 500 {
			t.Errorf("%s %s: %d %s", rt.method, path, a.StatusCode, a.body)
		}
		if rt.min > 1 {
			below := http.StatusNotFound
			if rt.below != 0 {
				below = rt.below
			}
			r.do(rt.method, path, rt.min-1, nil).want(t, below)
		}
	}
}

func TestErrorStatuses(t *testing.T) {
	for kind := range statuses {
		if statuses[kind] < 400 {
			t.Errorf("%v: %d", kind, statuses[kind])
		}
	}
	for i, want := range []int{500, 400, 400, 403, 404, 406, 409, 409, 413, 503, 501} {
		if got := statuses[faultKind(i)]; got != want {
			t.Errorf("%v: %d, want %d", faultKind(i), got, want)
		}
	}
}

// TestAFullLimitSaysWhen: its refusal says when to ask again; no other 503 does.
func TestAFullLimitSaysWhen(t *testing.T) {
	for kind, want := range map[fault.Kind]string{fault.Full: "30", fault.Unavailable: ""} {
		if a := errorAnswer(fault.New(kind, "No."), "req"); a.status != http.StatusServiceUnavailable || a.retryAfter != want {
			t.Errorf("%v: %d, %q", kind, a.status, a.retryAfter)
		}
	}
}

func faultKind(i int) fault.Kind { return fault.Kind(i) }

func knownRule(rt route) bool { return policy.Known(rt.rule) }

// TestErrorsPage: docs/errors.md has a row for each kind, with its status.
func TestErrorsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	for kind, status := range statuses {
		if row := fmt.Sprintf("\n| %v | %d | ", kind, status); !strings.Contains(string(page), row) {
			t.Errorf("docs/errors.md has no row %q", row)
		}
	}
}
