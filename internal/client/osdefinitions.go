package client

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/url"

	"ingot/internal/wire"
)

const osPath = "/v1/os_definitions"

// OSDefinition is an OS definition as wire decodes it; All has everything the server sent.
type OSDefinition struct {
	wire.OSDefinition
	All Object
}

// UnmarshalJSON keeps the whole object beside the typed fields.
func (d *OSDefinition) UnmarshalJSON(b []byte) error { return decodeBoth(b, &d.OSDefinition, &d.All) }

// OSDefinitions lists OS definitions in full, following pages.
func (c *Client) OSDefinitions(ctx context.Context) ([]OSDefinition, error) {
	return list[OSDefinition](ctx, c, osPath, "os_definitions", url.Values{"detail": {"true"}}, 0)
}

// OSDefinition shows one OS definition; fault.NotFound if there is none.
func (c *Client) OSDefinition(ctx context.Context, ident string) (*OSDefinition, error) {
	if ident == "" {
		return nil, missing("OS definition")
	}
	var d OSDefinition
	return &d, c.get(ctx, osPath+"/"+seg(ident), nil, &d)
}

// AddOSDefinition keeps an OS definition, given as the API takes it, with its files: a tar file, plain or packed with gzip or zstd.
// A taken name is fault.Conflict.
func (c *Client) AddOSDefinition(ctx context.Context, definition Object, files []byte) (*OSDefinition, error) {
	body := map[string]any{"bundle": base64.StdEncoding.EncodeToString(files)}
	for k, v := range definition {
		body[k] = v
	}
	var d OSDefinition
	return &d, c.do(ctx, call{method: http.MethodPost, path: osPath, body: body, out: &d})
}

// ReplaceOSFiles puts other files in the place of an OS definition's. Trust ends with the files that it was of.
func (c *Client) ReplaceOSFiles(ctx context.Context, ident string, files []byte) (*OSDefinition, error) {
	if ident == "" {
		return nil, missing("OS definition")
	}
	var d OSDefinition
	body := map[string]any{"bundle": base64.StdEncoding.EncodeToString(files)}
	return &d, c.do(ctx, call{method: http.MethodPut, path: osPath + "/" + seg(ident) + "/bundle", body: body, out: &d})
}

// OSFiles writes the files of an OS definition to w: the tar file that its digest is of.
func (c *Client) OSFiles(ctx context.Context, ident string, w io.Writer) error {
	if ident == "" {
		return missing("OS definition")
	}
	return c.do(ctx, call{method: http.MethodGet, path: osPath + "/" + seg(ident) + "/bundle", sink: w})
}

// UpdateOSDefinition changes what is kept of an OS definition beside its files.
func (c *Client) UpdateOSDefinition(ctx context.Context, ident string, changes []wire.PatchOp) (*OSDefinition, error) {
	if ident == "" {
		return nil, missing("OS definition")
	}
	var d OSDefinition
	return &d, c.do(ctx, call{method: http.MethodPatch, path: osPath + "/" + seg(ident), body: changes, out: &d})
}

// TrustOSDefinition trusts the files of an OS definition that have this digest; fault.Conflict if it has others.
func (c *Client) TrustOSDefinition(ctx context.Context, ident, digest string) (*OSDefinition, error) {
	if ident == "" {
		return nil, missing("OS definition")
	}
	var d OSDefinition
	return &d, c.do(ctx, call{method: http.MethodPut, path: osPath + "/" + seg(ident) + "/trust", body: map[string]any{"digest": digest}, out: &d})
}

// DistrustOSDefinition ends the trust in an OS definition.
func (c *Client) DistrustOSDefinition(ctx context.Context, ident string) error {
	if ident == "" {
		return missing("OS definition")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: osPath + "/" + seg(ident) + "/trust"})
}

// RemoveOSDefinition forgets an OS definition; fault.Conflict if a node is installed with it.
func (c *Client) RemoveOSDefinition(ctx context.Context, ident string) error {
	if ident == "" {
		return missing("OS definition")
	}
	return c.do(ctx, call{method: http.MethodDelete, path: osPath + "/" + seg(ident)})
}
