package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/driver/neutron/neutrontest"
)

// neutronRig is a server, which may be killed at any time, with a machine whose networks are a real Neutron's. Whatever the
// server saves and whatever it asks of Neutron passes here.
type neutronRig struct {
	t       *testing.T
	cloud   *neutrontest.Cloud
	machine *playedMachine
	nets    map[string]string // by role, "tenant" too
	vif     string            // of the machine's user
	node    string            // UUID
	image   string

	dir, conf string
	at        [3]string // where the server listens
	proxy     http.Handler
	door      *httptest.Server // what stands before Neutron, and takes the server's saves

	mu     sync.Mutex      // held while a server is looked at, or killed
	now    *running        // guarded by mu
	reaper reaper          // guarded by mu
	trail  []string        // guarded by mu; where the machine was, each place once, since the last look
	moved  bool            // guarded by mu; something was asked of Neutron since the last look
	booted []string        // guarded by mu; where agents found it, and in which state
	seen   map[string]bool // guarded by mu; saves
	died   map[string]int  // guarded by mu; servers, by what they were about to save or had asked for
}

// reaper says when a server dies: at the n-th thing that it saves or asks, and the next server too; but if none of its life
// was saved, one later. With all, it dies at whatever comes after something was saved, and at each save that nobody died at
// yet: so at everything.
type reaper struct {
	every    int // 0: nobody dies
	all      bool
	at, past int
	saved    bool
}

// event tells whether the server dies with it; fresh: at such a save nobody died yet.
func (p *reaper) event(saves, fresh bool) bool {
	if p.every == 0 {
		return false
	}
	p.past++
	if p.past < max(p.at, 1) && !(p.all && (p.saved || fresh)) {
		p.saved = p.saved || saves
		return false
	}
	p.at++
	if p.saved {
		p.at = p.every
	}
	p.past, p.saved = 0, false
	return true
}

var operatorRoles = []string{"provisioning", "cleaning", "inspection", "servicing", "rescuing"}

func newNeutronRig(t *testing.T) *neutronRig {
	t.Helper()
	g := &neutronRig{t: t, cloud: neutrontest.Start(t), nets: map[string]string{}, seen: map[string]bool{}, died: map[string]int{}, dir: t.TempDir()}
	text := "[DEFAULT]\nenabled_hardware_types = redfish\nenabled_network_interfaces = neutron,noop\n[neutron]\n"
	for i, role := range operatorRoles {
		g.nets[role] = g.cloud.Network(role, "physnet1", fmt.Sprintf("10.0.%d.0/24", i))
		text += fmt.Sprintf("%s_network = %s\n", role, role)
	}
	g.nets["tenant"] = g.cloud.Network("tenant", "physnet1", "10.1.0.0/24")
	g.vif = g.cloud.MakePort(g.nets["tenant"], nil)
	to, err := url.Parse(g.cloud.URL)
	if err != nil {
		t.Fatal(err)
	}
	g.proxy = httputil.NewSingleHostReverseProxy(to)
	g.door = httptest.NewServer(g)
	t.Cleanup(g.door.Close)
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(disk()) }))
	t.Cleanup(files.Close)
	g.image = files.URL + "/disk.raw"
	text += fmt.Sprintf("auth_url = %s\nusername = %s\npassword = %s\nendpoint_override = %s\n", g.cloud.AuthURL, g.cloud.User, neutrontest.Password, g.door.URL)
	g.conf = filepath.Join(g.dir, "ingot.conf")
	if err := os.WriteFile(g.conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range g.at {
		if g.at[i], err = free(); err != nil {
			t.Fatal(err)
		}
	}
	g.start()
	g.enrol()
	return g
}

// start starts a server where the last one was.
func (g *neutronRig) start() {
	g.t.Helper()
	r := begin(g.t, g.dir, []string{gateEnv + "=" + g.door.URL + "/save"}, "serve", "--config", g.conf, "--data", filepath.Join(g.dir, "data"), "--listen", g.at[0], "--agent-listen", g.at[1], "--boot-listen", g.at[2])
	r.url = "http://" + g.at[0]
	g.mu.Lock()
	g.now = r
	g.reaper.past, g.reaper.saved = 0, false
	g.mu.Unlock()
	if err := answering(r.url); err != nil && !g.dead() {
		g.t.Fatalf("%v\nlog:\n%s", err, r.log)
	}
}

func (g *neutronRig) dead() bool {
	select {
	case <-g.now.ended:
		return true
	default:
		return false
	}
}

// enrol makes the node of the machine, with two NICs, and verifies it.
func (g *neutronRig) enrol() {
	g.t.Helper()
	g.machine = newPlayedMachine(g.t, g.at[1], filepath.Join(g.dir, "data"))
	g.machine.state = func() string { return g.field("provision_state") }
	g.machine.found = func(state string) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.booted = append(g.booted, state+": "+g.place(true))
	}
	ctx, stop := context.WithCancel(g.t.Context())
	var running sync.WaitGroup
	running.Go(func() { g.machine.run(ctx) })
	g.t.Cleanup(func() { stop(); running.Wait() })
	g.ask("POST", "/v1/nodes", object{"driver": "redfish", "name": "n", "network_interface": "neutron", "inspect_interface": "agent", "rescue_interface": "agent",
		"driver_info": object{"redfish_address": g.machine.bmc.URL(), "redfish_username": "admin", "redfish_password": playedPassword,
			"redfish_verify_ca": pemOf(g.machine.bmc.CertificateDER()), "deploy_iso": "http://198.51.100.9/agent.iso", "rescue_iso": "http://198.51.100.9/rescue.iso"},
		"instance_info": object{"image_source": g.image, "image_os_hash_algo": "sha256", "image_os_hash_value": fmt.Sprintf("%x", sha256.Sum256(disk()))}}, 201)
	g.node = g.field("uuid")
	for i, mac := range g.machine.MACs() {
		g.ask("POST", "/v1/ports", object{"node_uuid": g.node, "address": mac, "pxe_enabled": i == 0, "physical_network": "physnet1",
			"local_link_connection": object{"switch_id": "00:00:00:00:00:01", "port_id": fmt.Sprintf("Ethernet%d", i)}}, 201)
	}
	g.verb("manage", "manageable", nil)
	g.walked()
}

// ServeHTTP is what stands before Neutron, and the gate of the server's saves.
func (g *neutronRig) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/save" {
		g.mu.Lock()
		dies := g.reaper.event(false, false)
		g.moved = g.moved || r.Method != http.MethodGet
		g.mu.Unlock()
		if !dies {
			g.proxy.ServeHTTP(w, r)
			return
		}
		g.proxy.ServeHTTP(httptest.NewRecorder(), r.WithContext(context.WithoutCancel(r.Context()))) // Neutron does it; nobody hears of it
		g.kill(r.Method + " " + strings.SplitN(strings.TrimPrefix(r.URL.Path, "/v2.0/"), "/", 2)[0])
		panic(http.ErrAbortHandler)
	}
	var s save
	if err := json.NewDecoder(r.Body).Decode(&s); err != nil {
		g.t.Error(err)
	}
	g.mu.Lock()
	if g.moved {
		g.look()
	}
	g.seen[s.String()] = true
	dies := g.reaper.event(true, g.died[s.String()] == 0)
	g.mu.Unlock()
	if dies {
		g.kill(s.String())
		panic(http.ErrAbortHandler)
	}
}

// kill is kill -9. at is what the server was doing.
func (g *neutronRig) kill(at string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.died[at]++
	_ = g.now.cmd.Process.Kill() // it may have ended
	<-g.now.ended
}

// look follows where the machine is. The lock is held.
func (g *neutronRig) look() {
	g.moved = false
	if at := g.place(false); len(g.trail) == 0 || g.trail[len(g.trail)-1] != at {
		g.trail = append(g.trail, at)
	}
}

// place says on which networks the machine is, as an administrator of Neutron sees it. What is no port as it should be, or
// not for both NICs, is named with its ID.
func (g *neutronRig) place(boots bool) string {
	count := map[string]int{}
	for _, p := range g.cloud.Ports(url.Values{}) {
		label, ours := strings.CutPrefix(p.Name, "ingot:")
		role, node, _ := strings.Cut(label, ":")
		linked := fmt.Sprint(p.Profile["local_link_information"]) != fmt.Sprint(nil)
		switch {
		case ours && (node != g.node || p.NetworkID != g.nets[role] || !slices.Equal(p.Tags, []string{p.Name}) || p.HostID != g.node || p.DeviceID != g.node ||
			!slices.Contains(g.machine.MACs(), p.MAC) || !linked || p.VNIC != "baremetal" || boots && p.Status != "ACTIVE"):
			count[fmt.Sprintf("%s(%+v)", role, p)]++
		case ours:
			count[role]++
		case p.ID == g.vif && p.HostID == g.node && linked:
			if p.MAC != g.machine.MACs()[0] || boots && p.Status != "ACTIVE" {
				count[fmt.Sprintf("tenant(%+v)", p)]++
			} else {
				count["tenant"] += 2
			}
		case p.ID != g.vif:
			count[fmt.Sprintf("stray(%+v)", p)]++
		}
	}
	var on []string
	for _, name := range slices.Sorted(maps.Keys(count)) {
		if count[name] != 2 {
			name += fmt.Sprintf("[%d of 2]", count[name])
		}
		on = append(on, name)
	}
	if len(on) == 0 {
		return "nothing"
	}
	return strings.Join(on, "+")
}

// walked gives where the machine was since it was last asked, and where agents found it.
func (g *neutronRig) walked() (trail, booted string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
	trail, booted = strings.Join(g.trail, " > "), strings.Join(slices.Compact(g.booted), ", ")
	g.trail, g.booted = g.trail[len(g.trail)-1:], nil
	return trail, booted
}

// field is one of the node, "" while no server answers.
func (g *neutronRig) field(name string) string {
	var n map[string]any
	status, body, err := g.send("GET", "/v1/nodes/n", nil)
	if err != nil || status != 200 || json.Unmarshal(body, &n) != nil {
		return ""
	}
	s, _ := n[name].(string)
	return s
}

func (g *neutronRig) send(method, path string, body any) (int, []byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		g.t.Error(err)
	}
	req, err := http.NewRequest(method, "http://"+g.at[0]+path, bytes.NewReader(b))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("X-OpenStack-Ironic-API-Version", "latest")
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	out, err := io.ReadAll(res.Body)
	return res.StatusCode, out, err
}

// ask sends a request to a server that lives.
func (g *neutronRig) ask(method, path string, body any, want int) []byte {
	g.t.Helper()
	status, out, err := g.send(method, path, body)
	if err != nil || status != want {
		g.t.Fatalf("%s %s: %d %v\n%s\nlog:\n%s", method, path, status, err, out, g.now.log)
	}
	return out
}

// insist asks until it is done, of one server after the other, whatever became of those that died with it.
func (g *neutronRig) insist(method, path string, body any, done func() bool) {
	g.t.Helper()
	g.patiently(method+" "+path, func() bool {
		if done() {
			return true
		}
		status, out, err := g.send(method, path, body)
		if err == nil && status >= 300 && status != 409 && status != 503 {
			g.t.Fatalf("%s %s: %d\n%s", method, path, status, out)
		}
		return err == nil && status < 300
	})
}

// patiently starts servers anew, as an init system does, until so.
func (g *neutronRig) patiently(what string, so func() bool) {
	g.t.Helper()
	limit := time.Now().Add(5 * time.Minute)
	for look := time.NewTicker(20 * time.Millisecond); !so(); <-look.C {
		if g.dead() {
			g.start()
		}
		if time.Now().After(limit) {
			_, why, _ := g.send("GET", "/ingot/v1/nodes/n/why", nil)
			g.t.Fatalf("waited in vain for %s; the node:\n%s\nlog:\n%s", what, why, g.now.log)
		}
	}
}

// verb asks for one and waits until the node is where it leads.
func (g *neutronRig) verb(verb, to string, more object) {
	g.t.Helper()
	body := object{"target": verb}
	maps.Copy(body, more)
	var from string
	g.patiently("the node's state", func() bool { from = g.field("provision_state"); return from != "" })
	g.insist("PUT", "/v1/nodes/n/states/provision", body, func() bool { now := g.field("provision_state"); return now != "" && now != from })
	g.until(to)
}

func (g *neutronRig) until(state string) {
	g.t.Helper()
	g.patiently("the node to become "+state, func() bool {
		now := g.field("provision_state")
		if now != state && (strings.HasSuffix(now, " failed") || now == "error") {
			g.t.Fatalf("the node is %q, not %q: %s", now, state, g.field("last_error"))
		}
		return now == state
	})
}
