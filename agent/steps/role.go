package steps

import (
	"context"
	"encoding/json"
	"slices"

	"ingot/agent/server"
	"ingot/internal/agentapi"
)

// rescueMay are the commands of a machine that was booted for rescue: what rescue needs, and what leaving needs. The disks
// are a tenant's there, and stay as they are.
var rescueMay = []string{agentapi.CommandRescue, agentapi.CommandHardwareInfo, agentapi.CommandNodeInfo, agentapi.CommandSetNodeInfo,
	"standby.sync", "standby.power_off", "log.collect_system_logs"}

// osMay are the commands of a machine that was booted for the work of OS definitions, beside all of a deployment's.
var osMay = []string{agentapi.CommandOSVerify, agentapi.CommandOSInstall, agentapi.CommandOSExport, agentapi.CommandOSImport, agentapi.CommandOSRename}

// limited puts a refusal in the place of every command that this boot's role does not have.
func (s *Steps) limited(table map[string]server.Command) map[string]server.Command {
	for name := range table {
		switch {
		case s.Role == agentapi.RoleRescue && !slices.Contains(rescueMay, name):
			table[name] = refused("this machine was booted for rescue, where %s is refused", name)
		case slices.Contains(osMay, name) && s.Role != agentapi.RoleInstall:
			table[name] = refused("this machine was not booted for an OS definition: %s is refused", name)
		case slices.Contains(osMay, name) && s.OS == nil:
			table[name] = refused("this ramdisk is not for OS definitions: %s is refused", name)
		case name == agentapi.CommandRescue && s.Role != agentapi.RoleRescue:
			table[name] = refused("this machine was not booted for rescue: %s is refused", name)
		case name == agentapi.CommandRescue && s.Rescue == nil:
			table[name] = refused("this ramdisk is not for rescue: %s is refused", name)
		}
	}
	return table
}

func refused(format, name string) server.Command {
	return server.Command{Run: func(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
		return nil, server.Error("InvalidCommandError", format, name)
	}}
}
