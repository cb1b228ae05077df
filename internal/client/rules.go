package client

import (
	"context"
	"net/http"
	"net/url"

	"ingot/internal/wire"
)

// Rule is an inspection rule as wire decodes it; All has everything the server sent.
type Rule struct {
	wire.InspectionRule
	All Object
}

// UnmarshalJSON keeps the whole object beside the typed fields.
func (r *Rule) UnmarshalJSON(b []byte) error { return decodeBoth(b, &r.InspectionRule, &r.All) }

// Rules lists inspection rules in full, following pages.
func (c *Client) Rules(ctx context.Context) ([]Rule, error) {
	return list[Rule](ctx, c, "/v1/inspection_rules", "inspection_rules", url.Values{"detail": {"true"}}, 0)
}

// Rule shows one inspection rule; fault.NotFound if there is none.
func (c *Client) Rule(ctx context.Context, uuid string) (*Rule, error) {
	if uuid == "" {
		return nil, missing("inspection rule")
	}
	var r Rule
	return &r, c.do(ctx, call{method: http.MethodGet, path: "/v1/inspection_rules/" + seg(uuid), out: &r})
}

// CreateRule keeps an inspection rule, given as the API takes it.
func (c *Client) CreateRule(ctx context.Context, rule Object) (*Rule, error) {
	var r Rule
	return &r, c.do(ctx, call{method: http.MethodPost, path: "/v1/inspection_rules", body: rule, out: &r})
}

// DeleteRule forgets an inspection rule; fault.NotFound if there is none.
func (c *Client) DeleteRule(ctx context.Context, uuid string) error {
	if uuid == "" {
		return missing("inspection rule")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/inspection_rules/" + seg(uuid)})
}
