package client

import (
	"context"
	"io"
	"net/http"
	"net/url"

	"ingot/internal/metal"
)

// pageLimit is how many bytes of one page are taken: user data may be as large as a config drive.
const pageLimit = 65 << 20

// InstanceData tells what a node's instance reads at its first boot.
func (c *Client) InstanceData(ctx context.Context, ident string) (*metal.InstanceData, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var d metal.InstanceData
	return &d, c.get(ctx, storyPath(ident, "/metadata"), nil, &d)
}

// InstancePage writes what a node's instance gets at a path of the metadata service to w. fault.NotFound if that is nothing.
func (c *Client) InstancePage(ctx context.Context, ident, path string, w io.Writer) error {
	if ident == "" {
		return missing("node")
	}
	return c.do(ctx, call{method: http.MethodGet, path: storyPath(ident, "/metadata/page"), query: url.Values{"path": {path}}, sink: w, limit: pageLimit})
}

// TestVendordata has the server ask its vendordata targets what a node's deployment asks them; with fresh also those whose last
// answer may still be used.
func (c *Client) TestVendordata(ctx context.Context, ident string, fresh bool) (*metal.VendordataTest, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var t metal.VendordataTest
	return &t, c.do(ctx, call{method: http.MethodPost, path: storyPath(ident, "/vendordata/test"), body: map[string]bool{"fresh": fresh}, out: &t})
}
