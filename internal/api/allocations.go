package api

import (
	"net/http"
	"slices"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

const (
	allocationFilters = "node resource_class state owner"
	// maxCandidates bounds what one allocation can make us look up.
	maxCandidates = 10_000
)

// allocationStates are the values of the filter state.
var allocationStates = []metal.AllocationState{metal.Allocating, metal.Allocated, metal.AllocationError}

func (c *call) listAllocations() (answer, error) {
	page, shape, err := listing(c, wire.AllocationFields, false)
	if err != nil {
		return answer{}, err
	}
	q := ops.AllocationQuery{Page: page, Node: c.param("node"), ResourceClass: c.param("resource_class"), Owner: c.param("owner"),
		State: metal.AllocationState(c.param("state"))}
	if q.State != "" && !slices.Contains(allocationStates, q.State) {
		return answer{}, invalid("Allocation state %q is not valid: use allocating, active or error.", clip(string(q.State)))
	}
	if q.Node != "" && !wire.IsIdent(q.Node) {
		return answer{}, invalid("Expected a UUID or name for node.")
	}
	found, err := c.s.Allocations(c.r.Context(), c.caller(), q)
	if err != nil {
		return answer{}, err
	}
	out := make([]wire.Allocation, len(found))
	for i, a := range found {
		out[i] = c.allocationView(a)
	}
	next := c.next(page, len(found), func() string { return found[len(found)-1].UUID })
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "allocations", out, shape, next)}, nil
}

func (c *call) allocationView(a *metal.Allocation) wire.Allocation {
	return wire.Allocation{UUID: a.UUID, Name: a.Name, NodeUUID: a.NodeUUID, State: string(a.State), LastError: a.LastError, Owner: a.Owner,
		ResourceClass: a.ResourceClass, Traits: a.Traits, CandidateNodes: a.CandidateNodes, Extra: a.Extra,
		CreatedAt: wire.Time{Time: a.CreatedAt}, UpdatedAt: wire.Time{Time: a.UpdatedAt}, Links: wire.Links(c.base(), "allocations/"+a.UUID)}
}

func (c *call) oneAllocation(status int, a *metal.Allocation, shape wire.Shape[wire.Allocation]) answer {
	w := c.allocationView(a)
	out := answer{status: status, raw: shape.Append(nil, &w)}
	if status == http.StatusCreated {
		out.location = "/v1/allocations/" + a.UUID
	}
	return out
}

func (c *call) showAllocation() (answer, error) {
	return c.showAllocationBy(func() (*metal.Allocation, error) {
		return c.s.Allocation(c.r.Context(), c.caller(), c.r.PathValue("allocation"))
	})
}

func (c *call) nodeAllocation() (answer, error) {
	return c.showAllocationBy(func() (*metal.Allocation, error) {
		return c.s.NodeAllocation(c.r.Context(), c.caller(), c.node())
	})
}

func (c *call) showAllocationBy(find func() (*metal.Allocation, error)) (answer, error) {
	shape, err := oneShape(c, wire.AllocationFields)
	if err != nil {
		return answer{}, err
	}
	a, err := find()
	if err != nil {
		return answer{}, err
	}
	return c.oneAllocation(http.StatusOK, a, shape), nil
}

// allocationSetters has every field of an allocation that a caller may give.
var allocationSetters = map[string]setter[metal.Allocation]{
	"uuid":            text(func(a *metal.Allocation) *string { return &a.UUID }),
	"name":            after(text(func(a *metal.Allocation) *string { return &a.Name }), checkAllocationName),
	"owner":           text(func(a *metal.Allocation) *string { return &a.Owner }),
	"resource_class":  text(func(a *metal.Allocation) *string { return &a.ResourceClass }),
	"extra":           object(func(a *metal.Allocation) *map[string]any { return &a.Extra }),
	"traits":          after(texts("traits", func(a *metal.Allocation) *[]string { return &a.Traits }), checkAllocationTraits),
	"candidate_nodes": after(texts("candidate_nodes", func(a *metal.Allocation) *[]string { return &a.CandidateNodes }), checkCandidates),
}

func checkAllocationName(a *metal.Allocation) error {
	if a.Name != "" && !wire.IsName(a.Name) {
		return invalid("Cannot use the name %q for an allocation: use letters, digits and . _ ~ -, at most 255, and nothing that looks like a UUID.", clip(a.Name))
	}
	return nil
}

func checkAllocationTraits(a *metal.Allocation) error {
	for _, t := range a.Traits {
		if !metal.IsTrait(t) {
			return invalid("%q is not a trait: it must be CUSTOM_ and capital letters, digits and _, or a name of os-traits.", clip(t))
		}
	}
	if len(a.Traits) > metal.MaxTraits {
		return invalid("An allocation can ask for at most %d traits: no node has more.", metal.MaxTraits)
	}
	return nil
}

func checkCandidates(a *metal.Allocation) error {
	if len(a.CandidateNodes) > maxCandidates {
		return invalid("An allocation can have at most %d candidate nodes.", maxCandidates)
	}
	for _, n := range a.CandidateNodes {
		if !wire.IsIdent(n) {
			return invalid("Expected UUIDs or names of nodes in candidate_nodes, and got %q.", clip(n))
		}
	}
	return nil
}

// texts is a list of strings that null empties.
func texts[T any](name string, at func(*T) *[]string) setter[T] {
	return setter[T]{
		get: func(t *T) any { return *at(t) },
		set: func(t *T, v any) error {
			list, _ := v.([]any)
			out := make([]string, len(list))
			for i, e := range list {
				s, ok := e.(string)
				if !ok {
					return invalid("Invalid input for %s: entry %d is not a string.", name, i+1)
				}
				out[i] = s
			}
			*at(t) = out
			return nil
		},
	}
}

func (c *call) createAllocation() (answer, error) {
	body, err := c.object()
	if err != nil {
		return answer{}, err
	}
	node, err := textArg(body, "node", false)
	switch {
	case err != nil:
		return answer{}, err
	case body["node"] != nil && c.minor < metal.SinceBackfill:
		return answer{}, invalid("Cannot backfill an allocation with the field node in this API version: it came with 1.58.")
	case node != "" && !wire.IsIdent(node):
		return answer{}, invalid("Expected a UUID or name for node.")
	}
	delete(body, "node")
	a := &metal.Allocation{}
	if err := newFrom(c, a, body, "allocation", wire.AllocationFields, allocationSetters); err != nil {
		return answer{}, err
	}
	made, err := c.s.CreateAllocation(c.r.Context(), c.caller(), a, node)
	if err != nil {
		return answer{}, err
	}
	return c.oneAllocation(http.StatusCreated, made, wire.Full(wire.AllocationFields, c.minor)), nil
}

func (c *call) patchAllocation() (answer, error) {
	list, err := parsePatch(c.body, wire.AllocationFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	changed, err := c.s.UpdateAllocation(c.r.Context(), c.caller(), c.r.PathValue("allocation"), func(a *metal.Allocation) error {
		return applyPatch(a, list, wire.AllocationFields, allocationSetters)
	})
	if err != nil {
		return answer{}, err
	}
	return c.oneAllocation(http.StatusOK, changed, wire.Full(wire.AllocationFields, c.minor)), nil
}

func (c *call) deleteAllocation() (answer, error) {
	return c.noContent(c.s.DeleteAllocation(c.r.Context(), c.caller(), c.r.PathValue("allocation")))
}

func (c *call) deleteNodeAllocation() (answer, error) {
	return c.noContent(c.s.DeleteNodeAllocation(c.r.Context(), c.caller(), c.node()))
}

// noContent is the answer of what leaves nothing to tell.
func (c *call) noContent(err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
