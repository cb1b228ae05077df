package api

import (
	"strings"
	"testing"
)

// TestErrorForm: python-ironicclient prints faultstring. What upstream's router refuses has a form of its own.
func TestErrorForm(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	for _, c := range []struct {
		method, path string
		minor        int
		status       int
		fault        bool
	}{
		{get, "/v1/volume/connectors/web", 80, 400, true},
		{get, "/v1/ports/x%20y", 80, 400, true},
		{get, "/v1/nodes/web-1/ports/web", 80, 400, true},
		{post, "/v1/nodes/web-1/ports", 80, 400, true},
		{patch, "/v1/allocations/web", 56, 405, true},
		{get, "/v1/drivers/fake-hardware/bogus", 80, 400, true},
		{get, "/v1/nodes/x%20y", 80, 400, false},
		{patch, "/v1/nodes", 80, 405, false},
		{get, "/v1/bogus", 80, 404, false},
	} {
		a := r.do(c.method, c.path, c.minor, nil).want(t, c.status)
		if text, _ := a.json(t)["error_message"].(string); strings.Contains(text, `"faultstring":`) != c.fault {
			t.Errorf("%s %s: %s", c.method, c.path, text)
		}
	}
	if allow := r.do(patch, "/v1/allocations/web", 56, nil).Header.Get("Allow"); !strings.Contains(allow, "DELETE") {
		t.Errorf("Allow: %q", allow)
	}
}
