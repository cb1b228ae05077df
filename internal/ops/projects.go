package ops

import (
	"ingot/internal/metal"
	"ingot/internal/policy"
)

// project is the project that the caller speaks for; "" for none: a caller of the system, or of a server without projects.
func (c Caller) project() string {
	who := c.Rights.Who()
	if who.System() {
		return ""
	}
	return who.ProjectID
}

// nobody tells whether the caller speaks neither for a project nor for the system, as with a token of a domain: then what they
// make would be anybody's.
func (c Caller) nobody() bool {
	who := c.Rights.Who()
	return !who.System() && who.ProjectID == ""
}

// allocationTarget is what rules know of an allocation.
func allocationTarget(a *metal.Allocation) policy.Target {
	return policy.Target{AllocationOwner: a.Owner}
}

// runbookTarget is what rules know of a runbook.
func runbookTarget(r *metal.Runbook) policy.Target { return policy.Target{RunbookOwner: r.Owner} }

// belongs tells whether a node is the caller's: its project owns or leases it. Who speaks for no project, or may choose among all
// nodes, has every node that the caller may see.
func (c Caller) belongs(n *metal.Node) bool {
	if own := c.project(); own != "" && !c.Rights.Allows("allocation:create_restricted", policy.Target{}) {
		return n.Owner == own || n.Lessee == own
	}
	return c.sees(n)
}
