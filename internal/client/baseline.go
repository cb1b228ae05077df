package client

import (
	"context"
	"net/http"

	"ingot/internal/metal"
)

// Baseline gives a node's firmware baseline; fault.NotFound if none was recorded.
func (c *Client) Baseline(ctx context.Context, ident string) (*metal.Baseline, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var b metal.Baseline
	return &b, c.get(ctx, storyPath(ident, "/baseline"), nil, &b)
}

// AcceptBaseline makes what the last cleaning saw a node's baseline.
func (c *Client) AcceptBaseline(ctx context.Context, ident string) error {
	if ident == "" {
		return missing("node")
	}
	return c.do(ctx, call{method: http.MethodPut, path: storyPath(ident, "/baseline")})
}
