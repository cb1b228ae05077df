package client

import (
	"context"

	"ingot/internal/metal"
)

// Erasures lists a node's erase certificates, newest first. What verifies them is metal.VerifyErasure.
func (c *Client) Erasures(ctx context.Context, ident string) ([]metal.ErasureRecord, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var out struct {
		Certificates []metal.ErasureRecord `json:"certificates"`
	}
	err := c.get(ctx, storyPath(ident, "/erasure"), nil, &out)
	return out.Certificates, err
}

// ErasureKeys lists the public keys that the server's erase certificates are signed with.
func (c *Client) ErasureKeys(ctx context.Context) ([]metal.SigningKey, error) {
	var out struct {
		Keys []metal.SigningKey `json:"keys"`
	}
	err := c.get(ctx, "/ingot/v1/erasure/keys", nil, &out)
	return out.Keys, err
}
