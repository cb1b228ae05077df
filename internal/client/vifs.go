package client

import (
	"context"
	"net/http"

	"ingot/internal/metal"
)

// VIFs lists the ids of the VIFs that are attached to a node.
func (c *Client) VIFs(ctx context.Context, ident string) ([]string, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var got struct {
		VIFs []struct {
			ID string `json:"id"`
		} `json:"vifs"`
	}
	if err := c.get(ctx, nodePath(ident, "/vifs"), nil, &got); err != nil {
		return nil, err
	}
	out := make([]string, len(got.VIFs))
	for i, v := range got.VIFs {
		out[i] = v.ID
	}
	return out, nil
}

// AttachVIF attaches a VIF to a node: fault.Conflict if it is attached already, fault.Invalid if no port is free.
func (c *Client) AttachVIF(ctx context.Context, ident string, v metal.VIF) error {
	switch {
	case ident == "":
		return missing("node")
	case v.ID == "":
		return missing("VIF")
	}
	body := map[string]any{"id": v.ID}
	for key, value := range map[string]string{"port_uuid": v.Port, "portgroup_uuid": v.Portgroup} {
		if value != "" {
			body[key] = value
		}
	}
	return c.do(ctx, call{method: http.MethodPost, path: nodePath(ident, "/vifs"), body: body})
}

// DetachVIF takes a VIF from a node; fault.Invalid if it has it not.
func (c *Client) DetachVIF(ctx context.Context, ident, vif string) error {
	switch {
	case ident == "":
		return missing("node")
	case vif == "":
		return missing("VIF")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: nodePath(ident, "/vifs/", seg(vif))})
}
