package client

import (
	"context"
	"net/http"
	"net/url"

	"ingot/internal/wire"
)

// Allocation is an allocation as wire decodes it; All has everything the server sent.
type Allocation struct {
	wire.Allocation
	All Object
}

// UnmarshalJSON keeps the whole object beside the typed fields.
func (a *Allocation) UnmarshalJSON(b []byte) error { return decodeBoth(b, &a.Allocation, &a.All) }

// Label is the name, or the UUID of one without.
func (a *Allocation) Label() string {
	if a.Name != "" {
		return a.Name
	}
	return a.UUID
}

// AllocationQuery narrows a list of allocations; empty fields do not.
type AllocationQuery struct {
	Node          string // UUID or name
	ResourceClass string
	State         string // allocating, active or error
	Owner         string
}

// Allocations lists allocations, following pages.
func (c *Client) Allocations(ctx context.Context, q AllocationQuery) ([]Allocation, error) {
	v := url.Values{}
	for key, value := range map[string]string{"node": q.Node, "resource_class": q.ResourceClass, "state": q.State, "owner": q.Owner} {
		if value != "" {
			v.Set(key, value)
		}
	}
	return list[Allocation](ctx, c, "/v1/allocations", "allocations", v, 0)
}

// Allocation shows one allocation; fault.NotFound if there is none.
func (c *Client) Allocation(ctx context.Context, ident string) (*Allocation, error) {
	if ident == "" {
		return nil, missing("allocation")
	}
	var a Allocation
	return &a, c.get(ctx, "/v1/allocations/"+seg(ident), nil, &a)
}

// CreateAllocation asks for a node, given as the API takes it: resource_class, name, traits, candidate_nodes, owner, node, extra.
func (c *Client) CreateAllocation(ctx context.Context, wish Object) (*Allocation, error) {
	var a Allocation
	return &a, c.do(ctx, call{method: http.MethodPost, path: "/v1/allocations", body: wish, out: &a})
}

// DeleteAllocation forgets an allocation and frees its node.
func (c *Client) DeleteAllocation(ctx context.Context, ident string) error {
	if ident == "" {
		return missing("allocation")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/allocations/" + seg(ident)})
}
