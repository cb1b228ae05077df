package ops

import (
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// Knows refuses a change of a node by a client whose version does not have the state the node is in: it cannot know
// what it would break. The error is fault.Conflict and names the version. Reading is not asked.
// Source: docs/decisions/0032-states-newer-than-the-client.md.
func (c Caller) Knows(n *metal.Node) error {
	if min := metal.States[n.ProvisionState].Min; c.Minor < min {
		return fault.New(fault.Conflict, "Node %s is in state %q, and a client needs API version 1.%d or newer to change a node in it; this request used 1.%d.",
			n.UUID, n.ProvisionState, min, c.Minor)
	}
	return nil
}

// changeable is node for a request that changes the node itself.
func (c Caller) changeable(tx *store.Tx, ident string, rules ...policy.Rule) (*metal.Node, error) {
	n, err := c.node(tx, ident, rules...)
	if err != nil {
		return nil, err
	}
	return n, c.Knows(n)
}
