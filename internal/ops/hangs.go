package ops

import (
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// owner gives the node that something hangs on and judges a rule on it. What hangs on a node that the caller may not see
// is not found, in the words of what is not there. Source: RBAC reference §5.
func (c Caller) owner(tx *store.Tx, node, word, ident string, rule policy.Rule) (*metal.Node, error) {
	n, err := tx.Node(node)
	if err != nil {
		return nil, err
	}
	if !c.sees(n) {
		return nil, fault.New(fault.NotFound, "%s %s could not be found.", word, ident)
	}
	return n, c.Rights.Check(rule, nodeTarget(n))
}

// nodeFor gives the node that something new is to hang on, which the request's body names: one that is not there, or that the
// caller may not see, is fault.Invalid for who has the right on any node, and fault.Forbidden for all others, so that
// nobody learns which it is.
func (c Caller) nodeFor(tx *store.Tx, ident string, rule policy.Rule) (*metal.Node, error) {
	n, err := c.node(tx, ident, rule)
	if fault.KindOf(err) != fault.NotFound {
		return n, err
	}
	if denied := c.Rights.Check(rule, policy.Target{}); denied != nil {
		return nil, denied
	}
	return nil, fault.Wrap(fault.Invalid, err, "Node %s could not be found.", ident)
}

// moved judges that something on node from is put on the node that to names. Every refusal has the same words: they tell
// nothing of the other node. Source: RBAC reference §5.
func (c Caller) moved(tx *store.Tx, from *metal.Node, field, to string) (*metal.Node, error) {
	n, err := tx.Node(to)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return nil, err
	}
	if err != nil || !c.sees(n) || n.Owner != from.Owner {
		return nil, fault.New(fault.Invalid, "Unable to apply the requested %s '%s'. Requested value was invalid.", field, to)
	}
	return n, nil
}

// wiring are the states in which the connections of a node may be changed without maintenance. Source: rest-api
// reference §4.
var wiring = []metal.State{metal.Enroll, metal.Inspecting, metal.InspectWait, metal.Manageable}

func mayRewire(n *metal.Node) bool { return n.Maintenance || slices.Contains(wiring, n.ProvisionState) }

// mayTouch refuses changes of what hangs on a node that a conductor works on, or inspects for a client that knows
// of that. word and id name what is changed.
func (c Caller) mayTouch(n *metal.Node, word, id string) error {
	if n.ProvisionState == metal.Inspecting && c.Minor >= metal.SinceInspectLocks {
		return fault.New(fault.Conflict, "Cannot update %s %s on node %s while in state %q.", word, id, n.UUID, n.ProvisionState)
	}
	if n.Reservation != "" {
		return locked(n, nil)
	}
	return nil
}
