package api

import (
	"cmp"
	"net/http"
	"strings"
	"unicode/utf8"

	"ingot/internal/wire"
)

// instanceData answers metal.InstanceData.
func (c *call) instanceData() (answer, error) {
	d, err := c.s.InstanceData(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: d, private: true}, nil
}

// instancePage answers what the instance gets at a path of the metadata service, byte for byte. What a user wrote is a stranger's
// text: the type is one that no browser runs.
func (c *call) instancePage() (answer, error) {
	page, err := c.s.InstancePage(c.r.Context(), c.caller(), c.node(), cmp.Or(c.param("path"), "/openstack/latest"))
	if err != nil {
		return answer{}, err
	}
	kind := "application/octet-stream"
	switch {
	case strings.HasPrefix(page.Type, "application/json"):
		kind = "application/json"
	case utf8.Valid(page.Content):
		kind = "text/plain; charset=utf-8"
	}
	if page.Content == nil {
		page.Content = []byte{}
	}
	return answer{status: http.StatusOK, raw: page.Content, kind: kind, private: true}, nil
}

// testVendordata answers metal.VendordataTest.
func (c *call) testVendordata() (answer, error) {
	args, err := c.args("fresh")
	if err != nil {
		return answer{}, err
	}
	fresh := false
	if v := args["fresh"]; v != nil {
		ok := false
		if fresh, ok = wire.ParseBool(v); !ok {
			return answer{}, invalid("Invalid input for fresh: it must be true or false.")
		}
	}
	t, err := c.s.TestVendordata(c.r.Context(), c.caller(), c.node(), fresh)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: t, private: true}, nil
}
