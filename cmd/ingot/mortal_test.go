package main

import (
	"bytes"
	"encoding/json"
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

	serving sync.Mutex // held while servers are killed, or started
	servers []*running // guarded by serving; one, or API and conductor

	watching sync.Mutex
	armed    bool           // guarded by watching; saves count
	saves    []string       // guarded by watching
	seen     map[string]int // guarded by watching
	death    death          // guarded by watching
	died     bool           // guarded by watching
}

func newMortal(t *testing.T) *mortal {
	t.Helper()
	m := &mortal{}
	gate := httptest.NewServer(http.HandlerFunc(m.asked))
	t.Cleanup(gate.Close)
	var at [3]string
	for i := range at {
		var err error
		if at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	r := begin(t, dir, []string{gateEnv + "=" + gate.URL, soonAgain}, "serve", "--listen", at[0], "--agent-listen", at[1], "--boot-listen", at[2])
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
	conductor := begin(t, two, []string{soonAgain}, "serve", "--roles", "conductor,agent-api", "--database", database, "--join-token-file", "ingot-data/token",
		"--agent-listen", at[2], "--boot-listen", at[3])
	patiently(t, "the conductor", func() bool {
		return bytes.Contains(api.call(t, "GET", "/v1/conductors", nil, http.StatusOK), []byte(`"alive":true`))
	})
	m := &mortal{servers: []*running{api, conductor}}
	gatePostgres(t, database, m.passes)
	m.rescuedMachine = newRescuedMachine(t, api, at[2], filepath.Join(two, "ingot-data"))
	m.enrol()
	return m
}

// soonAgain: with a server dies what its fake machines were asked; it is to be asked again soon.
const soonAgain = "INGOT_CONDUCTOR__POWER_STATE_CHANGE_TIMEOUT=1"

// arm says who dies in the life to come.
func (m *mortal) arm(d death) {
	m.watching.Lock()
	defer m.watching.Unlock()
	m.armed, m.death, m.died, m.saves, m.seen = true, d, false, nil, map[string]int{}
}

// dies: servers are killed and started anew.
func (m *mortal) dies(d death) (which []int) {
	m.watching.Lock()
	m.died = true
	m.watching.Unlock()
	which = map[string][]int{apiDies: {0}, conductorDies: {1}, bothDie: {0, 1}}[d.who]
	if len(m.servers) == 1 {
		which = []int{0}
	}
	m.again(which...)
	return which
}

// passes tells whether a save is to be committed. Who saves may be killed meanwhile.
func (m *mortal) passes(s save) (commit bool) {
	if !strings.Contains(s.Plan, "rescue") {
		return true
	}
	m.watching.Lock()
	at, d := s.String(), m.death
	if m.armed {
		m.saves = append(m.saves, at)
		m.seen[at]++
	}
	dies := m.armed && !m.died && d.nth > 0 && d.at == at && m.seen[at] == d.nth
	m.watching.Unlock()
	if !dies {
		return true
	}
	who := len(m.servers) - 1
	if s.Step == "" { // the API asks for it
		who = 0
	}
	dead := m.dies(d)
	return d.after || !slices.Contains(dead, who)
}

// asked is passes for a server's own gate.
func (m *mortal) asked(_ http.ResponseWriter, r *http.Request) {
	var s save
	_ = json.NewDecoder(r.Body).Decode(&s)
	if !m.passes(s) {
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
		next := begin(m.t, old.dir, slices.DeleteFunc(slices.Clone(old.cmd.Env), func(e string) bool { return !strings.HasPrefix(e, "INGOT_") }), old.cmd.Args[1:]...)
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

// life rescues the machine and ends the rescue, whoever dies on the way, and gives how the rescue ended.
func (m *mortal) life(d death) (rescued string) {
	t := m.t
	t.Helper()
	m.arm(d)
	dead := false
	see := func(state string) {
		if d.nth == 0 && !dead && state == d.at {
			dead = true
			m.dies(d)
		}
	}
	if d.at == whenFinalized {
		m.mu.Lock()
		m.struck = func() { m.dies(d) }
		m.mu.Unlock()
	}
	n := m.verb("rescue", []string{"rescue", "rescue failed"}, see, map[string]any{"rescue_password": "a password"})
	rescued = n.State
	if want := d.want(); want != "" && n.State != want {
		t.Errorf("after the death of %s the node is %+v, not %q", d, n, want)
	}
	if n.State == "rescue failed" && (d.who == "" || !strings.Contains(n.LastError, "give the password again")) {
		t.Errorf("after the death of %s the rescue failed, and says %q", d, n.LastError)
	}
	if n.State == "rescue" && n.LastError != "" {
		t.Errorf("after the death of %s a rescue has last_error %q", d, n.LastError)
	}
	if n = m.verb("unrescue", []string{"active"}, see, map[string]any{}); n.LastError != "" {
		t.Errorf("after the death of %s the active node has last_error %q", d, n.LastError)
	}
	m.watching.Lock()
	defer m.watching.Unlock()
	if m.armed = false; d.who != "" && !m.died {
		t.Errorf("%s: nobody died; saves: %v", d, m.saves)
	}
	return rescued
}

// verb asks until somebody takes it, and gives the node once it rests in one of the states. An end that failed is asked for again.
func (m *mortal) verb(verb string, ends []string, see func(state string), body map[string]any) restingNode {
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
		see(n.State)
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
	t.Fatalf("%s did not end: the node is %+v; death %s\nlog:\n%s", verb, n, m.death, m.servers[len(m.servers)-1].log)
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
