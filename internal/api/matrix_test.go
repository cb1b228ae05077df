package api

import (
	"context"
	flags "flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/policy"
	"ingot/internal/store"
	"ingot/internal/wire"
)

var updateMatrix = flags.Bool("update-matrix", false, "write testdata/rbac.golden anew")

// A probe is one request that shows whether somebody has a right: it is a line of the matrix. A new route needs one
// line here, and an object of its own in prepare if there is none to ask for. The answer of who has the right need not
// be a success: rights are judged before all else.
type probe struct {
	rule   policy.Rule // "": the answer does not show who has the route's rule, and is not compared with the table
	method string
	path   string             // the route's; {key=name} is the object name under the route's key
	body   string             // <name> is an object
	passes func(a reply) bool // tells that the right was there; nil: neither forbidden nor concealed
}

// probes is every route, and every rule that shows in an answer. Those that delete come last.
var probes = slices.Concat(nodeProbes, partProbes, hangProbes, otherProbes, deletingProbes, agentProbes)

// personas are the columns. Source: RBAC reference §4.
var personas = strings.Fields("SA SM SR SS SV OA OG OM OR OS LA LG LM LR LS XA XG XM XR XS")

// persona is a caller by code.
func persona(code string) policy.Caller {
	held := map[byte][]string{'A': {"admin", "manager", "member", "reader"}, 'G': {"manager", "member", "reader"},
		'M': {"member", "reader"}, 'R': {"reader"}, 'S': {"service"}}
	switch {
	case code == "SV":
		return policy.Caller{UserID: code, ProjectID: "p-service", ProjectName: "service", Roles: []string{"service"}}
	case code[0] == 'S':
		return policy.Caller{UserID: code, SystemScope: "all", Roles: held[code[1]]}
	}
	return policy.Caller{UserID: code, ProjectID: "p-" + code[:1], ProjectName: "name-" + code[:1], Roles: held[code[1]]}
}

// byHeader is a Door that takes callers at their word: what they say they are is what the matrix asks about.
type byHeader struct{}

func (byHeader) Identify(_ context.Context, r *http.Request) (policy.Caller, error) {
	return persona(r.Header.Get("X-Persona")), nil
}
func (byHeader) Challenge() string { return "" }

// TestMatrix asks for everything as everybody, with real requests, and compares who got it with the golden matrix and
// with the facts of upstream's.
func TestMatrix(t *testing.T) {
	lifted := policy.Defaults()
	lifted.ServiceProject = "service"
	rules, err := policy.New(lifted)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	got := map[string][]bool{} // guarded by mu; by persona, in the order of probes
	t.Run("personas", func(t *testing.T) {
		for _, code := range personas {
			t.Run(code, func(t *testing.T) {
				t.Parallel()
				m := newMatrixRig(t, rules)
				row := make([]bool, len(probes))
				for i, p := range probes {
					row[i] = m.ask(code, p)
				}
				mu.Lock()
				defer mu.Unlock()
				got[code] = row
			})
		}
	})
	if t.Failed() {
		return
	}
	compareMatrix(t, got)
	compareFacts(t, got)
}

// TestMatrixIsWhole: no route and no rule that a route could show is without a probe.
func TestMatrixIsWhole(t *testing.T) {
	have, shown := map[string]bool{}, map[policy.Rule]bool{}
	for _, p := range probes {
		path, _, _ := strings.Cut(objects.ReplaceAllString(p.path, "{$1}"), "?")
		have[p.method+" "+path] = true
		shown[p.rule] = true
		if p.rule != "" && !policy.Known(p.rule) {
			t.Errorf("%s %s: there is no rule %q", p.method, p.path, p.rule)
		}
	}
	for _, rt := range append(routes[:len(routes):len(routes)], agentRoutes...) {
		if !have[rt.method+" "+rt.path] {
			t.Errorf("%s %s is not in the matrix: give it a line among the probes in matrixprobes_test.go, and run it with -update-matrix", rt.method, rt.path)
		}
		if !shown[rt.rule] {
			t.Errorf("no probe shows who has %s, the rule of %s %s", rt.rule, rt.method, rt.path)
		}
	}
}

// matrixRig is a server with an object of each kind: those of node "mine" belong to project p-O, which lets p-L lease
// it, those of "others" to nobody who asks.
type matrixRig struct {
	*rig
	strict  string // URL of a server where projects do not manage their own nodes
	objects map[string]string
}

func newMatrixRig(t *testing.T, rules *policy.Set) *matrixRig {
	r := newRig(t)
	serve := func(own bool) string {
		c := ops.Defaults()
		c.AnswerLimit, c.OwnNodes = time.Millisecond, own // nobody answers here
		return r.serve(New(ops.New(r.db, c, slog.New(slog.DiscardHandler)), Options{AgentOnPublic: true, Rules: func() *policy.Set { return rules },
			Identity: byHeader{}}))
	}
	r.url = serve(true)
	m := &matrixRig{rig: r, strict: serve(false), objects: map[string]string{}}
	m.prepare()
	return m
}

// as sends a request as a persona.
func (m *matrixRig) as(code, method, url, body string) reply {
	m.t.Helper()
	h := http.Header{"X-Persona": {code}}
	h.Set(wire.HeaderVersion, wire.Version(wire.MaxMinor))
	var b any
	if body != "" {
		b = body
	}
	return m.send(method, url, h, b)
}

// make creates an object and keeps its UUID by name.
func (m *matrixRig) make(name, path, body string) {
	m.t.Helper()
	a := m.as("SA", post, m.url+path, m.fill(body))
	if a.StatusCode != http.StatusCreated {
		m.t.Fatalf("make %s: %d %s", name, a.StatusCode, a.body)
	}
	uuid, _ := a.json(m.t)["uuid"].(string)
	m.objects[name] = uuid
}

func (m *matrixRig) fill(s string) string {
	for name, value := range m.objects {
		s = strings.ReplaceAll(s, "<"+name+">", value)
	}
	return s
}

// state puts a node into a provision state.
func (m *matrixRig) state(name string, s metal.State) {
	m.t.Helper()
	err := m.db.Write(m.t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(m.objects[name])
		if err != nil {
			return err
		}
		n.ProvisionState = s
		return tx.SaveNode(n)
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

var objects = regexp.MustCompile(`\{(\w+)(?:=([^}]+))?\}`)

// ask sends a probe as a persona and tells whether the right was there.
func (m *matrixRig) ask(code string, p probe) bool {
	m.t.Helper()
	concealed := ""
	path := objects.ReplaceAllStringFunc(p.path, func(s string) string {
		part := objects.FindStringSubmatch(s)
		name := part[2]
		if name == "" {
			name = part[1]
		}
		value, ok := m.objects[name]
		if !ok {
			value = name
		}
		if concealed == "" {
			concealed = value + " could not be found"
		}
		return value
	})
	base := m.url
	if p.rule == "node:create" || p.rule == "node:delete" {
		base = m.strict
	}
	a := m.as(code, p.method, base+strings.TrimSuffix(path, "{$}"), m.fill(p.body))
	if a.StatusCode >= 500 && a.StatusCode != http.StatusServiceUnavailable && a.StatusCode != http.StatusNotImplemented {
		m.t.Errorf("%s as %s: %d %s", path, code, a.StatusCode, a.body)
	}
	switch text := string(a.body); {
	case a.StatusCode == http.StatusUnauthorized, a.StatusCode == http.StatusForbidden && strings.Contains(text, "Access was denied"):
		return false
	case a.StatusCode == http.StatusNotFound && concealed != "" && strings.Contains(text, concealed):
		return false
	}
	return p.passes == nil || p.passes(a)
}

// compareMatrix holds what was found against testdata/rbac.golden, or writes it.
func compareMatrix(t *testing.T, got map[string][]bool) {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "# Who may do what, as real requests were answered (TestMatrix): + yes, . no, - the persona makes no sense there.\n# %-60s %s\n", "", strings.Join(personas, " "))
	for i, p := range probes {
		fmt.Fprintf(&b, "%-34s %-6s %s\n   ", p.rule, p.method, p.path)
		fmt.Fprintf(&b, "%-59s", "")
		for _, code := range personas {
			mark := " . "
			switch {
			case code[0] == 'L' && (strings.HasPrefix(string(p.rule), "allocation:") || strings.HasPrefix(string(p.rule), "runbook:")):
				mark = " - "
			case got[code][i]:
				mark = " + "
			}
			b.WriteString(mark)
		}
		b.WriteByte('\n')
	}
	const golden = "testdata/rbac.golden"
	if *updateMatrix {
		if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the matrix is not that of %s: run go test ./internal/api -run TestMatrix -update-matrix, and look at what changed", golden)
	}
}

// compareFacts holds what was found against the facts of upstream's table. Beside the check string, a caller needs a
// token of the rule's scope and, for what hangs on a node, to see the node.
func compareFacts(t *testing.T, got map[string][]bool) {
	t.Helper()
	facts := map[string][]string{} // scope and personas by rule
	text, err := os.ReadFile("../policy/testdata/rbac.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] != "#" {
			facts[f[0]] = f[1:]
		}
	}
	for i, p := range probes {
		fact, ok := facts[string(p.rule)]
		if !ok {
			continue
		}
		for _, code := range personas {
			want := slices.Contains(fact[1:], code)
			ofSystem := code[0] == 'S' && code != "SV"
			if fact[0] == "S" && !ofSystem || fact[0] == "P" && ofSystem {
				want = false
			}
			if strings.Contains(p.path, "/nodes/{node") && !slices.Contains(facts["node:get"][1:], code) {
				want = false
			}
			if p.rule == "node:delete:self_owned_node" && slices.Contains(facts["node:delete"][1:], code) {
				want = true // who may delete every node needs no right for one of theirs
			}
			if got[code][i] != want {
				t.Errorf("%s of %s by %s %s: %v, and upstream's table says %v", p.rule, code, p.method, p.path, got[code][i], want)
			}
		}
	}
}
