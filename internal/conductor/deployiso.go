package conductor

import (
	"net/url"

	"github.com/google/uuid"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// deployISO is a node's own boot ISO, "" for the server's. What is on it is the operator's: an ironic-python-agent that
// knows the agents' door and its CA, as a rule. Source: Ironic, driver_info deploy_iso.
func deployISO(n *metal.Node) string { return n.DriverInfo.Public("deploy_iso") }

// ownISO is the node's own boot ISO for what the operation boots, "" for the server's. One for deploying rescues nobody.
// Source: Ironic, driver_info rescue_iso.
func (r *runner) ownISO(op *Op) string {
	switch {
	case r.hw.NetBoot != "":
		return "" // there is no drive to put it in
	case op.role() == agentapi.RoleRescue:
		return op.Node.DriverInfo.Public("rescue_iso")
	}
	return deployISO(op.Node)
}

// isoKey is the key of driver_info that names the node's own boot ISO of a role.
func isoKey(role agentapi.Role) string {
	if role == agentapi.RoleRescue {
		return "rescue_iso"
	}
	return "deploy_iso"
}

func checkOwnISO(iso string, role agentapi.Role) error {
	key := isoKey(role)
	u, err := url.Parse(iso)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fault.New(fault.Invalid, "driver_info %s must be an http or https URL that the machine's BMC can fetch", key)
	}
	return nil
}

// bootOwnISO makes the identity of a boot whose medium cannot carry one: the first lookup from one of the node's MAC
// addresses is answered with the token, as upstream does.
func (r *runner) bootOwnISO(op *Op, iso string) {
	boot := uuid.NewString()
	op.Rec.Boot, op.Rec.MediaURL, op.Rec.BootBy = boot, iso, ""
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		return tx.SaveAgent(&store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: boot, Token: store.NewToken()})
	})
}
