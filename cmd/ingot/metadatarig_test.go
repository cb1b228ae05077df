package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/seed"
	"ingot/lab/vendordata"
)

// metadataRig is a server with the role metadata, two machines, and a vendordata target. An instance asks from an address of its
// own on loopback.
type metadataRig struct {
	t        *testing.T
	dir      string
	at       [4]string // the API, the agents' door, boot files, metadata
	r        *running
	target   *vendorTarget
	images   *httptest.Server
	machines map[string]*playedMachine
	log      string // of the servers before this one

	mu     sync.Mutex
	drives map[string]string // guarded by mu; the last that each machine's agent was given
}

// The addresses of instances.
const (
	firstAddress  = "127.66.0.10"
	secondAddress = "127.66.0.11"
	nobodys       = "127.66.0.99"
)

func newMetadataRig(t *testing.T) *metadataRig {
	t.Helper()
	g := &metadataRig{t: t, dir: t.TempDir(), target: newVendorTarget(t, "vault"), machines: map[string]*playedMachine{}, drives: map[string]string{}}
	image := disk2()
	g.images = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(image) }))
	t.Cleanup(g.images.Close)
	for i := range g.at {
		var err error
		if g.at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	g.serve()
	for _, name := range []string{"one", "two"} {
		g.enrol(name, sumOf(image))
	}
	return g
}

// serve starts the server, or another in its place. lines are added to the configuration.
func (g *metadataRig) serve(lines ...string) {
	g.t.Helper()
	if g.r != nil {
		g.r.stop(g.t)
		g.log += g.r.log.String()
	}
	conf := filepath.Join(g.dir, "ingot.conf")
	text := append([]string{"[DEFAULT]", "debug = true", "enabled_hardware_types = redfish", "[conductor]", "automated_clean = false", "[api]", "rate_limit = 0",
		"vendordata_providers = StaticJSON,DynamicJSON", "vendordata_dynamic_allow_http_auth = true",
		"vendordata_dynamic_targets = " + g.target.entry()}, append(lines, "[metadata]", "rate_limit = 0", "trust_user_addresses = true")...)
	if err := os.WriteFile(conf, []byte(strings.Join(text, "\n")+"\n"), 0o600); err != nil {
		g.t.Fatal(err)
	}
	g.r = begin(g.t, g.dir, nil, "serve", "--config", conf, "--data", filepath.Join(g.dir, "data"), "--listen", g.at[0], "--agent-listen", g.at[1], "--boot-listen", g.at[2],
		"--metadata-listen", g.at[3])
	g.r.url = "http://" + g.at[0]
	if err := answering(g.r.url); err != nil {
		g.t.Fatalf("%v\nlog:\n%s", err, g.r.log)
	}
}

// logged is what all servers wrote.
func (g *metadataRig) logged() string { return g.log + g.r.log.String() }

// enrol makes a machine and brings its node to available.
func (g *metadataRig) enrol(name, sum string) {
	g.t.Helper()
	m := newPlayedMachine(g.t, g.at[1], filepath.Join(g.dir, "data"))
	g.machines[name], m.macs = m, []string{fmt.Sprintf("52:54:00:fa:4f:%02x", len(g.machines))}
	m.found = func(string) {}
	m.state = func() string { return g.state(name) }
	m.write = func(agentapi.ImageInfo) error { return nil }
	m.drive = func(text string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.drives[name] = text
	}
	ctx, stop := context.WithCancel(g.t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.run(ctx) })
	g.t.Cleanup(func() { stop(); running.Wait() })
	g.r.call(g.t, "POST", "/v1/nodes", object{"driver": "redfish", "name": name, "network_interface": "noop", "properties": object{"cpu_arch": "x86_64"},
		"driver_info": object{"redfish_address": m.bmc.URL(), "redfish_username": "admin", "redfish_password": playedPassword, "redfish_verify_ca": pemOf(m.bmc.CertificateDER()),
			"deploy_iso": "http://198.51.100.9/agent.iso"},
		"instance_info": object{"image_source": g.images.URL + "/disk.raw", "image_os_hash_algo": "sha256", "image_os_hash_value": sum}}, 201)
	for _, mac := range m.MACs() {
		g.r.call(g.t, "POST", "/v1/ports", object{"node_uuid": g.r.uuid(g.t, name), "address": mac}, 201)
	}
	g.verb(name, object{"target": "manage"}, "manageable")
	g.verb(name, object{"target": "provide"}, "available")
}

// state is a node's, "" while no server answers.
func (g *metadataRig) state(name string) string {
	var n struct {
		State string `json:"provision_state"`
	}
	ask, err := http.NewRequest(http.MethodGet, "http://"+g.at[0]+"/v1/nodes/"+name, nil)
	if err != nil {
		return ""
	}
	ask.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		return ""
	}
	defer answer.Body.Close()
	_ = json.NewDecoder(answer.Body).Decode(&n) // no node yet
	return n.State
}

// verb sends a verb, waits until the node rests in a state, and gives its last error.
func (g *metadataRig) verb(name string, body object, state string) (why string) {
	g.t.Helper()
	g.r.call(g.t, "PUT", "/v1/nodes/"+name+"/states/provision", body, 202)
	var n struct {
		State     string  `json:"provision_state"`
		Held      *string `json:"reservation"`
		LastError string  `json:"last_error"`
	}
	patiently(g.t, fmt.Sprintf("node %s to become %q", name, state), func() bool {
		n.LastError = ""
		if err := json.Unmarshal(g.r.call(g.t, "GET", "/v1/nodes/"+name, nil, 200), &n); err != nil {
			g.t.Fatal(err)
		}
		if n.Held == nil && n.State != state && (strings.HasSuffix(n.State, " failed") || n.State == "error") {
			g.t.Fatalf("node %s is %q, not %q: %s\nlog:\n%.8000s", name, n.State, state, n.LastError, tail(g.r.log.String(), 8000))
		}
		return n.State == state && n.Held == nil
	})
	return n.LastError
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// drive is what the request gives of an instance. Its address is the operator's to say: it is in the node's network data.
func (g *metadataRig) drive(name, hostname, address, userData string) object {
	g.t.Helper()
	networks := object{"links": []any{object{"id": "l", "type": "phy", "ethernet_mac_address": g.machines[name].MACs()[0], "mtu": 1500}},
		"networks": []any{object{"id": "n", "type": "ipv4", "link": "l", "network_id": "n", "ip_address": address, "netmask": "255.255.255.0",
			"routes": []any{object{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "127.66.0.1"}}}},
		"services": []any{object{"type": "dns", "address": "127.66.0.1"}}}
	g.r.call(g.t, "PATCH", "/v1/nodes/"+name, []any{object{"op": "add", "path": "/network_data", "value": networks}}, 200)
	return object{"meta_data": object{"hostname": hostname, "public_keys": object{"default": "ssh-ed25519 AAAA " + hostname}, "meta": object{"rack": "7"}}, "user_data": userData}
}

// asks asks the service from an address.
func (g *metadataRig) asks(from, path string) (status int, body string) {
	g.t.Helper()
	dial := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	c := &http.Client{Transport: &http.Transport{DialContext: dial.DialContext, DisableKeepAlives: true}, Timeout: 30 * time.Second}
	res, err := c.Get("http://" + g.at[3] + path)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// gets is asks for what is there.
func (g *metadataRig) gets(from, path string) string {
	g.t.Helper()
	status, body := g.asks(from, path)
	if status != http.StatusOK {
		g.t.Fatalf("GET %s from %s: %d %s", path, from, status, body)
	}
	return body
}

// files are the paths of all files that an instance is shown in the tree of OpenStack.
func (g *metadataRig) files(from string) (out []string) {
	g.t.Helper()
	for version := range strings.SplitSeq(g.gets(from, "/openstack"), "\n") {
		for name := range strings.SplitSeq(g.gets(from, "/openstack/"+version), "\n") {
			out = append(out, "/openstack/"+version+"/"+name)
		}
	}
	return out
}

// given reads the drive that a machine's agent was given.
func (g *metadataRig) given(name string) *seed.Seed {
	g.t.Helper()
	g.mu.Lock()
	text := g.drives[name]
	g.mu.Unlock()
	if text == "" {
		g.t.Fatalf("the agent of %s was given no drive", name)
	}
	s, err := seed.FromDrive(text)
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

// told are a node's events.
func (g *metadataRig) told(name string) string { return g.r.ingot(g.t, "node", "events", name) }

// vendorTarget is a vendordata target whose answers and whose URL have secrets.
type vendorTarget struct {
	*vendordata.Server
	name             string
	password, secret canary
	seen             int // questions that were looked at
}

func newVendorTarget(t *testing.T, name string) *vendorTarget {
	t.Helper()
	v := &vendorTarget{Server: vendordata.New(vendordata.Config{Caching: vendordata.Caching{CacheControl: "max-age=600"}}), name: name,
		password: plant("password in the URL of " + name), secret: plantOdd("answer of " + name)}
	if err := v.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	v.says(object{"token": v.secret.value})
	return v
}

// says sets its answer.
func (v *vendorTarget) says(answer object) {
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	v.SetAnswer("/data", text)
}

// entry is one of the option's list.
func (v *vendorTarget) entry() string {
	return v.name + "@" + strings.Replace(v.URL(), "://", "://us:"+v.password.value+"@", 1) + "/data"
}

// fails makes it answer 500 from now on, or ends that.
func (v *vendorTarget) fails(t *testing.T, so bool) {
	t.Helper()
	var list []vendordata.Fault
	if so {
		list = append(list, vendordata.Fault{Name: vendordata.Status500})
	}
	if err := v.SetFaults(list...); err != nil {
		t.Fatal(err)
	}
}

// questions are what it was asked since it was last looked at.
func (v *vendorTarget) questions() []vendordata.Request {
	all := v.Requests()
	out := all[v.seen:]
	v.seen = len(all)
	return out
}
