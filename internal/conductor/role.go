package conductor

import (
	"ingot/internal/agentapi"
	"ingot/internal/metal"
)

// role is what the operation boots a ramdisk for.
func (o *Op) role() agentapi.Role {
	switch metal.Plan(o.row.Plan) {
	case metal.PlanRescue, metal.PlanCheckRescue:
		return agentapi.RoleRescue
	}
	if o.Rec.OS != nil && !o.Rec.OS.self() {
		return agentapi.RoleInstall
	}
	return agentapi.RoleDeploy
}

// bootRole is what a node's current boot is for, where the boot itself does not say it. Its state does: no other operation boots a
// machine in these.
func bootRole(n *metal.Node) agentapi.Role {
	if n.ProvisionState == metal.Rescuing || n.ProvisionState == metal.RescueWait {
		return agentapi.RoleRescue
	}
	return agentapi.RoleDeploy
}
