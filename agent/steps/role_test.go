package steps

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"ingot/agent/osinstall"
	"ingot/internal/agentapi"
)

// TestEveryCommandHasItsRoles goes over all commands there are: one that is new is refused in a rescue until it is put here.
func TestEveryCommandHasItsRoles(t *testing.T) {
	allowed := []string{"rescue.finalize_rescue", "poll.get_hardware_info", "poll.node_info", "poll.set_node_info", "standby.sync", "standby.power_off", "log.collect_system_logs"}
	rescue := func(context.Context, agentapi.FinalizeRescue) error { return nil }
	for _, c := range []struct {
		name  string
		of    Config
		may   func(command string) bool
		words string
	}{
		{"rescue", Config{Role: agentapi.RoleRescue, Rescue: rescue}, func(name string) bool { return slices.Contains(allowed, name) }, "was booted for rescue, where "},
		{"rescue, in a ramdisk that cannot", Config{Role: agentapi.RoleRescue}, func(name string) bool {
			return name != agentapi.CommandRescue && slices.Contains(allowed, name)
		}, " is refused"},
		{"deploy", Config{Rescue: rescue, OS: &osinstall.Installer{}}, func(name string) bool {
			return name != agentapi.CommandRescue && !slices.Contains(osMay, name)
		}, "was not booted for "},
		{"install", Config{Role: agentapi.RoleInstall, Rescue: rescue, OS: &osinstall.Installer{}}, func(name string) bool { return name != agentapi.CommandRescue }, "was not booted for rescue"},
		{"install, in a ramdisk that cannot", Config{Role: agentapi.RoleInstall}, func(name string) bool {
			return name != agentapi.CommandRescue && !slices.Contains(osMay, name)
		}, " is refused"},
	} {
		all := New(Config{}, agentapi.Node{}).Commands()
		table := New(c.of, agentapi.Node{}).Commands()
		if len(all) < 18 || len(table) != len(all) {
			t.Fatalf("%s: %d of %d commands", c.name, len(table), len(all))
		}
		for name, command := range table {
			refused := isRefused(command.Run)
			if refused == c.may(name) {
				t.Errorf("%s: %s is refused: %v", c.name, name, refused)
			}
			if !refused {
				continue
			}
			if command.Async || command.Open || command.Final {
				t.Errorf("%s: the refusal of %s is more than a refusal", c.name, name)
			}
			_, err := command.Run(t.Context(), nil, nil)
			if failure, ok := err.(*agentapi.CommandError); !ok || failure.Type != "InvalidCommandError" || !strings.Contains(failure.Details, c.words) || !strings.Contains(failure.Details, name) {
				t.Errorf("%s: %s: %v", c.name, name, err)
			}
		}
	}
}

// isRefused runs a command with nothing behind it: whatever is not a refusal stumbles over that.
func isRefused(run func(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error)) (refused bool) {
	defer func() { _ = recover() }()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := run(ctx, json.RawMessage(`{"step":[]}`), func(agentapi.Progress) {})
	failure, ok := err.(*agentapi.CommandError)
	return ok && failure.Type == "InvalidCommandError" && strings.Contains(failure.Details, " is refused")
}

func FuzzNodeInfo(f *testing.F) {
	for _, s := range []string{`{}`, `{"node_info":null}`, `{"node_info":{"node":{"uuid":"a"},"config":{"heartbeat_timeout":300}}}`, `{"node_info":[]}`, `{"node_info":{"node":{"uuid":"a\nb"}}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		told, err := parseNodeInfo(data)
		if err == nil && (told.Node.UUID == "" || strings.ContainsAny(told.Node.UUID, "\n\" ")) {
			t.Errorf("%q is a node", told.Node.UUID)
		}
		if err != nil && len(data) > 200 && strings.Contains(err.Error(), string(data)) {
			t.Error("the error repeats what it was given")
		}
	})
}
