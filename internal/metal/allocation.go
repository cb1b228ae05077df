package metal

import (
	"slices"
	"time"
)

// AllocationState says how far an allocation is.
type AllocationState string

// The states of allocations, in Ironic's words.
const (
	Allocating      AllocationState = "allocating" // a conductor looks for a node
	Allocated       AllocationState = "active"
	AllocationError AllocationState = "error" // LastError says why there is no node
)

// Allocation is somebody's wish for a machine of a kind, and the node that fulfils it.
type Allocation struct {
	ID             int64
	UUID           string
	Name           string // "" for none; unique otherwise
	NodeID         int64  // 0 for none yet
	NodeUUID       string // derived
	State          AllocationState
	Owner          string // a project; "" for nobody's
	ResourceClass  string
	Traits         []string // the node must have all
	CandidateNodes []string // UUIDs; empty: any node
	Extra          map[string]any
	LastError      string
	CreatedAt      time.Time
	UpdatedAt      time.Time // zero until the first update

	DueAt    time.Time // when a conductor is to look for a node, while it is allocating
	GiveUpAt time.Time // until when busy nodes are waited for; zero: none was seen yet
}

// Accepts tells whether a node with these traits may be taken for the allocation now; why not, if it may not.
// Busy says that an operation holds the node. Source: lifecycle reference §25; a retired node is not given away either.
func (a *Allocation) Accepts(n *Node, traits []string, busy bool) (ok bool, why string) {
	if why = a.Mismatch(n, traits); why != "" {
		return false, why
	}
	switch {
	case n.ProvisionState != Available:
		why = "it is " + string(n.ProvisionState)
	case n.InstanceUUID != "":
		why = "it has an instance"
	case n.Maintenance:
		why = "it is in maintenance"
	case n.Retired:
		why = "it is retired"
	case n.PowerState == "":
		why = "its power state is not known"
	case a.Owner != "" && n.Owner != a.Owner && n.Lessee != a.Owner:
		why = "it is not the owner's of the allocation"
	case busy:
		why = "an operation holds it"
	}
	return why == "", why
}

// Mismatch says in what a node is not of the kind that the allocation asks for, "" if it is: resource class, traits and
// candidates. It is all that a node which works already is held against.
func (a *Allocation) Mismatch(n *Node, traits []string) string {
	if a.ResourceClass != "" && n.ResourceClass != a.ResourceClass {
		return "its resource class is not " + a.ResourceClass
	}
	for _, t := range a.Traits {
		if !slices.Contains(traits, t) {
			return "it has not the trait " + t
		}
	}
	if len(a.CandidateNodes) > 0 && !slices.Contains(a.CandidateNodes, n.UUID) {
		return "it is not among the candidate nodes"
	}
	return ""
}
