package main

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-crypt/x/crypt"

	"ingot/internal/agentapi"
)

// inmate rescues a machine that is played, so that its agent may do what ours does not: it repeats what it was told when it
// refuses. On the way requests are refused that hold a password, and a second machine claims to be the first.
func (g *aviary) inmate() {
	g.t.Helper()
	r := *g.r
	r.url = strings.Replace(r.url, "://", "://boss:"+g.planted["password of boss"].value+"@", 1)
	m := newRescuedMachine(g.t, &r, g.agents(), filepath.Join(g.dir, "ingot-data"))
	m.enrol()
	var answers bytes.Buffer
	const provision = "/v1/nodes/inmate/states/provision"
	accepted, failing, refused := plant("rescue password of a played machine"), plant("password that its agent repeats"), plant("password of a refused request")
	for _, c := range []canary{accepted, failing, refused} {
		g.learn(c)
	}
	g.call("PUT", provision, object{"target": "rescue", "rescue_password": accepted.value}, http.StatusAccepted)
	g.until("inmate", "rescue wait")
	refusals(g.t, m, refused, &answers)
	m.boots()
	stranger(g.t, m, &answers)
	m.calls()
	g.until("inmate", "rescue")
	g.learn(m.letIn(accepted))
	stranger(g.t, m, &answers)
	m.mu.Lock()
	m.fails = true
	m.mu.Unlock()
	g.call("PUT", provision, object{"target": "rescue", "rescue_password": failing.value}, http.StatusAccepted)
	g.until("inmate", "rescue wait")
	m.boots()
	m.calls()
	g.until("inmate", "rescue failed")
	g.learn(m.letIn(failing))
	holds(g.t, "last_error", string(g.call("GET", "/v1/nodes/inmate", nil, 200)), "no user was made of")
	g.verb("inmate", object{"target": "active"}, "active")
	g.clean("an answer about the played machine", answers.Bytes())
}

// letIn is the hash that the machine was told last, which must be that of the password.
func (m *rescuedMachine) letIn(password canary) canary {
	m.t.Helper()
	var p agentapi.FinalizeRescue
	lines := strings.Split(m.heard(), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &p); err != nil || !p.Hashed {
		m.t.Fatalf("the machine was told %d commands, the last without a hash: %v", len(lines), err)
	}
	part := strings.Split(p.RescuePassword, "$")
	if len(part) != 4 || part[1] != "6" || string(crypt.KeySHACrypt(sha512.New, []byte(password.value), []byte(part[2]), 5000)) != part[3] {
		m.t.Fatalf("what the machine was told is not the hash of the %s", password.name)
	}
	if strings.Contains(m.heard(), password.value) {
		m.t.Errorf("the machine was told the %s in clear text", password.name)
	}
	return canary{"hash of the " + password.name, part[3]}
}

// refusals sends the password in ways that are refused: none is answered with it.
func refusals(t *testing.T, m *rescuedMachine, password canary, answers io.Writer) {
	t.Helper()
	r, p := m.r, password.value
	provision := "/v1/nodes/inmate/states/provision"
	send := func(method, path string, body any, want int) {
		t.Helper()
		_, _ = answers.Write(r.call(t, method, path, body, want))
	}
	send("PUT", provision, map[string]any{"target": "rescue", "rescue_password": p}, http.StatusBadRequest) // it waits already
	send("PUT", provision, map[string]any{"target": "rescue", "rescue_password": p + "\n"}, http.StatusBadRequest)
	send("PUT", provision, map[string]any{"target": "rebuild", "rescue_password": p}, http.StatusBadRequest)
	send("PUT", provision, map[string]any{"target": "rescue", "rescue_password": []string{p}}, http.StatusBadRequest)
	send("PUT", provision, map[string]any{"target": "rescue", "rescue_password": p, "more": true}, http.StatusBadRequest)
	send("PUT", provision, map[string]any{"target": "rescue", "rescue_password": p, "rescue_ssh_keys": []string{"ssh-rsa " + p}}, http.StatusBadRequest)
	send("PUT", provision, p, http.StatusBadRequest)
	send("PUT", provision+"?rescue_password="+p, map[string]any{"target": "rescue"}, http.StatusBadRequest)
	send("PUT", "/v1/nodes/nobody/states/provision", map[string]any{"target": "rescue", "rescue_password": p}, http.StatusNotFound)
	for _, key := range []string{"rescue_password", "hashed_rescue_password"} {
		send("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "instance_info": map[string]any{key: p}}, http.StatusBadRequest)
	}
	send("POST", "/v1/nodes", map[string]any{"driver": "fake-hardware", "name": "never", "rescue_interface": "fake"}, http.StatusCreated)
	send("PATCH", "/v1/nodes/never", []any{map[string]any{"op": "add", "path": "/instance_info/rescue_password", "value": p}}, http.StatusBadRequest)
}

// stranger is a second machine that claims to be the first: it gets no token, no command, and nothing of the password.
func stranger(t *testing.T, m *rescuedMachine, answers io.Writer) {
	t.Helper()
	reached := make(chan string, 8)
	there := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { reached <- q.URL.Path }))
	defer there.Close()
	heard, before := m.heard(), m.state()
	found, _, err := m.door.Lookup(t.Context(), agentapi.LookupQuery{Addresses: []string{m.mac}})
	m.mu.Lock()
	token := m.token
	m.mu.Unlock()
	if err == nil && (found.Config.AgentToken != "" && strings.Trim(found.Config.AgentToken, "*") != "" || found.Config.AgentToken == token) {
		t.Errorf("a second lookup gets a token")
	}
	told, _ := json.Marshal(found)
	fmt.Fprintf(answers, "%s %v\n", told, err)
	for _, token := range []string{"", "******", strings.Repeat("a", len(token))} {
		err := m.door.Heartbeat(t.Context(), m.node, agentapi.Heartbeat{CallbackURL: there.URL, AgentToken: token, AgentVersion: "stranger", AgentVerifyCA: pemOf(there.Certificate().Raw)})
		if err == nil {
			t.Errorf("a stranger's call with the token %q is taken", token)
		}
		fmt.Fprintf(answers, "%v\n", err)
	}
	if after := m.state(); after != before {
		t.Errorf("the strangers' calls moved the node from %s to %s", before, after)
	}
	if len(reached) > 0 || m.heard() != heard {
		t.Errorf("the server turned to somebody: %d requests to the stranger, and to the machine %q", len(reached), strings.TrimPrefix(m.heard(), heard))
	}
}

func (m *rescuedMachine) state() string {
	m.t.Helper()
	var n struct {
		State string `json:"provision_state"`
	}
	if err := json.Unmarshal(m.r.call(m.t, "GET", "/v1/nodes/inmate", nil, http.StatusOK), &n); err != nil {
		m.t.Fatal(err)
	}
	return n.State
}
