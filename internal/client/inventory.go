package client

import "context"

// Inventory is what the last inspection of a node found, as the server keeps it.
type Inventory struct {
	Inventory Object `json:"inventory"`
	Plugins   Object `json:"plugin_data"`
}

// Inventory gives what the last inspection of a node found. fault.NotFound if there was none.
func (c *Client) Inventory(ctx context.Context, ident string) (*Inventory, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var out Inventory
	return &out, c.get(ctx, "/v1/nodes/"+seg(ident)+"/inventory", nil, &out)
}
