package client

import (
	"context"
	"net/http"
)

// Traits lists the traits of a node.
func (c *Client) Traits(ctx context.Context, ident string) ([]string, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var out struct {
		Traits []string `json:"traits"`
	}
	return out.Traits, c.get(ctx, nodePath(ident, "/traits"), nil, &out)
}

// SetTraits gives a node these traits and no other.
func (c *Client) SetTraits(ctx context.Context, ident string, traits []string) error {
	if ident == "" {
		return missing("node")
	}
	if traits == nil {
		traits = []string{}
	}
	return c.do(ctx, call{method: http.MethodPut, path: nodePath(ident, "/traits"), body: map[string]any{"traits": traits}})
}

// AddTrait gives a node one more trait; one that it has is no error.
func (c *Client) AddTrait(ctx context.Context, ident, trait string) error {
	return c.trait(ctx, http.MethodPut, ident, trait)
}

// RemoveTrait takes a trait from a node; fault.NotFound if it has it not.
func (c *Client) RemoveTrait(ctx context.Context, ident, trait string) error {
	return c.trait(ctx, http.MethodDelete, ident, trait)
}

func (c *Client) trait(ctx context.Context, method, ident, trait string) error {
	switch {
	case ident == "":
		return missing("node")
	case trait == "":
		return missing("trait")
	}
	return c.do(ctx, call{method: method, path: nodePath(ident, "/traits/", seg(trait))})
}
