package client

import (
	"context"
	"net/url"

	"ingot/internal/policy"
)

// PolicyRules lists the rules that are in force.
func (c *Client) PolicyRules(ctx context.Context) ([]policy.Listed, error) {
	var out struct {
		Rules []policy.Listed `json:"rules"`
	}
	err := c.get(ctx, "/ingot/v1/policy", nil, &out)
	return out.Rules, err
}

// Explanation is whether somebody has a right, and why.
type Explanation struct {
	Allowed bool         `json:"allowed"`
	Why     []policy.Why `json:"why"`
}

// Explain asks why somebody has a right: q has rule, node, user, roles, project and system.
func (c *Client) Explain(ctx context.Context, q url.Values) (out Explanation, err error) {
	err = c.get(ctx, "/ingot/v1/policy/explain", q, &out)
	return out, err
}
