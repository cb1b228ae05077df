package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/agentapi"
)

// rescuedMachine is the agent of a rescue ramdisk on a machine that somebody boots by hand: it looks its node up, calls, and
// lets the user in when it is told to.
type rescuedMachine struct {
	t    *testing.T
	r    *running
	door *agentapi.Caller
	api  *httptest.Server
	mac  string

	mu     sync.Mutex
	token  string            // guarded by mu; "": it has not found its node
	node   string            // guarded by mu
	told   []string          // guarded by mu; the commands' parameters, as they came
	done   []agentapi.Result // guarded by mu
	struck func()            // guarded by mu; happens when it was told something, before it answers
	fails  bool              // guarded by mu: it refuses to let anybody in
}

const rescuedMAC = "52:54:00:aa:bb:01"

// personas are the users of that server, by name, with what they may do. The node is blue's, and lent to red.
var personas = map[string][]string{
	"boss": {"--system", "admin"}, "member": {"--system", "member"}, "eye": {"--system", "reader"},
	"blue-admin": {"--project", "blue:admin"}, "blue-member": {"--project", "blue:member"}, "blue-reader": {"--project", "blue:reader"},
	"red-admin": {"--project", "red:admin"}, "red-reader": {"--project", "red:reader"}, "green-admin": {"--project", "green:admin"},
}

const personasPassword = "not-a-secret-of-this-test"

// rescuable is a server with an active node "inmate" whose machine is booted by hand, and that machine. Who asks, where nothing
// else is said, is boss.
func rescuable(t *testing.T, args ...string) *rescuedMachine {
	t.Helper()
	agents, err := free()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, may := range personas {
		add := exec.Command("ingot", append([]string{"user", "add", name, "--data", "ingot-data", "--password-file", "-"}, may...)...)
		add.Dir, add.Stdin = dir, strings.NewReader(personasPassword)
		if out, err := add.CombinedOutput(); err != nil {
			t.Fatalf("user %s: %v\n%s", name, err, out)
		}
	}
	r := serving(t, dir, append([]string{"--auth", "local", "--agent-listen", agents}, args...)...)
	r.url = as("boss", r.url)
	m := newRescuedMachine(t, r, agents, filepath.Join(dir, "ingot-data"))
	m.enrol()
	return m
}

// newRescuedMachine is a machine whose agents speak to an agents' door, of a server with its data in a folder.
func newRescuedMachine(t *testing.T, r *running, agents, data string) *rescuedMachine {
	t.Helper()
	m := &rescuedMachine{t: t, r: r, mac: rescuedMAC}
	m.api = httptest.NewTLSServer(m)
	t.Cleanup(m.api.Close)
	ca, err := os.ReadFile(filepath.Join(data, "agent-door.crt"))
	if err != nil {
		t.Fatal(err)
	}
	if m.door, err = agentapi.NewCaller("https://"+agents, string(ca)); err != nil {
		t.Fatal(err)
	}
	return m
}

// enrol makes the machine's node and brings it to active.
func (m *rescuedMachine) enrol() {
	t, r := m.t, m.r
	t.Helper()
	r.call(t, "POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "inmate", "automated_clean": false, "rescue_interface": "agent", "boot_interface": "fake",
		"network_interface": "noop", "owner": "blue", "lessee": "red", "driver_info": map[string]any{}}, http.StatusCreated)
	var n struct{ UUID string }
	if err := json.Unmarshal(r.call(t, "GET", "/v1/nodes/inmate", nil, http.StatusOK), &n); err != nil {
		t.Fatal(err)
	}
	m.node = n.UUID
	r.call(t, "POST", "/v1/ports", map[string]any{"node_uuid": n.UUID, "address": m.mac}, http.StatusCreated)
	for _, step := range [][2]string{{"manage", "manageable"}, {"provide", "available"}, {"active", "active"}} {
		r.call(t, "PUT", "/v1/nodes/inmate/states/provision", map[string]any{"target": step[0]}, http.StatusAccepted)
		r.until(t, "inmate", step[1])
	}
}

// as is a server's URL as somebody else uses it.
func as(name, url string) string {
	_, host, _ := strings.Cut(url, "//")
	if _, after, named := strings.Cut(host, "@"); named {
		host = after
	}
	return "http://" + name + ":" + personasPassword + "@" + host
}

// boots is the machine booted anew: its agent looks its node up.
func (m *rescuedMachine) boots() {
	m.t.Helper()
	m.mu.Lock()
	m.token, m.told, m.done = "", nil, nil
	m.mu.Unlock()
	found, _, err := m.door.Lookup(m.t.Context(), agentapi.LookupQuery{Addresses: []string{m.mac}})
	if err != nil || found.Config.AgentToken == "" {
		m.t.Fatalf("the agent did not find its node: %v", err)
	}
	m.mu.Lock()
	m.token = found.Config.AgentToken
	m.mu.Unlock()
}

// calls: the agent says that it is there.
func (m *rescuedMachine) calls() {
	m.t.Helper()
	m.mu.Lock()
	token := m.token
	m.mu.Unlock()
	err := m.door.Heartbeat(m.t.Context(), m.node, agentapi.Heartbeat{CallbackURL: m.api.URL, AgentToken: token, AgentVersion: "played", AgentVerifyCA: pemOf(m.api.Certificate().Raw)})
	if err != nil {
		m.t.Fatalf("the agent's call: %v", err)
	}
}

// heard are the parameters of all commands that came.
func (m *rescuedMachine) heard() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.Join(m.told, "\n")
}

// ServeHTTP is the agent's API.
func (m *rescuedMachine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, agentapi.MaxBody))
	status, answer, struck := m.answer(r, body)
	if struck != nil {
		struck()
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// erasedAll is the result of a clean step that erased the machine's one disk, with its proof.
func erasedAll(params json.RawMessage) json.RawMessage {
	var p agentapi.StepParams
	_ = json.Unmarshal(params, &p) // a step without a name is one that nobody knows
	at := time.Now().UTC()
	out, _ := json.Marshal(map[string]any{"clean_step": p.Step, "clean_result": map[string]any{"/dev/sda": agentapi.Erased{Serial: "S4EVNX0R", Size: 480e9, How: "discarded",
		Proof: &agentapi.Proof{Method: "discard", Passes: 1, Began: at, Ended: at,
			ReadBack: agentapi.ReadBack{Whole: true, Samples: 2, Length: 4096, Offsets: []int64{0, 4096}, Zero: 2, Result: "all zero"}}}}})
	return out
}

// answer is what the agent says; struck: what happens instead, once a command was done.
func (m *rescuedMachine) answer(r *http.Request, body []byte) (status int, answer any, struck func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.URL.Query().Get("agent_token") != m.token {
		return http.StatusUnauthorized, nil, nil
	}
	if r.Method == http.MethodGet {
		return http.StatusOK, map[string]any{"commands": m.done}, nil
	}
	var cmd agentapi.Command
	if json.Unmarshal(body, &cmd) != nil {
		return http.StatusBadRequest, nil, nil
	}
	_, short, _ := strings.Cut(cmd.Name, ".")
	res := agentapi.Result{ID: strconv.Itoa(len(m.done)), CommandName: short, CommandStatus: agentapi.Succeeded, Key: r.Header.Get(agentapi.KeyHeader)}
	if offered[short] != "" {
		res.CommandResult = json.RawMessage(offered[short])
	}
	if short == "execute_clean_step" {
		res.CommandResult = erasedAll(cmd.Params)
	}
	if m.fails { // and repeats what it was told, as a tool's complaint may
		res.CommandStatus, res.CommandError = agentapi.Failed, &agentapi.CommandError{Type: "RescueError", Code: 500, Message: "failed", Details: "no user was made of " + string(cmd.Params)}
	}
	m.told, m.done = append(m.told, string(cmd.Params)), append(m.done, res)
	struck, m.struck = m.struck, nil
	return http.StatusOK, res, struck
}
