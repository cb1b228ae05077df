package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// TestWalkedOnNeutron: a machine goes through its life, and is on the networks of a real Neutron that the lifecycle reference
// names (§27), never on two of them, and nothing is left behind.
func TestWalkedOnNeutron(t *testing.T) {
	if os.Getenv("INGOT_LAB") != "1" {
		t.Skip("skipped: set INGOT_LAB=1 to lead a machine through its life on a real Neutron, for a minute")
	}
	g := newNeutronRig(t)
	g.life(t, true)
	t.Logf("%d things saved, 0 servers killed", len(g.seen))
}

// TestKilledOnNeutron is the same life, but servers die (kill -9): before they save what a step has come to, and when
// Neutron has done what they asked for and has not answered yet.
func TestKilledOnNeutron(t *testing.T) {
	every := 0
	switch {
	case os.Getenv("INGOT_LAB_FULL") == "1":
		every = 2
	case os.Getenv("INGOT_LAB") == "1":
		every = 9
	default:
		t.Skip("skipped: set INGOT_LAB=1 to kill servers at some steps, for a minute or two, or INGOT_LAB_FULL=1 for all")
	}
	g := newNeutronRig(t)
	g.mu.Lock()
	g.reaper.every, g.reaper.all = every, every == 2
	clear(g.seen)
	g.mu.Unlock()
	g.life(t, every > 2)
	g.mu.Lock()
	defer g.mu.Unlock()
	saves, requests := 0, 0
	for at, n := range g.died {
		if g.seen[at] {
			saves += n
		} else {
			requests += n
		}
	}
	t.Logf("%d servers killed before a save, %d after a request to Neutron, of %d different saves:\n%s", saves, requests, len(g.seen), tally(g.died))
	if every > 2 {
		return
	}
	for s := range g.seen {
		if g.died[s] == 0 {
			t.Errorf("no server was killed at %s", s)
		}
	}
}

func tally(m map[string]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%3d %s", m[k], k))
	}
	return strings.Join(out, "\n")
}

// life leads the machine through it. whole adds what has plans like the others'.
func (g *neutronRig) life(t *testing.T, whole bool) {
	t.Helper()
	expect := func(what, trail, booted string) {
		t.Helper()
		gotTrail, gotBooted := g.walked()
		if gotTrail != trail || gotBooted != booted {
			t.Errorf("%s: the machine was on %s, and its agents were up in %q\nwant %s, %q", what, gotTrail, gotBooted, trail, booted)
		}
	}
	if whole {
		g.verb("inspect", "manageable", nil)
		expect("inspect", "nothing > inspection > nothing", "inspect wait: inspection")
	}
	g.verb("provide", "available", nil)
	expect("provide", "nothing > cleaning > nothing", "clean wait: cleaning")
	attached := func() bool {
		_, body, _ := g.send("GET", "/v1/nodes/n/vifs", nil)
		return strings.Contains(string(body), g.vif)
	}
	g.insist("POST", "/v1/nodes/n/vifs", object{"id": g.vif}, attached)
	expect("attach", "nothing", "")
	g.verb("active", "active", nil)
	expect("deploy", "nothing > provisioning > nothing > tenant", "wait call-back: provisioning")
	g.verb("service", "active", object{"service_steps": []object{{"interface": "deploy", "step": "look_around"}}})
	expect("service", "tenant > nothing > servicing > nothing > tenant", "service wait: servicing")
	if whole {
		g.verb("rebuild", "active", nil)
		expect("rebuild", "tenant > nothing > provisioning > nothing > tenant", "wait call-back: provisioning")
	}
	if whole && g.reaper.every == 0 { // with a server dies the hash that it holds
		g.verb("rescue", "rescue", object{"rescue_password": "a walk in the dark"})
		expect("rescue", "tenant > nothing > rescuing > nothing > tenant", "rescue wait: rescuing")
		if !g.machine.Powered() {
			t.Error("the rescued machine is off")
		}
		g.verb("unrescue", "active", nil)
		expect("unrescue", "tenant", "")
	}
	g.verb("deleted", "available", nil)
	expect("tear down", "tenant > nothing > cleaning > nothing", "clean wait: cleaning")
	if p := g.cloud.Port(g.vif); p.HostID != "" || slices.Contains(g.machine.MACs(), p.MAC) {
		t.Errorf("the VIF is still the machine's: %+v", p)
	}
	var ports struct {
		Ports []struct {
			UUID string
			Info map[string]any `json:"internal_info"`
		}
	}
	if err := json.Unmarshal(g.ask("GET", "/v1/ports/detail?node=n", nil, 200), &ports); err != nil || len(ports.Ports) != 2 {
		t.Fatalf("%+v, %v", ports, err)
	}
	for _, p := range ports.Ports {
		if len(p.Info) > 0 {
			t.Errorf("port %s still notes %v", p.UUID, p.Info)
		}
	}
}
