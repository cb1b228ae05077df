package ops

import (
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// nodeTarget is what rules know of a node. A node without an owner or lessee has no such key: nobody matches it.
func nodeTarget(n *metal.Node) policy.Target {
	t := policy.Target{}
	if n.Owner != "" {
		t["node.owner"] = n.Owner
	}
	if n.Lessee != "" {
		t["node.lessee"] = n.Lessee
	}
	return t
}

// node finds a node for the caller by UUID or name and judges the rules on it, in order. A node that the caller may
// not see is fault.NotFound, in the words of one that is not there; a rule that is denied is fault.Forbidden.
// Source: RBAC reference §5.
func (c Caller) node(tx *store.Tx, ident string, rules ...policy.Rule) (*metal.Node, error) {
	n, err := tx.Node(ident)
	if err != nil {
		return nil, err
	}
	if !c.sees(n) {
		return nil, fault.New(fault.NotFound, "Node %s could not be found.", ident)
	}
	t := nodeTarget(n)
	for _, r := range rules {
		if err := c.Rights.Check(r, t); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// sees tells whether the caller may know of a node.
func (c Caller) sees(n *metal.Node) bool { return c.Rights.Allows("node:get", nodeTarget(n)) }
