package ops

import (
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// nodeTarget is what rules know of a node. A node without an owner or lessee matches nobody.
func nodeTarget(n *metal.Node) policy.Target {
	return policy.Target{NodeOwner: n.Owner, NodeLessee: n.Lessee}
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

// listing judges the rules of a list, all or some, and gives the project that the list must be narrowed to; "" for
// none. Whoever may not list all needs a project, and may not ask for another one's: asked are the projects and owners
// that the query names, "" for those it does not. Source: RBAC reference §5.
func (c Caller) listing(all, some policy.Rule, asked ...string) (narrow string, err error) {
	c.Rights.Asks(some)
	denied := c.Rights.Check(all, policy.Target{})
	if denied == nil {
		return "", nil
	}
	mine := c.Rights.Who().ProjectID
	if mine == "" {
		return "", denied
	}
	for _, other := range asked {
		if other != "" && other != mine {
			return "", denied
		}
	}
	return mine, c.Rights.Check(some, policy.Target{})
}
