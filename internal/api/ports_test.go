package api

import (
	"testing"

	"ingot/internal/metal"
)

func TestPorts(t *testing.T) {
	r := newRig(t)
	id, other := r.node("web-1"), r.node("web-2")
	a := r.do(post, "/v1/ports", 80, map[string]any{"node_uuid": id, "address": "52-54-00-CF-2D-31", "extra": map[string]any{"slot": 1},
		"local_link_connection": map[string]any{"switch_id": "0A:1B:2C:3D:4E:5F", "port_id": "e1"}}).want(t, 201, `"address":"52:54:00:cf:2d:31"`,
		`"pxe_enabled":true`, `"switch_id":"0a:1b:2c:3d:4e:5f"`, `"node_uuid":"`+id+`"`)
	port, _ := a.json(t)["uuid"].(string)
	if a.Header.Get("Location") != r.url+"/v1/ports/"+port {
		t.Errorf("%v", a.Header)
	}
	for _, c := range []struct {
		minor  int
		body   string
		status int
		says   string
	}{
		{80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:31"}`, 409, "already exists"},
		{80, `{"node_uuid": "` + id + `", "address": "zz"}`, 400, "Expected a MAC address"},
		{80, `{"node_uuid": "` + id + `"}`, 400, "'address' is a required property"},
		{80, `{"address": "52:54:00:cf:2d:32"}`, 400, "exactly one of node_uuid and node_ident"},
		{80, `{"node_uuid": "` + port + `", "address": "52:54:00:cf:2d:32"}`, 400, "could not be found"},
		{80, `{"node_uuid": "web-1", "address": "52:54:00:cf:2d:30"}`, 201, `"node_uuid":"` + id},
		{80, `{"node_uuid": "nobody", "address": "52:54:00:cf:2d:32"}`, 400, "nobody could not be found"},
		{80, `{"node_uuid": "a b", "address": "52:54:00:cf:2d:32"}`, 400, "Expected UUID for node_uuid"},
		{4, `{"node_uuid": "web-1", "address": "52:54:00:cf:2d:32"}`, 400, "Expected UUID for node_uuid"},
		{93, `{"node_ident": "web-1", "address": "52:54:00:cf:2d:32"}`, 406, "1.94"},
		{94, `{"node_ident": "web-1", "address": "52:54:00:cf:2d:32"}`, 201, id},
		{94, `{"node_ident": "web-1", "node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33"}`, 400, "exactly one"},
		{18, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "pxe_enabled": false}`, 406, "1.19"},
		{80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "color": 1}`, 400, `"color" cannot be given`},
		{80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "portgroup_uuid": "` + id + `"}`, 400, "Portgroup "},
		{80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "physical_network": ""}`, 400, "non-empty"},
		{80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "is_smartnic": true}`, 400, "is_smartnic needs"},
		{80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "local_link_connection": {"port_id": "x"}}`, 400, "it needs port_id and switch_id"},
		{80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "local_link_connection": {"port_id": "x", "switch_id": "y"}}`, 400, "switch_id must be"},
		{80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "local_link_connection": {"port": "x"}}`, 400, "Unexpected arguments: port"},
		{63, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "local_link_connection": {"network_type": "unmanaged"}}`, 406, "1.64"},
		{80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:33", "local_link_connection": {"network_type": "unmanaged"}}`, 201, ""},
		{110, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:34", "vendor": "vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"}`, 400, "at most 32"},
		{111, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:35", "available_for_dynamic_portgroup": false, "vendor": "v", "category": "c"}`, 201, `"vendor":"v","category":"c","available_for_dynamic_portgroup":false`},
		{111, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:34", "available_for_dynamic_portgroup": true, "name": "p0"}`, 201, `"name":"p0"`},
	} {
		r.do(post, "/v1/ports", c.minor, c.body).want(t, c.status, c.says)
	}
	for _, c := range []struct {
		path   string
		minor  int
		status int
		says   string
	}{
		{"/v1/ports/" + port, 80, 200, port},
		{"/v1/ports/p0", 88, 200, "p0"},
		{"/v1/ports/p0?fields=address", 80, 200, `{"address":"52:54:00:cf:2d:34","links"`},
		{"/v1/ports?address=52:54:00:CF:2D:31", 80, 200, port},
		{"/v1/ports?address=x", 80, 400, "MAC"},
		{"/v1/ports?node=" + other, 80, 200, `{"ports":[]}`},
		{"/v1/ports?node=web-1", 80, 200, port},
		{"/v1/ports?node=web-1", 4, 406, "1.5"},
		{"/v1/ports?node_uuid=" + id, 4, 200, port},
		{"/v1/ports?node=none", 80, 404, "none"},
		{"/v1/ports?node=web-1&portgroup=x", 80, 403, "exclude each other"},
		{"/v1/ports?portgroup=x", 80, 404, "Portgroup x could not be found"},
		{"/v1/ports?shard=x", 82, 200, `{"ports":[]}`},
		{"/v1/ports/detail", 80, 200, "local_link_connection"},
		{"/v1/ports?detail=True", 80, 200, "local_link_connection"},
		{"/v1/nodes/web-1/ports", 80, 200, port},
		{"/v1/nodes/web-1/ports?limit=1", 80, 200, `"next":"` + r.url + "/v1/nodes/web-1/ports?limit=1"},
		{"/v1/nodes/" + other + "/ports/detail", 80, 200, `{"ports":[]}`},
		{"/v1/nodes/none/ports", 80, 404, "none"},
		{"/v1/ports/none", 80, 404, "none"},
	} {
		r.do(get, c.path, c.minor, nil).want(t, c.status, c.says)
	}
	for _, c := range []struct {
		minor  int
		patch  string
		status int
		says   string
	}{
		{80, `[{"op": "replace", "path": "/address", "value": "52:54:00:CF:2D:41"}]`, 200, "52:54:00:cf:2d:41"},
		{80, `[{"op": "replace", "path": "/address", "value": "52:54:00:cf:2d:32"}]`, 409, "already exists"},
		{80, `[{"op": "remove", "path": "/address"}]`, 400, "address"},
		{80, `[{"op": "replace", "path": "/extra/slot", "value": 2}]`, 200, `"slot":2`},
		{80, `[{"op": "replace", "path": "/local_link_connection/port_id", "value": "e2"}]`, 200, `"port_id":"e2"`},
		{80, `[{"op": "remove", "path": "/local_link_connection/port_id"}]`, 400, "it needs port_id"},
		{80, `[{"op": "replace", "path": "/node_uuid", "value": "` + other + `"}]`, 200, other},
		{80, `[{"op": "remove", "path": "/node_uuid"}]`, 400, "node_uuid"},
		{18, `[{"op": "replace", "path": "/pxe_enabled", "value": false}]`, 406, "1.19"},
		{80, `[{"op": "replace", "path": "/physical_network", "value": ""}]`, 400, "non-empty"},
		{80, `[{"op": "replace", "path": "/internal_info", "value": {}}]`, 400, "Cannot patch"},
	} {
		r.do(patch, "/v1/ports/"+port, c.minor, c.patch).want(t, c.status, c.says)
	}
	r.force(other, func(n *metal.Node) { n.ProvisionState = metal.Active })
	r.do(patch, "/v1/ports/"+port, 80, `[{"op": "replace", "path": "/address", "value": "52:54:00:CF:2D:51"}]`).want(t, 409, "in use")
	r.do(del, "/v1/ports/"+port, 80, nil).want(t, 204)
	r.do(del, "/v1/ports/"+port, 80, nil).want(t, 404)
}
