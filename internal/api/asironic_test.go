package api

import (
	"strings"
	"testing"
)

// What make oracle found to differ from Ironic's answers, and no longer does.
func TestAnswersAsIronic(t *testing.T) {
	r := newRig(t)
	id := r.node("early")
	for _, c := range []struct {
		method, path string
		minor        int
		body         string
		status       int
		says         string
	}{
		{post, "/v1/nodes", 82, `{"driver":"redfish","name":""}`, 400, "invalid name"},
		{patch, "/v1/nodes/early", 82, `[{"op":"replace","path":"/name","value":""}]`, 400, "invalid name"},
		{patch, "/v1/nodes/early", 82, `null`, 400, "JSON array"},
		{patch, "/v1/nodes/early", 24, `[{"op":"remove","path":"/chassis_uuid"}]`, 200, `"uuid"`},
		{get, "/v1/nodes/some_node~1", 9, "", 400, "1.10"},
		{get, "/v1/nodes/some_node~1", 10, "", 404, "could not be found"},
		{get, "/v1/nodes/early", 5, "", 200, id},
		{get, "/v1/nodes/early?fields=", 82, "", 200, `{"links":`},
		{get, "/v1/nodes?fields=", 82, "", 200, `{"nodes":[{"links":`},
	} {
		var body any
		if c.body != "" {
			body = c.body
		}
		r.do(c.method, c.path, c.minor, body).want(t, c.status, c.says)
	}
	if a := r.do(get, "/v1/ports/52:54:00:00:00:0a", 82, nil).want(t, 400, "UUID or name"); !strings.Contains(string(a.body), "faultstring") {
		t.Errorf("%s has another form of error than Ironic's controller of ports", a.body)
	}
	chassis := r.do(post, "/v1/chassis", 82, `{"description":"c"}`).want(t, 201).json(t)["uuid"]
	r.do(patch, "/v1/nodes/early", 82, `[{"op":"add","path":"/chassis_uuid","value":"`+chassis.(string)+`"}]`).want(t, 200)
	r.do(patch, "/v1/nodes/early", 24, `[{"op":"remove","path":"/chassis_uuid"}]`).want(t, 406, "1.25")
	r.do(patch, "/v1/nodes/early", 25, `[{"op":"remove","path":"/chassis_uuid"}]`).want(t, 200)
}
