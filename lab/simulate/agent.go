package simulate

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"ingot/internal/agentapi"
)

// CallBack lets the agent that runs on a node's machine call, as it does now and then. It tells whether there is
// one that does.
func (f *Fleet) CallBack(ctx context.Context, node string) (bool, error) {
	var boot string
	f.With(node, func(m *Machine) {
		if m.Fault != AgentSilent {
			boot = m.running
		}
	})
	if boot == "" {
		return false, nil
	}
	config, _, err := f.BootConfig(ctx, node, boot)
	if err != nil { // this boot is over: the machine has not heard of it yet
		return false, nil //nolint:nilerr // it is what a stale agent lives with
	}
	f.With(node, func(m *Machine) {
		if m.running == boot {
			m.token = config.AgentToken
		}
	})
	return true, f.Heartbeat(ctx, node, agentapi.Heartbeat{CallbackURL: f.url + "/" + node, AgentToken: config.AgentToken,
		AgentVersion: "simulated", AgentVerifyCA: f.pem})
}

// Restart makes the agent of a node's machine forget everything, as one that was started anew.
func (f *Fleet) Restart(node string) {
	f.With(node, func(m *Machine) {
		m.commands = nil
		m.starts++
	})
}

// serve is the commands API of every agent, each below its node's UUID.
func (f *Fleet) serve(w http.ResponseWriter, r *http.Request) {
	node, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, agentapi.MaxBody))
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.machines[node]
	switch {
	case m == nil || m.running == "" || m.Fault == AgentSilent || !strings.HasPrefix(path, "v1/commands") && path != "v1/status":
		panic(http.ErrAbortHandler) // nobody is there
	case path == "v1/status":
		_ = json.NewEncoder(w).Encode(agentapi.Status{StartedAt: 1 + m.starts, Version: "simulated", Instance: fmt.Sprint("start-", m.starts)})
	case m.Fault == AgentBroken:
		refuse(w, http.StatusInternalServerError, "broken")
	case m.token == "" || r.URL.Query().Get("agent_token") != m.token:
		refuse(w, http.StatusUnauthorized, "Token invalid.")
	case r.Method == http.MethodGet:
		_ = json.NewEncoder(w).Encode(map[string]any{"commands": m.commands})
		if m.rescued && m.commands[len(m.commands)-1].CommandStatus == agentapi.Succeeded {
			m.running = "" // it serves nobody any more
			return
		}
		m.finish()
	default:
		var cmd agentapi.Command
		if err != nil || json.Unmarshal(body, &cmd) != nil {
			refuse(w, http.StatusBadRequest, "no JSON")
			return
		}
		m.finish()
		res := m.execute(cmd)
		m.commands = append(m.commands, res)
		_ = json.NewEncoder(w).Encode(res)
	}
}

func refuse(w http.ResponseWriter, status int, text string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(agentapi.Fault{FaultCode: "Client", FaultString: text})
}

// finish ends what runs: a command that was looked at once has ended at the second look.
func (m *Machine) finish() {
	if m.Fault == AgentSlow {
		return
	}
	for i := range m.commands {
		if m.commands[i].CommandStatus == agentapi.Running {
			m.commands[i].CommandStatus = agentapi.Succeeded
		}
	}
}

// answers are the results of commands that only tell.
var answers = map[string]string{
	"get_clean_steps": `{"clean_steps": {"M": [{"interface": "deploy", "step": "erase_devices", "priority": 10, "abortable": true},
		{"interface": "deploy", "step": "erase_devices_metadata", "priority": 99, "abortable": true}]}, "hardware_manager_version": {"m": "1"}}`,
	"get_deploy_steps":    `{"deploy_steps": {"M": [{"interface": "deploy", "step": "write_image", "priority": 0}]}, "hardware_manager_version": {"m": "1"}}`,
	"get_service_steps":   `{"service_steps": {"M": [{"interface": "deploy", "step": "erase_devices_metadata", "priority": 0}]}, "hardware_manager_version": {"m": "1"}}`,
	"collect_system_logs": `{"system_logs": ""}`,
}

// execute does a command, to the machine's word of a disk.
func (m *Machine) execute(cmd agentapi.Command) agentapi.Result {
	_, short, _ := strings.Cut(cmd.Name, ".")
	res := agentapi.Result{ID: fmt.Sprint(len(m.commands)), CommandName: short, CommandStatus: agentapi.Succeeded}
	if text, ok := answers[short]; ok {
		res.CommandResult = json.RawMessage(text)
		return res
	}
	var p agentapi.StepParams
	_ = json.Unmarshal(cmd.Params, &p) // a command of another kind has none
	step := map[string]any{"interface": p.Step.Interface, "step": p.Step.Step}
	switch short {
	case "get_hardware_info":
		res.CommandResult, _ = json.Marshal(agentapi.Inventory{Interfaces: []agentapi.Interface{{Name: "eno1", MACAddress: MAC(m.Node)}},
			CPU: agentapi.CPU{Count: 2, Architecture: "x86_64", Flags: []string{}}, Memory: agentapi.Memory{Total: 4 << 30},
			Disks: []agentapi.Disk{{Name: "/dev/sda", Size: 100 << 30}}, Boot: agentapi.BootInfo{CurrentBootMode: "uefi", SecureBoot: &m.Secure}})
	case "execute_clean_step", "execute_service_step":
		kind := strings.TrimSuffix(strings.TrimPrefix(short, "execute_"), "_step")
		res.CommandResult, _ = json.Marshal(map[string]any{kind + "_result": map[string]any{}, kind + "_step": step})
		m.work(&res, "erased")
	case "execute_deploy_step":
		res.CommandResult, _ = json.Marshal(map[string]any{"deploy_result": map[string]any{}, "deploy_step": step})
		m.work(&res, "image")
	case "install_bootloader":
		m.work(&res, m.Disk)
	case "finalize_rescue":
		m.work(&res, m.Disk)
		m.rescued = res.CommandStatus == agentapi.Running
	case "power_off":
		m.On = false
		m.running = ""
	}
	return res
}

func (m *Machine) work(res *agentapi.Result, disk string) {
	if m.Fault == AgentFails {
		res.CommandStatus, res.CommandResult = agentapi.Failed, nil
		res.CommandError = &agentapi.CommandError{Type: "CommandExecutionError", Code: 500, Message: "Command execution failed", Details: "broken on purpose"}
		return
	}
	res.CommandStatus, m.Disk = agentapi.Running, disk
}
