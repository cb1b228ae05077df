package main

import (
	"bytes"
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-crypt/x/crypt"

	"ingot/internal/agentapi"
)

// TestRescueSecretsStayInside: of a rescue's password and of its hash nothing is in a file, a log, an answer, the command line
// or the environment of the server; the machine that is rescued gets the hash, and no other does.
func TestRescueSecretsStayInside(t *testing.T) {
	t.Setenv("INGOT_DEFAULT__DEBUG", "true")
	m := rescuable(t)
	r := m.r
	var answers bytes.Buffer
	call := func(method, path string, body any, want int) {
		t.Helper()
		answers.Write(r.call(t, method, path, body, want))
	}
	provision := "/v1/nodes/inmate/states/provision"
	accepted, failing, refused := plant("rescue password"), plant("password of the rescue that fails"), plant("password of a refused request")
	all := []canary{accepted, failing, refused}

	// By the command line, from a file. The password and its hash wait for the machine.
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(accepted.value+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ingot := exec.Command("ingot", "node", "rescue", "inmate", "--password-file", file)
	ingot.Env = append(os.Environ(), "INGOT_ENDPOINT="+strings.Replace(r.url, "boss:"+personasPassword+"@", "", 1), "INGOT_USER=boss", "INGOT_PASSWORD="+personasPassword)
	out, err := ingot.CombinedOutput()
	if err != nil {
		t.Fatalf("ingot node rescue: %v\n%s", err, out)
	}
	answers.Write(out)
	r.until(t, "inmate", "rescue wait")
	m.everywhere(&answers)
	refusals(t, m, refused, &answers)
	m.boots()
	stranger(t, m, &answers)
	m.everywhere(&answers)
	m.calls()
	r.until(t, "inmate", "rescue")
	hash := m.letIn(accepted)
	all = append(all, hash)
	m.everywhere(&answers)
	stranger(t, m, &answers)

	// Again; now the agent refuses, and repeats what it was told.
	m.mu.Lock()
	m.fails = true
	m.mu.Unlock()
	call("PUT", provision, map[string]any{"target": "rescue", "rescue_password": failing.value}, http.StatusAccepted)
	r.until(t, "inmate", "rescue wait")
	m.boots()
	m.calls()
	r.until(t, "inmate", "rescue failed")
	all = append(all, m.letIn(failing))
	m.everywhere(&answers)
	call("PUT", provision, map[string]any{"target": "active"}, http.StatusAccepted)
	r.until(t, "inmate", "active")
	m.everywhere(&answers)

	unseen(t, "an answer", answers.Bytes(), all...)
	holds(t, "the answers", answers.String(), `"provision_state":"rescue wait"`, `"provision_state":"rescue failed"`, "no user was made of")
	for _, name := range []string{"cmdline", "environ"} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", r.cmd.Process.Pid, name))
		if err != nil {
			t.Fatal(err)
		}
		unseen(t, "the process' "+name, b, all...)
	}
	for name, data := range copyOf(t, filepath.Join(r.dir, "ingot-data"), "ingot.db") {
		unseen(t, "the database ("+name+")", data, all...)
	}
	if code := r.stop(t); code != 0 {
		t.Errorf("the server ended with %d", code)
	}
	unseen(t, "the log", []byte(r.log.String()), all...)
	holds(t, "the log", r.log.String(), "level=DEBUG", "verb accepted", "no user was made of")
	for name, data := range copyOf(t, r.dir, "") {
		unseen(t, "the server's folder ("+name+")", data, all...)
	}
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

// everywhere asks for all that tells of the node, as everybody.
func (m *rescuedMachine) everywhere(into io.Writer) {
	m.t.Helper()
	asked, shown := 0, 0
	for name := range personas {
		for _, path := range []string{"/v1/nodes/detail", "/v1/nodes?fields=uuid,driver_info,instance_info,driver_internal_info,last_error,extra", "/v1/nodes/" + m.node,
			"/v1/nodes/" + m.node + "/states", "/v1/nodes/" + m.node + "/history/detail", "/v1/nodes/" + m.node + "/ports/detail", "/v1/nodes/" + m.node + "/validate",
			"/v1/nodes/" + m.node + "/operation", "/v1/nodes/" + m.node + "/vifs", "/v1/operations", "/v1/events", "/v1/ports/detail", "/v1/conductors", "/v1/drivers?detail=true",
			"/ingot/v1/nodes/" + m.node + "/why", "/ingot/v1/nodes/" + m.node + "/events", "/ingot/v1/nodes/" + m.node + "/logs", "/ingot/v1/servers"} {
			status, body := m.get(as(name, m.r.url) + path)
			if asked++; status == http.StatusOK {
				shown++
			}
			fmt.Fprintf(into, "%s\n", body)
		}
	}
	if shown*2 < asked {
		m.t.Errorf("of %d answers only %d showed anything", asked, shown)
	}
}

func (m *rescuedMachine) get(url string) (int, []byte) {
	m.t.Helper()
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		m.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		m.t.Fatal(err)
	}
	return res.StatusCode, body
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
