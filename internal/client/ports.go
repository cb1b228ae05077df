package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"ingot/internal/wire"
)

// Port is a port as wire decodes it; All has everything the server sent.
type Port struct {
	wire.Port
	All Object
}

// UnmarshalJSON keeps the whole object beside the typed fields.
func (p *Port) UnmarshalJSON(b []byte) error { return decodeBoth(b, &p.Port, &p.All) }

// PortQuery chooses ports; zero values do not filter.
type PortQuery struct {
	Node    string // UUID or name
	Address string // MAC
	Limit   int    // most ports to return; 0: all
}

// Ports lists ports in full, following pages.
func (c *Client) Ports(ctx context.Context, q PortQuery) ([]Port, error) {
	v := url.Values{"detail": {"true"}}
	if q.Node != "" {
		v.Set("node", q.Node)
	}
	if q.Address != "" {
		v.Set("address", q.Address)
	}
	if q.Limit > 0 && q.Limit < 1000 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return list[Port](ctx, c, "/v1/ports", "ports", v, q.Limit)
}

// Port gets one port by UUID or name. fault.NotFound if there is none.
func (c *Client) Port(ctx context.Context, ident string) (*Port, error) {
	if ident == "" {
		return nil, missing("port")
	}
	var p Port
	return &p, c.get(ctx, "/v1/ports/"+seg(ident), nil, &p)
}

// CreatePort makes a port from fields by their names on the wire; node_uuid (or node_ident) and address
// are required. fault.Conflict if the address is taken.
func (c *Client) CreatePort(ctx context.Context, fields map[string]any) (*Port, error) {
	var p Port
	return &p, c.do(ctx, call{method: http.MethodPost, path: "/v1/ports", body: fields, out: &p})
}

// UpdatePort applies changes, all or none.
func (c *Client) UpdatePort(ctx context.Context, ident string, changes []wire.PatchOp) (*Port, error) {
	if ident == "" {
		return nil, missing("port")
	}
	var p Port
	return &p, c.do(ctx, call{method: http.MethodPatch, path: "/v1/ports/" + seg(ident), body: changes, out: &p})
}

// DeletePort forgets a port, named by UUID.
func (c *Client) DeletePort(ctx context.Context, uuid string) error {
	if uuid == "" {
		return missing("port")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/ports/" + seg(uuid)})
}
