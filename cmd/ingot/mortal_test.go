package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
)

// mortal is a machine to be rescued, and the servers of it, which are killed.
type mortal struct {
	*rescuedMachine
	*killable
}

func newMortal(t *testing.T) *mortal { return mortalOf(newKillable(t, "rescue", nil, nil)) }

// newApart is the same with an API and a conductor.
func newApart(t *testing.T) *mortal { return mortalOf(newKillablePair(t, "rescue", nil, nil)) }

func mortalOf(k *killable) *mortal {
	m := &mortal{newRescuedMachine(k.test, k.front, k.agents, k.data), k}
	m.enrol()
	return m
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
