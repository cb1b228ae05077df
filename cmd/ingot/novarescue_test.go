package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// nova does what Nova's ironic driver does to rescue an instance: it knows the node by its instance, asks with microversion 1.38,
// asks again where the node is locked, and polls until the node is where it should be, or failed. Source: OpenStack Nova,
// nova/virt/ironic/driver.py: rescue, unrescue, _wait_for_provision_state.
type nova struct {
	t        *testing.T
	url      string
	instance string
}

// novaNode is what it reads of a node.
type novaNode struct {
	UUID      string  `json:"uuid"`
	State     string  `json:"provision_state"`
	Target    *string `json:"target_provision_state"`
	LastError *string `json:"last_error"`
}

func (n nova) send(method, path string, body any) (int, []byte) {
	n.t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			n.t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, in)
	if err != nil {
		n.t.Fatal(err)
	}
	for k, v := range map[string]string{"OpenStack-API-Version": "baremetal 1.38", "X-OpenStack-Ironic-API-Version": "1.38", "Content-Type": "application/json",
		"Accept": "application/json", "User-Agent": "nova-compute keystoneauth1/5.1.2 python-requests/2.28.1 CPython/3.11.2"} {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return res.StatusCode, out
}

// node is the one that the instance is on.
func (n nova) node() novaNode {
	n.t.Helper()
	status, body := n.send(http.MethodGet, "/v1/nodes?instance_uuid="+n.instance+"&fields=uuid,power_state,target_power_state,provision_state,target_provision_state,last_error,maintenance,properties,instance_uuid,traits,resource_class", nil)
	var list struct{ Nodes []novaNode }
	if err := json.Unmarshal(body, &list); err != nil || status != http.StatusOK || len(list.Nodes) != 1 {
		n.t.Fatalf("the instance's node: %d %s %v", status, body, err)
	}
	return list.Nodes[0]
}

// provision sends a verb; what is locked is asked again, as openstacksdk does.
func (n nova) provision(body map[string]any) (status int, said string) {
	n.t.Helper()
	path := "/v1/nodes/" + n.node().UUID + "/states/provision"
	patiently(n.t, "the node to be free", func() bool {
		code, b := n.send(http.MethodPut, path, body)
		status, said = code, string(b)
		return code != http.StatusConflict && code != http.StatusServiceUnavailable
	})
	return status, said
}

// until polls until the node is in one of the states. Meanwhile it is on its way to where the verb leads.
func (n nova) until(target string, states ...string) novaNode {
	n.t.Helper()
	var now novaNode
	patiently(n.t, "the node to be "+strings.Join(states, " or "), func() bool {
		now = n.node()
		if slices.Contains(states, now.State) {
			return true
		}
		if now.Target == nil || *now.Target != target {
			n.t.Fatalf("on the way to %s the node is %+v", target, now)
		}
		return false
	})
	return now
}

func TestNovaRescues(t *testing.T) {
	m := rescuable(t)
	n := nova{t: t, url: m.r.url, instance: "0b0b0b0b-1111-4222-8333-444444444444"}
	m.r.call(t, "PATCH", "/v1/nodes/inmate", []any{map[string]any{"op": "add", "path": "/instance_uuid", "value": n.instance}}, http.StatusOK)

	if status, said := n.provision(map[string]any{"target": "rescue", "rescue_password": ""}); status != http.StatusBadRequest {
		t.Errorf("a rescue without a password: %d %s", status, said)
	}
	if now := n.node(); now.State != "active" || now.Target != nil || now.LastError != nil {
		t.Errorf("a refusal left %+v", now)
	}
	for i, fails := range []bool{false, true, false} { // anew from rescue, and from rescue failed
		if status, said := n.provision(map[string]any{"target": "rescue", "rescue_password": "a password"}); status != http.StatusAccepted {
			t.Fatalf("rescue %d: %d %s", i, status, said)
		}
		n.until("rescue", "rescue wait")
		m.mu.Lock()
		m.fails = fails
		m.mu.Unlock()
		m.boots()
		m.calls()
		now := n.until("rescue", "rescue", "rescue failed")
		switch {
		case !fails && (now.State != "rescue" || now.Target != nil || now.LastError != nil):
			t.Errorf("rescue %d ended with %+v", i, now)
		case fails && (now.State != "rescue failed" || now.LastError == nil || !strings.Contains(*now.LastError, "no user was made")):
			t.Errorf("rescue %d ended with %+v; Nova shows last_error", i, now)
		}
	}
	if status, said := n.provision(map[string]any{"target": "unrescue"}); status != http.StatusAccepted {
		t.Fatalf("unrescue: %d %s", status, said)
	}
	if now := n.until("active", "active", "unrescue failed"); now.State != "active" || now.Target != nil || now.LastError != nil {
		t.Errorf("unrescue ended with %+v", now)
	}
}
