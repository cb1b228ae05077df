package client

import (
	"context"
	"net/http"
	"net/url"

	"ingot/internal/wire"
)

// Template is a deploy template as wire decodes it; All has everything the server sent.
type Template struct {
	wire.DeployTemplate
	All Object
}

// UnmarshalJSON keeps the whole object beside the typed fields.
func (d *Template) UnmarshalJSON(b []byte) error { return decodeBoth(b, &d.DeployTemplate, &d.All) }

// Templates lists deploy templates in full, following pages.
func (c *Client) Templates(ctx context.Context) ([]Template, error) {
	return list[Template](ctx, c, "/v1/deploy_templates", "deploy_templates", url.Values{"detail": {"true"}}, 0)
}

// Template shows one deploy template; fault.NotFound if there is none.
func (c *Client) Template(ctx context.Context, ident string) (*Template, error) {
	if ident == "" {
		return nil, missing("deploy template")
	}
	var d Template
	return &d, c.get(ctx, "/v1/deploy_templates/"+seg(ident), nil, &d)
}

// CreateTemplate keeps a deploy template; fault.Conflict if the name is taken.
func (c *Client) CreateTemplate(ctx context.Context, name string, steps []any) (*Template, error) {
	var d Template
	body := map[string]any{"name": name, "steps": steps}
	return &d, c.do(ctx, call{method: http.MethodPost, path: "/v1/deploy_templates", body: body, out: &d})
}

// DeleteTemplate forgets a deploy template; fault.NotFound if there is none.
func (c *Client) DeleteTemplate(ctx context.Context, ident string) error {
	if ident == "" {
		return missing("deploy template")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/deploy_templates/" + seg(ident)})
}
