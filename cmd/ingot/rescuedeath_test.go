package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/store/pgtest"
)

// mortal is a machine to be rescued and the servers of it, which are killed (kill -9) and started anew where they were.
type mortal struct {
	*rescuedMachine
	gate *httptest.Server // told of saves, if a server has one

	serving sync.Mutex // held while servers are killed, or started
	servers []*running // guarded by serving

	watching sync.Mutex
	armed    bool     // guarded by watching; saves count
	saves    []string // guarded by watching
	dieAt    int      // guarded by watching; the save, from 1; 0: none
	died     string   // guarded by watching; what was about to be saved
	want     string   // how the rescue ends; "": by either end
}

func deadly(t *testing.T) {
	t.Helper()
	if os.Getenv("INGOT_LAB") != "1" {
		t.Skip("skipped: set INGOT_LAB=1 to kill servers at every step of rescues, for two minutes")
	}
}

// TestRescueSurvivesDeath: the one server dies, API and conductor together, at each save of a rescue and of its end.
func TestRescueSurvivesDeath(t *testing.T) {
	deadly(t)
	calm := newMortal(t)
	calm.arm(0)
	calm.life()
	if len(calm.saves) < 12 {
		t.Fatalf("only %d saves were seen: %v", len(calm.saves), calm.saves)
	}
	for i, save := range calm.saves {
		t.Run(fmt.Sprintf("%02d %s", i+1, strings.ReplaceAll(save, "/", " ")), func(t *testing.T) {
			t.Parallel()
			m := newMortal(t)
			m.arm(i + 1)
			m.life()
			if m.died == "" {
				t.Errorf("nobody died; saves: %v", m.saves)
			}
		})
	}
}

// TestRescueSurvivesDeathApart: API and conductor are processes of their own, on PostgreSQL; either dies, or both do.
func TestRescueSurvivesDeathApart(t *testing.T) {
	deadly(t)
	for who, which := range map[string][]int{"api": {0}, "conductor": {1}, "both": {0, 1}} {
		for _, when := range []string{"rescue wait", "finalize", "rescue"} {
			t.Run(who+" at "+when, func(t *testing.T) {
				t.Parallel()
				m := newApart(t)
				if m.want = "rescue"; when == "rescue wait" && who != "conductor" { // the hash was lost with the API
					m.want = "rescue failed"
				}
				die := func() {
					m.died = when
					m.again(which...)
				}
				if when == "finalize" {
					m.mu.Lock()
					m.struck = die
					m.mu.Unlock()
					m.life()
					return
				}
				m.lifeWith(when, die)
			})
		}
	}
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	m := &mortal{}
	m.gate = httptest.NewServer(http.HandlerFunc(m.save))
	t.Cleanup(m.gate.Close)
	var at [3]string
	for i := range at {
		var err error
		if at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	r := begin(t, dir, []string{gateEnv + "=" + m.gate.URL}, "serve", "--listen", at[0], "--agent-listen", at[1], "--boot-listen", at[2])
	r.url = "http://" + at[0]
	if err := answering(r.url); err != nil {
		t.Fatalf("%v\nlog:\n%s", err, r.log)
	}
	m.servers, m.rescuedMachine = []*running{r}, newRescuedMachine(t, r, at[1], filepath.Join(dir, "ingot-data"))
	m.enrol()
	return m
}

// newApart is the same with an API and a conductor.
func newApart(t *testing.T) *mortal {
	t.Helper()
	database := pgtest.Empty(t)
	var at [4]string
	for i := range at {
		var err error
		if at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	one, two := t.TempDir(), t.TempDir()
	ingot := func(dir string, args ...string) string {
		cmd := exec.Command("ingot", args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("ingot %s: %v", strings.Join(args, " "), err)
		}
		return string(out)
	}
	ingot(one, "peer", "init", "--name", "one", "--roles", "api")
	api := begin(t, one, nil, "serve", "--roles", "api", "--database", database, "--listen", at[0], "--peer-listen", at[1], "--peer-url", "https://"+at[1])
	api.url = "http://" + at[0]
	if err := answering(api.url); err != nil {
		t.Fatalf("%v\nlog:\n%s", err, api.log)
	}
	token := ingot(one, "peer", "invite", "two", "--roles", "conductor,agent-api", "--url", "https://"+at[1])
	key, err := os.ReadFile(filepath.Join(one, "ingot-data", "ingot.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(two, "ingot-data"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"token": []byte(token), "ingot.key": key} {
		if err := os.WriteFile(filepath.Join(two, "ingot-data", name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	conductor := begin(t, two, nil, "serve", "--roles", "conductor,agent-api", "--database", database, "--join-token-file", "ingot-data/token",
		"--agent-listen", at[2], "--boot-listen", at[3])
	patiently(t, "the conductor", func() bool {
		return bytes.Contains(api.call(t, "GET", "/v1/conductors", nil, http.StatusOK), []byte(`"alive":true`))
	})
	m := &mortal{servers: []*running{api, conductor}}
	m.rescuedMachine = newRescuedMachine(t, api, at[2], filepath.Join(two, "ingot-data"))
	m.enrol()
	return m
}

func (m *mortal) arm(dieAt int) {
	m.watching.Lock()
	defer m.watching.Unlock()
	m.armed, m.dieAt = true, dieAt
}

// save is asked before each save of an operation.
func (m *mortal) save(_ http.ResponseWriter, r *http.Request) {
	var s save
	_ = json.NewDecoder(r.Body).Decode(&s)
	m.watching.Lock()
	dies := false
	if m.armed {
		m.saves = append(m.saves, s.String())
		if dies = len(m.saves) == m.dieAt; dies {
			m.died = s.String()
		}
	}
	m.watching.Unlock()
	if dies {
		m.again(0)
		panic(http.ErrAbortHandler)
	}
}

// again kills servers and starts them anew.
func (m *mortal) again(which ...int) {
	m.serving.Lock()
	defer m.serving.Unlock()
	for _, i := range which {
		_ = m.servers[i].cmd.Process.Kill() // that is the point
		<-m.servers[i].ended
	}
	for _, i := range which {
		old := m.servers[i]
		next := begin(m.t, old.dir, slices.DeleteFunc(slices.Clone(old.cmd.Env), func(e string) bool { return !strings.HasPrefix(e, gateEnv) }), old.cmd.Args[1:]...)
		next.url = old.url
		m.servers[i] = next
	}
}

// ask sends a request; 0 for no answer.
func (m *mortal) ask(method, path string, body any) (int, []byte) {
	b, _ := json.Marshal(body)
	req, err := http.NewRequestWithContext(m.t.Context(), method, m.r.url+path, bytes.NewReader(b))
	if err != nil {
		return 0, nil
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer res.Body.Close()
	out, _ := io.ReadAll(res.Body)
	return res.StatusCode, out
}

type restingNode struct {
	State     string  `json:"provision_state"`
	Target    *string `json:"target_provision_state"`
	LastError string  `json:"last_error"`
}

// life rescues the machine and ends the rescue, whoever dies on the way.
func (m *mortal) life() { m.lifeWith("", nil) }

// lifeWith is life with something to be done once, in a state.
func (m *mortal) lifeWith(when string, do func()) {
	t := m.t
	t.Helper()
	n := m.verb("rescue", []string{"rescue", "rescue failed"}, when, do, map[string]any{"rescue_password": "a password"})
	if m.want != "" && n.State != m.want {
		t.Errorf("after the death at %q the node is %+v, not %q", m.died, n, m.want)
	}
	if n.State == "rescue failed" && (m.died == "" || !strings.Contains(n.LastError, "give the password again")) {
		t.Errorf("after the death at %q the rescue failed, and says %q", m.died, n.LastError)
	}
	if n.State == "rescue" && n.LastError != "" {
		t.Errorf("after the death at %q a rescue has last_error %q", m.died, n.LastError)
	}
	if n.State == "rescue" && when == "rescue" {
		do()
	}
	if n = m.verb("unrescue", []string{"active"}, "", nil, map[string]any{}); n.LastError != "" {
		t.Errorf("after the death at %q the active node has last_error %q", m.died, n.LastError)
	}
}

// verb asks until somebody takes it, and gives the node once it rests in one of the states. An end that failed is asked for again.
func (m *mortal) verb(verb string, ends []string, when string, do func(), body map[string]any) restingNode {
	t := m.t
	t.Helper()
	body["target"] = verb
	limit := time.Now().Add(3 * time.Minute)
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	taken := false
	var n restingNode
	for ; time.Now().Before(limit); <-look.C {
		status, b := m.ask("GET", "/v1/nodes/inmate", nil)
		n = restingNode{}
		if status != http.StatusOK || json.Unmarshal(b, &n) != nil {
			continue
		}
		if do != nil && n.State == when && when != "rescue" {
			do()
			do = nil
			continue
		}
		switch rests := n.Target == nil || strings.HasSuffix(n.State, " failed"); {
		case rests && taken && slices.Contains(ends, n.State):
			return n
		case rests && !(verb == "unrescue" && n.State == "active"):
			status, b := m.ask("PUT", "/v1/nodes/inmate/states/provision", body)
			if status == http.StatusBadRequest {
				t.Logf("%s in %s: %s", verb, n.State, b)
			}
			taken = taken || status == http.StatusAccepted
		case rests: // taken, although its answer was lost
			return n
		default:
			taken = true
		}
		if n.State == "rescue wait" {
			m.plays()
		}
	}
	t.Fatalf("%s did not end: the node is %+v; died at %q\nlog:\n%s", verb, n, m.died, m.servers[len(m.servers)-1].log)
	return n
}

// plays is the machine while it waits: its agent looks up where it has not, and calls. Servers may be away.
func (m *mortal) plays() {
	m.mu.Lock()
	token := m.token
	m.mu.Unlock()
	if found, _, err := m.door.Lookup(m.t.Context(), agentapi.LookupQuery{Addresses: []string{m.mac}}); err == nil && len(found.Config.AgentToken) >= 32 {
		m.mu.Lock()
		m.token, m.told, m.done = found.Config.AgentToken, nil, nil
		token = m.token
		m.mu.Unlock()
	}
	if token != "" {
		_ = m.door.Heartbeat(m.t.Context(), m.node, agentapi.Heartbeat{CallbackURL: m.api.URL, AgentToken: token, AgentVersion: "played", AgentVerifyCA: pemOf(m.api.Certificate().Raw)}) // it calls again
	}
}
