package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// baremetal prepares Debian's client of the bare metal service, unmodified, for use against the server.
func (r *running) baremetal(args ...string) *exec.Cmd {
	return exec.Command("baremetal", append([]string{"--os-auth-type", "none", "--os-endpoint", r.url}, args...)...)
}

// told runs one command of the client, which must succeed, and gives what it printed.
func (r *running) told(t *testing.T, command string) string {
	t.Helper()
	out, err := r.baremetal(strings.Fields(command)...).CombinedOutput()
	if err != nil {
		t.Fatalf("baremetal %s: %v\n%s", command, err, out)
	}
	return string(out)
}

// Operators keep the client they have. The verbs that wait each have a node of their own, brought where
// the verb starts, and run beside the rest: this client looks only every ten seconds.
func TestDebiansIronicClient(t *testing.T) {
	if _, err := exec.LookPath("baremetal"); err != nil {
		t.Skip("the command baremetal is not installed; Debian has it in python3-ironicclient")
	}
	r := serving(t, t.TempDir())
	prepared := func(name string, verbs ...string) {
		r.ingot(t, "node", "create", "--driver", "fake-hardware", "--name", name)
		for _, v := range verbs {
			r.call(t, "PUT", "/v1/nodes/"+name+"/states/provision", map[string]any{"target": v}, 202)
			r.until(t, name, map[string]string{"manage": "manageable", "provide": "available", "active": "active"}[v])
		}
	}
	waits := []struct {
		node, command, state string
		from                 []string
		out                  *journal
		cmd                  *exec.Cmd
	}{
		{node: "m", command: "node manage m --wait", state: "manageable"},
		{node: "p", command: "node provide p --wait", state: "available", from: []string{"manage"}},
		{node: "d", command: `node deploy d --wait --config-drive {"meta_data":{"hostname":"web-1"}}`, state: "active", from: []string{"manage", "provide"}},
		{node: "i", command: "node inspect i --wait", state: "manageable", from: []string{"manage"}},
		{node: "a", command: "node adopt a --wait", state: "active", from: []string{"manage"}},
		{node: "b", command: "node rebuild b --wait", state: "active", from: []string{"manage", "provide", "active"}},
		{node: "u", command: "node undeploy u --wait", state: "available", from: []string{"manage", "provide", "active"}},
	}
	for i := range waits {
		w := &waits[i]
		prepared(w.node, w.from...)
		if w.node == "a" {
			r.told(t, "node set a --instance-info image_source=http://images.example/web.raw")
		}
		w.out, w.cmd = &journal{}, r.baremetal(strings.Fields(w.command)...)
		w.cmd.Stdout, w.cmd.Stderr = w.out, w.out
		if err := w.cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	prepared("busy", "manage", "provide", "active")
	clientEnrols(t, r)
	clientOperates(t, r)
	for _, w := range waits {
		if err := w.cmd.Wait(); err != nil || !strings.Contains(w.out.String(), "Waiting for provision state "+w.state) {
			t.Errorf("baremetal %s: %v\n%s", w.command, err, w.out)
		}
		r.until(t, w.node, w.state)
	}
	// This release of the client knows no inventories; ours does.
	if out := r.ingot(t, "node", "inventory", "i"); !strings.Contains(out, "nic      NIC1 02:") {
		t.Errorf("node inventory:\n%s", out)
	}
}

func clientEnrols(t *testing.T, r *running) {
	const node = "rack1"
	if out := r.told(t, "node create --driver fake-hardware --name "+node); !strings.Contains(out, node) || !strings.Contains(out, "enroll") {
		t.Errorf("node create:\n%s", out)
	}
	var list []map[string]any
	if out := r.told(t, "node list -f json"); json.Unmarshal([]byte(out), &list) != nil || list[len(list)-1]["Name"] != node {
		t.Errorf("node list:\n%s", out)
	}
	var n map[string]any
	if out := r.told(t, "node show "+node+" -f json"); json.Unmarshal([]byte(out), &n) != nil || n["name"] != node || n["provision_state"] != "enroll" {
		t.Errorf("node show:\n%s", out)
	}
	if out, err := r.baremetal("node", "show", "nobody").CombinedOutput(); err == nil || !strings.Contains(string(out), "Node nobody could not be found. (HTTP 404)") {
		t.Errorf("node show of nobody: %v\n%s", err, out)
	}
	session(t, r, `
		node set rack1 --property memory_mb=1024 --extra a=b --description spare --driver-info fake_password=canary
		node unset rack1 --extra a
		node show rack1 -f json -c description -c extra -c properties -c driver_info -> "description": "spare" -> "fake_password": "******" -> "extra": {} -> "memory_mb": 1024
		port create 52:54:00:11:22:33 --node rack1 -> 52:54:00:11:22:33
		port list --node rack1 -> 52:54:00:11:22:33
		node abort rack1 -> can not be performed on node
		node delete rack1 -> Deleted node rack1
		node show rack1 -> Node rack1 could not be found. (HTTP 404)`)
}

func clientOperates(t *testing.T, r *running) {
	session(t, r, `
		driver list -> fake-hardware -> redfish
		conductor list -> True
		node validate busy -> power -> True
		node boot device set busy pxe --persistent
		node boot device show busy -> pxe -> True
		node boot mode set busy uefi
		node maintenance set busy --reason fans
		node show busy -f json -c maintenance -c maintenance_reason -c provision_state -> "maintenance": true -> "fans" -> "active"
		node maintenance unset busy
		node power off busy
		node power on busy
		node history list busy -> The node was enrolled. -> Maintenance was set: fans
		node history list busy --long -> manage -> operator`)
	clientSteps(t, r)
	r.untilField(t, "busy", "power_state", "power on")
	r.untilField(t, "busy", "maintenance", false)
	r.untilField(t, "busy", "boot_mode", "uefi")
	session(t, r, `node secure boot on busy`)
	r.untilField(t, "busy", "secure_boot", true)
	session(t, r, `node secure boot off busy`)
	r.untilField(t, "busy", "secure_boot", false)
}

// clientSteps: steps, holds and templates as the client gives them. The node is by hand in manageable.
func clientSteps(t *testing.T, r *running) {
	t.Helper()
	r.ingot(t, "node", "create", "--driver", "fake-hardware", "--name", "stepper")
	r.call(t, "PUT", "/v1/nodes/stepper/states/provision", map[string]any{"target": "manage"}, 202)
	r.until(t, "stepper", "manageable")
	// As files: the client's shell, which session speaks to, takes quotes away.
	hold, deploy := filepath.Join(t.TempDir(), "hold.json"), filepath.Join(t.TempDir(), "deploy.json")
	for name, steps := range map[string]string{hold: `[{"interface":"deploy","step":"hold"},{"interface":"bios","step":"factory_reset"}]`,
		deploy: `[{"interface":"bios","step":"factory_reset","priority":90,"args":{}}]`} {
		if err := os.WriteFile(name, []byte(steps), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	session(t, r, `
		node clean stepper --clean-steps `+hold+`
		deploy template create CUSTOM_FAST --steps `+deploy+` -> CUSTOM_FAST
		deploy template list -> CUSTOM_FAST
		node add trait stepper CUSTOM_FAST -> CUSTOM_FAST
		node trait list stepper -> CUSTOM_FAST`)
	r.until(t, "stepper", "clean hold")
	r.ingot(t, "node", "unhold", "stepper") // Debian 12's client is older than this verb
	r.until(t, "stepper", "manageable")
	session(t, r, `node clean stepper --clean-steps `+hold)
	r.until(t, "stepper", "clean hold")
	session(t, r, `node abort stepper`)
	r.until(t, "stepper", "clean failed")
}

// session gives the client one command a line, all in one process, and looks in its output for what
// follows each command's arrows, in order. A refusal that no arrow names is an error.
func session(t *testing.T, r *running, script string) {
	t.Helper()
	var commands, wanted []string
	refusals := 0
	for line := range strings.Lines(strings.TrimSpace(script)) {
		parts := strings.Split(strings.TrimSpace(line), " -> ")
		commands = append(commands, parts[0])
		wanted = append(wanted, parts[1:]...)
	}
	for _, w := range wanted {
		if strings.Contains(w, "(HTTP ") || strings.Contains(w, "can not be") {
			refusals++
		}
	}
	c := exec.Command("baremetal")
	c.Env = append(os.Environ(), "OS_AUTH_TYPE=none", "OS_ENDPOINT="+r.url)
	c.Stdin = strings.NewReader(strings.Join(commands, "\n") + "\n")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("baremetal: %v\n%s", err, out)
	}
	rest := string(out)
	if n := strings.Count(rest, "(HTTP "); n != refusals {
		t.Errorf("%d refusals, want %d:\n%s", n, refusals, out)
	}
	for _, w := range wanted {
		_, after, found := strings.Cut(rest, w)
		if !found {
			t.Errorf("%q is missing, or is not in its place:\n%s", w, out)
			return
		}
		rest = after
	}
}

// until waits for a node's provision state.
func (r *running) until(t *testing.T, node, state string) {
	t.Helper()
	r.untilField(t, node, "provision_state", state)
}
