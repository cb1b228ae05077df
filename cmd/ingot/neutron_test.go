package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"ingot/internal/driver/neutron/neutrontest"
)

// TestKilledOnNeutron: the server is killed with each request to Neutron in turn, of putting a machine on the cleaning network
// and of taking it off, after Neutron did what the request asked for. Another process leaves exactly the right ports.
func TestKilledOnNeutron(t *testing.T) {
	if os.Getenv("INGOT_LAB_FULL") != "1" {
		t.Skip("skipped: set INGOT_LAB_FULL=1 to start a server for each request, for some minutes")
	}
	cloud := neutrontest.Start(t)
	network := cloud.Network("cleaning", "physnet1", "10.0.1.0/24")
	var left atomic.Int32
	var victim atomic.Pointer[running]
	to, err := url.Parse(cloud.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	door := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if left.Add(-1) != 0 {
			proxy.ServeHTTP(w, r)
			return
		}
		proxy.ServeHTTP(httptest.NewRecorder(), r)
		_ = victim.Load().cmd.Process.Kill()
		panic(http.ErrAbortHandler)
	}))
	defer door.Close()
	dir := t.TempDir()
	conf := filepath.Join(dir, "ingot.conf")
	text := fmt.Sprintf("[DEFAULT]\nenabled_hardware_types = fake-hardware\n[neutron]\nauth_url = %s\nusername = %s\npassword = %s\nendpoint_override = %s\ncleaning_network = cleaning\nprovisioning_network = cleaning\n",
		cloud.AuthURL, cloud.User, neutrontest.Password, door.URL)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	start := func(die int) *running {
		left.Store(int32(die))
		r := serving(t, dir, "--config", conf)
		victim.Store(r)
		return r
	}
	r := start(0)
	r.call(t, "POST", "/v1/nodes", object{"driver": "fake-hardware", "name": "n", "network_interface": "neutron", "deploy_interface": "direct"}, 201)
	node := r.uuid(t, "n")
	r.call(t, "POST", "/v1/ports", object{"node_uuid": node, "address": "52:54:00:00:00:0a", "local_link_connection": object{"switch_id": "00:00:00:00:00:01", "port_id": "eth0"}}, 201)
	r.call(t, "PUT", "/v1/nodes/n/states/provision", object{"target": "manage"}, 202)
	r.until(t, "n", "manageable")
	ports := func() int { return len(cloud.Ports(url.Values{"network_id": {network}})) }
	// killed ends the server at a request of what verb leads to, and has another one lead on to the state.
	killed := func(verb string, at int, state string) (died bool) {
		left.Store(int32(at))
		r.call(t, "PUT", "/v1/nodes/n/states/provision", object{"target": verb}, 202)
		patiently(t, "the server to be killed, or to be done", func() bool {
			select {
			case <-r.ended:
				died = true
			default:
			}
			return died || r.peek("n") == state
		})
		left.Store(0)
		if died {
			r = start(0)
		}
		r.until(t, "n", state)
		return died
	}
	for at := 1; ; at++ {
		in := killed("provide", at, "clean wait")
		if n := ports(); n != 1 {
			t.Errorf("killed at request %d of entering: %d ports", at, n)
		}
		out := killed("abort", at, "clean failed")
		patiently(t, fmt.Sprintf("no port to be left, killed at request %d of leaving", at), func() bool { return ports() == 0 })
		r.call(t, "PUT", "/v1/nodes/n/states/provision", object{"target": "manage"}, 202)
		r.until(t, "n", "manageable")
		if !in && !out {
			t.Logf("%d requests", at-1)
			return
		}
	}
}

// peek is a node's state, "" from a server that does not answer.
func (r *running) peek(node string) string {
	req, err := http.NewRequest(http.MethodGet, r.url+"/v1/nodes/"+node, nil)
	if err != nil {
		return ""
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	var n struct {
		State string `json:"provision_state"`
	}
	_ = json.NewDecoder(res.Body).Decode(&n) // what is cut off has no state
	return n.State
}
