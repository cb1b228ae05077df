package main

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/lab/bmc"
)

// playedMachine is a machine that is a struct, with a BMC of its own, and what runs on it while it is booted from its CD: an agent
// that does at once what it is told. It outlives the servers that use it.
type playedMachine struct {
	*bmc.FakeMachine
	bmc  *bmc.BMC
	api  *httptest.Server // the agent's
	door *agentapi.Caller // of run's
	base string           // URL of the agents' door, whatever server is there
	data string           // folder of that server, with its CA
	ca   string
	// state gives the node's, "" while no server answers.
	state func() string
	// write is what its agent does with an image; nil: it says that it has written it.
	write func(agentapi.ImageInfo) error
	// drive is told the config drive that came with an image; nil: nobody is.
	drive func(text string)
	// macs are those of its NICs; nil: those that every emulated machine has.
	macs []string
	// found is told when an agent has found its node, in which state.
	found func(state string)

	mu    sync.Mutex
	node  string            // guarded by mu
	token string            // guarded by mu; "": no agent has found its node
	done  []agentapi.Result // guarded by mu
}

const playedPassword = "canary-bmc"

// newPlayedMachine makes one that is off. Its agents speak to the agents' door at an address, of a server with its data in a folder.
func newPlayedMachine(t *testing.T, door, data string) *playedMachine {
	t.Helper()
	g := &playedMachine{FakeMachine: bmc.NewFakeMachine(), base: "https://" + door, data: data}
	var err error
	if g.bmc, err = bmc.New(bmc.Config{User: "admin", Password: playedPassword, Machine: g.FakeMachine}); err != nil {
		t.Fatal(err)
	}
	if err := g.bmc.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.bmc.Close() })
	g.api = httptest.NewTLSServer(g)
	t.Cleanup(g.api.Close)
	g.ca = pemOf(g.api.Certificate().Raw)
	return g
}

// MACs implements bmc.Machine.
func (g *playedMachine) MACs() []string {
	if g.macs != nil {
		return g.macs
	}
	return g.FakeMachine.MACs()
}

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// run is what happens on the machine until ctx ends.
func (g *playedMachine) run(ctx context.Context) {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	boots := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		all := g.Boots()
		if len(all) > boots {
			boots = len(all)
			g.mu.Lock()
			g.token, g.done = "", nil
			g.mu.Unlock()
		}
		if boots == 0 || !g.Powered() || all[boots-1].First != "Cd" || all[boots-1].Media == "" {
			continue
		}
		if state := g.state(); strings.Contains(state, "wait") {
			g.call(ctx, state)
		}
	}
}

// call looks the node up, once for each boot, and says that the agent is there.
func (g *playedMachine) call(ctx context.Context, state string) {
	g.mu.Lock()
	node, token := g.node, g.token
	g.mu.Unlock()
	if token == "" {
		if g.door == nil && !g.trusts() {
			return
		}
		found, _, err := g.door.Lookup(ctx, agentapi.LookupQuery{Addresses: g.MACs()})
		if err != nil || len(found.Config.AgentToken) < 32 {
			return // no server, or not yet
		}
		node, token = found.Node.UUID, found.Config.AgentToken
		g.mu.Lock()
		g.node, g.token = node, token
		g.mu.Unlock()
		g.found(state)
	}
	_ = g.door.Heartbeat(ctx, node, agentapi.Heartbeat{CallbackURL: g.api.URL, AgentToken: token, AgentVersion: "played", AgentVerifyCA: g.ca}) // it calls again
}

// trusts takes the CA of the server's agents' door.
func (g *playedMachine) trusts() bool {
	ca, err := os.ReadFile(filepath.Join(g.data, "agent-door.crt"))
	if err == nil {
		g.door, err = agentapi.NewCaller(g.base, string(ca))
	}
	return err == nil
}

// ServeHTTP is the agent's API.
func (g *playedMachine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(http.MaxBytesReader(w, r.Body, agentapi.MaxBody))
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.token == "" || !g.Powered() || !strings.HasPrefix(r.URL.Path, "/v1/commands"):
		panic(http.ErrAbortHandler) // nobody is there
	case r.URL.Query().Get("agent_token") != g.token:
		w.WriteHeader(http.StatusUnauthorized)
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(map[string]any{"commands": g.done})
	default:
		var cmd agentapi.Command
		if json.Unmarshal(body, &cmd) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_ = json.NewEncoder(w).Encode(g.obey(cmd, r.Header.Get(agentapi.KeyHeader)))
	}
}

// offered are the answers to commands that only tell.
var offered = map[string]string{
	"get_clean_steps":     `{"clean_steps": {"M": [{"interface": "deploy", "step": "erase_devices", "priority": 10, "abortable": true}]}, "hardware_manager_version": {"m": "1"}}`,
	"get_deploy_steps":    `{"deploy_steps": {"M": [{"interface": "deploy", "step": "write_image", "priority": 0}]}, "hardware_manager_version": {"m": "1"}}`,
	"get_service_steps":   `{"service_steps": {"M": [{"interface": "deploy", "step": "look_around", "priority": 0}]}, "hardware_manager_version": {"m": "1"}}`,
	"collect_system_logs": `{"system_logs": ""}`,
}

// obey does a command, unless it has done it under this key. The lock is held.
func (g *playedMachine) obey(cmd agentapi.Command, key string) agentapi.Result {
	for _, old := range g.done {
		if key != "" && old.Key == key {
			return old
		}
	}
	_, short, _ := strings.Cut(cmd.Name, ".")
	res := agentapi.Result{ID: fmt.Sprint(len(g.done)), CommandName: short, CommandStatus: agentapi.Succeeded, Key: key}
	var p agentapi.StepParams
	_ = json.Unmarshal(cmd.Params, &p) // a command of another kind has none
	if text, is := p.Step.Args["configdrive"].(string); is && g.drive != nil {
		g.drive(text)
	}
	switch kind := strings.TrimSuffix(strings.TrimPrefix(short, "execute_"), "_step"); {
	case offered[short] != "":
		res.CommandResult = json.RawMessage(offered[short])
	case kind != short && p.Step.Step == "write_image" && g.write != nil:
		var info agentapi.ImageInfo
		text, err := json.Marshal(p.Step.Args["image_info"])
		if err == nil {
			err = json.Unmarshal(text, &info)
		}
		if err == nil {
			err = g.write(info)
		}
		res.CommandResult, _ = json.Marshal(map[string]any{"deploy_result": map[string]any{}, "deploy_step": p.Step})
		if err != nil {
			res.CommandStatus, res.CommandResult, res.CommandError = agentapi.Failed, nil, &agentapi.CommandError{Type: "DeploymentError", Code: 500, Message: "writing failed", Details: err.Error()}
			if own := (*agentapi.CommandError)(nil); errors.As(err, &own) {
				res.CommandError = own
			}
		}
	case kind != short:
		res.CommandResult, _ = json.Marshal(map[string]any{kind + "_result": map[string]any{}, kind + "_step": p.Step})
	case short == "get_hardware_info":
		var nics []agentapi.Interface
		for i, mac := range g.MACs() {
			nics = append(nics, agentapi.Interface{Name: fmt.Sprintf("eno%d", i), MACAddress: mac})
		}
		res.CommandResult, _ = json.Marshal(agentapi.Inventory{Interfaces: nics, CPU: agentapi.CPU{Count: 2, Architecture: "x86_64", Flags: []string{}},
			Memory: agentapi.Memory{Total: 4 << 30}, Disks: []agentapi.Disk{{Name: "/dev/sda", Size: 100 << 30}}, Boot: agentapi.BootInfo{CurrentBootMode: "uefi"}})
	case short == "power_off":
		g.Halt()
	}
	g.done = append(g.done, res)
	return res
}
