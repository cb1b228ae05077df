package client

import (
	"context"
	"net/http"
	"net/url"

	"ingot/internal/wire"
)

// Runbook is a runbook as wire decodes it; All has everything the server sent.
type Runbook struct {
	wire.Runbook
	All Object
}

// UnmarshalJSON keeps the whole object beside the typed fields.
func (r *Runbook) UnmarshalJSON(b []byte) error { return decodeBoth(b, &r.Runbook, &r.All) }

// Runbooks lists runbooks in full, following pages.
func (c *Client) Runbooks(ctx context.Context) ([]Runbook, error) {
	return list[Runbook](ctx, c, "/v1/runbooks", "runbooks", url.Values{"detail": {"true"}}, 0)
}

// Runbook shows one runbook; fault.NotFound if there is none.
func (c *Client) Runbook(ctx context.Context, ident string) (*Runbook, error) {
	if ident == "" {
		return nil, missing("runbook")
	}
	var r Runbook
	return &r, c.get(ctx, "/v1/runbooks/"+seg(ident), nil, &r)
}

// CreateRunbook keeps a runbook, given as the API takes it: name, steps, description, disable_ramdisk, public, owner, extra.
func (c *Client) CreateRunbook(ctx context.Context, book Object) (*Runbook, error) {
	var r Runbook
	return &r, c.do(ctx, call{method: http.MethodPost, path: "/v1/runbooks", body: book, out: &r})
}

// SetRunbookTraits says for which nodes a runbook is: those with one of the traits.
func (c *Client) SetRunbookTraits(ctx context.Context, ident string, traits []string) error {
	if ident == "" {
		return missing("runbook")
	}
	return c.do(ctx, call{method: http.MethodPut, path: "/v1/runbooks/" + seg(ident) + "/traits", body: map[string]any{"traits": traits}})
}

// DeleteRunbook forgets a runbook; fault.NotFound if there is none.
func (c *Client) DeleteRunbook(ctx context.Context, ident string) error {
	if ident == "" {
		return missing("runbook")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: "/v1/runbooks/" + seg(ident)})
}
