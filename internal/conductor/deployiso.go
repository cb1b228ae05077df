package conductor

import (
	"net/url"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// deployISO is a node's own boot ISO, "" for the server's. What is on it is the operator's: an ironic-python-agent that
// knows the agents' door and its CA, as a rule. Source: Ironic, driver_info deploy_iso.
func deployISO(n *metal.Node) string { return n.DriverInfo.Public("deploy_iso") }

func checkDeployISO(iso string) error {
	u, err := url.Parse(iso)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return fault.New(fault.Invalid, "driver_info deploy_iso must be an http or https URL that the machine's BMC can fetch")
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
