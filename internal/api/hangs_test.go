package api

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/policy"
	"ingot/internal/seed"
	"ingot/internal/wire"
)

// made gives the UUID of what a POST makes.
func (r *rig) made(path string, minor int, body string, says ...string) string {
	r.t.Helper()
	a := r.do(post, path, minor, body).want(r.t, 201, says...)
	id, _ := a.json(r.t)["uuid"].(string)
	if a.Header.Get("Location") != r.url+path+"/"+id {
		r.t.Errorf("%s: Location %q", path, a.Header.Get("Location"))
	}
	return id
}

// asks sends requests one after the other and looks at each answer.
func (r *rig) asks(list []ask) {
	r.t.Helper()
	for _, a := range list {
		var body any
		if a.body != "" {
			body = a.body
		}
		r.do(a.method, a.path, a.minor, body).want(r.t, a.status, a.says)
	}
}

type ask struct {
	method, path string
	minor        int
	body         string
	status       int
	says         string
}

func TestPortgroups(t *testing.T) {
	r := newRig(t)
	id, other := r.node("web-1"), r.node("web-2")
	g := r.made("/v1/portgroups", 80, `{"node_uuid": "`+id+`", "address": "52-54-00-CF-2D-30", "name": "bond0", "extra": {"a": 1}, "properties": {"miimon": 100}}`,
		`"address":"52:54:00:cf:2d:30"`, `"mode":"active-backup"`, `"standalone_ports_supported":true`, `"ports":[{"href":"`+r.url+`/v1/portgroups/`)
	bare := r.made("/v1/portgroups", 23, `{"node_uuid": "web-1", "standalone_ports_supported": "False"}`, `"address":null`)
	at := "/v1/portgroups/"
	r.asks([]ask{
		{post, "/v1/portgroups", 22, `{"node_uuid": "` + id + `"}`, 404, "1.23"},
		{post, "/v1/portgroups", 80, `{"name": "x"}`, 400, "'node_uuid' is a required"},
		{post, "/v1/portgroups", 80, `{"node_uuid": "` + g + `"}`, 400, "could not be found"},
		{post, "/v1/portgroups", 80, `{"node_uuid": "` + id + `", "name": "bond0"}`, 409, "name already exists"},
		{post, "/v1/portgroups", 80, `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:30"}`, 409, "MAC address already exists"},
		{post, "/v1/portgroups", 80, `{"node_uuid": "` + id + `", "uuid": "` + g + `"}`, 409, "UUID already exists"},
		{post, "/v1/portgroups", 80, `{"node_uuid": "` + id + `", "name": "a b"}`, 400, "invalid name"},
		{post, "/v1/portgroups", 80, `{"node_uuid": "` + id + `", "address": "x"}`, 400, "MAC address"},
		{post, "/v1/portgroups", 25, `{"node_uuid": "` + id + `", "mode": "802.3ad"}`, 406, "1.26"},
		{post, "/v1/portgroups", 110, `{"node_uuid": "` + id + `", "dynamic_portgroup": true}`, 400, "cannot be given"},
		{post, "/v1/nodes/web-1/portgroups", 80, `{}`, 400, "Malformed request URI: create them at /v1/portgroups"},
		{get, at + g, 25, "", 200, `"name":"bond0"`},
		{get, at + "bond0", 80, "", 200, `"properties":{"miimon":100}`},
		{get, at + "bond0.json", 80, "", 200, g},
		{get, at + "bond0?fields=mode", 80, "", 200, `{"mode":"active-backup","links"`},
		{get, at + "bond0?fields=category", 102, "", 406, "1.103"},
		{get, at + "bond0?fields=bogus", 80, "", 400, "bogus"},
		{get, at + "bond0/bogus", 80, "", 400, "Field bogus"},
		{get, at + "none", 80, "", 404, "Portgroup none could not be found"},
		{get, "/v1/portgroups?node=web-2", 80, "", 200, `{"portgroups":[]}`},
		{get, "/v1/portgroups?address=52:54:00:CF:2D:30", 80, "", 200, g},
		{get, "/v1/portgroups?address=zz", 80, "", 400, "MAC"},
		{get, "/v1/portgroups?node=web-1&address=52:54:00:cf:2d:30", 80, "", 400, "exclude each other"},
		{get, "/v1/portgroups?shard=a", 105, "", 406, "1.106"},
		{get, "/v1/portgroups?shard=a", 106, "", 200, `{"portgroups":[]}`},
		{get, "/v1/portgroups?conductor_groups=,far", 106, "", 200, g},
		{get, "/v1/portgroups?detail=True", 42, "", 400, "1.43"},
		{get, "/v1/portgroups?sort_key=properties", 80, "", 400, "invalid field for sorting"},
		{get, "/v1/portgroups?sort_key=name&limit=1", 80, "", 200, `"next":"` + r.url + `/v1/portgroups?limit=1&marker=` + bare},
		{get, "/v1/portgroups/detail", 80, "", 200, `"miimon":100`},
		{get, "/v1/nodes/web-1/portgroups", 24, "", 200, g},
		{get, "/v1/nodes/web-1/portgroups/detail", 80, "", 200, `"miimon":100`},
		{get, "/v1/nodes/web-1/portgroups/" + g, 80, "", 400, "Malformed request URI"},
		{patch, at + "bond0", 80, `[{"op": "remove", "path": "/mode"}]`, 400, "cannot be removed"},
		{patch, at + "bond0", 80, `[{"op": "remove", "path": "/node_uuid"}]`, 400, "required property"},
		{patch, at + "bond0", 80, `[{"op": "replace", "path": "/properties/miimon", "value": 50}]`, 200, `"miimon":50`},
		{patch, at + "bond0", 80, `[{"op": "replace", "path": "/name", "value": "a b"}]`, 400, "invalid name"},
		{patch, at + bare, 80, `[{"op": "replace", "path": "/name", "value": "bond0"}]`, 409, "already exists"},
		{patch, at + bare, 80, `[{"op": "replace", "path": "/node_uuid", "value": "` + other + `"}]`, 200, other},
		{patch, at + bare, 80, `[{"op": "replace", "path": "/node_uuid", "value": "` + g + `"}]`, 400, "Unable to apply the requested node_uuid"},
		{patch, at + bare, 80, `[{"op": "replace", "path": "/internal_info", "value": {}}]`, 400, "Cannot patch"},
	})

	r.members(id, other, g, bare)
	r.force("web-2", func(n *metal.Node) { n.ProvisionState = metal.Active })
	r.asks([]ask{{patch, at + bare, 80, `[{"op": "replace", "path": "/node_uuid", "value": "` + id + `"}]`, 409, "in state"}})
	r.force("web-2", func(n *metal.Node) { n.ProvisionState = metal.Inspecting })
	r.asks([]ask{
		{patch, at + bare, 39, `[{"op": "add", "path": "/extra/a", "value": 1}]`, 409, "inspecting"},
		{del, at + bare, 80, "", 204, ""}, {get, at + bare, 80, "", 404, bare},
	})
}

// members puts ports of node id into group g, and tries what is forbidden. bare is a group of other.
func (r *rig) members(id, other, g, bare string) {
	r.t.Helper()
	port := func(last, more string) string {
		return `{"node_uuid": "` + id + `", "address": "52:54:00:cf:2d:` + last + `"` + more + `}`
	}
	p := r.made("/v1/ports", 80, port("31", `, "portgroup_uuid": "`+g+`", "physical_network": "net1"`), `"portgroup_uuid":"`+g)
	alone := r.made("/v1/ports", 80, port("32", ``))
	r.asks([]ask{
		{post, "/v1/ports", 80, port("33", `, "portgroup_uuid": "`+bare+`"`), 400, "of different nodes"},
		{post, "/v1/ports", 80, port("33", `, "portgroup_uuid": "`+g+`"`), 409, "physical network"},
		{post, "/v1/ports", 23, port("33", `, "portgroup_uuid": "`+g+`"`), 406, "1.24"},
		{patch, "/v1/portgroups/" + g, 80, `[{"op": "replace", "path": "/standalone_ports_supported", "value": false}]`, 409, "pxe_enabled"},
		{patch, "/v1/ports/" + alone, 80, `[{"op": "replace", "path": "/pxe_enabled", "value": false}]`, 200, `"pxe_enabled":false`},
		{patch, "/v1/ports/" + alone, 80, `[{"op": "add", "path": "/portgroup_uuid", "value": "` + g + `"}]`, 409, "physical network"},
		{patch, "/v1/ports/" + p, 80, `[{"op": "replace", "path": "/pxe_enabled", "value": false}]`, 200, ""},
		{patch, "/v1/portgroups/" + g, 80, `[{"op": "replace", "path": "/standalone_ports_supported", "value": false}]`, 200, ""},
		{patch, "/v1/ports/" + p, 80, `[{"op": "replace", "path": "/pxe_enabled", "value": true}]`, 409, "standalone ports"},
		{patch, "/v1/ports/" + p, 102, `[{"op": "replace", "path": "/physical_network", "value": "net2"}]`, 400, "that of its portgroup"},
		{patch, "/v1/portgroups/" + g, 102, `[{"op": "add", "path": "/physical_network", "value": "net2"}]`, 200, `"physical_network":"net2"`},
		{get, "/v1/ports/" + p, 80, "", 200, `"physical_network":"net2"`},
		{get, "/v1/ports?portgroup=bond0", 80, "", 200, p},
		{get, "/v1/ports?portgroup=bond0", 23, "", 406, "1.24"},
		{get, "/v1/portgroups/bond0/ports", 80, "", 200, p},
		{get, "/v1/portgroups/bond0/ports/detail", 80, "", 200, "net2"},
		{get, "/v1/portgroups/bond0/ports/" + p, 80, "", 400, "Malformed"},
		{get, "/v1/portgroups/none/ports", 80, "", 404, "none"},
		{get, "/v1/ports?conductor_groups=&node=web-1", 99, "", 400, "excludes"},
		{get, "/v1/ports?conductor_groups=far", 99, "", 200, `{"ports":[]}`},
		{patch, "/v1/portgroups/" + g, 80, `[{"op": "replace", "path": "/node_uuid", "value": "` + other + `"}]`, 400, "ports in it"},
		{patch, "/v1/ports/" + p, 80, `[{"op": "replace", "path": "/node_uuid", "value": "` + other + `"}]`, 400, "different nodes"},
		{del, "/v1/portgroups/" + g, 80, "", 400, "there are ports in it"},
	})
	r.force(id, func(n *metal.Node) { n.ProvisionState = metal.Active })
	r.asks([]ask{
		{patch, "/v1/ports/" + p, 80, `[{"op": "remove", "path": "/portgroup_uuid"}]`, 409, "connectivity"},
		{patch, "/v1/ports/" + p, 80, `[{"op": "add", "path": "/local_link_connection", "value": {"port_id": "x", "hostname": "y"}}]`, 409, "connectivity"},
		{patch, "/v1/ports/" + p, 80, `[{"op": "add", "path": "/extra/a", "value": "b"}]`, 200, ""},
	})
	r.force(id, func(n *metal.Node) { n.Maintenance = true })
	r.asks([]ask{{patch, "/v1/ports/" + p, 80, `[{"op": "remove", "path": "/portgroup_uuid"}]`, 200, `"portgroup_uuid":null`}})
	r.force(id, func(n *metal.Node) { n.Maintenance, n.ProvisionState = false, metal.Inspecting })
	r.asks([]ask{
		{patch, "/v1/ports/" + p, 39, `[{"op": "add", "path": "/extra/a", "value": "c"}]`, 409, "inspecting"},
		{patch, "/v1/ports/" + p, 38, `[{"op": "add", "path": "/extra/a", "value": "c"}]`, 200, `"a":"c"`},
	})
}

func TestChassis(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	c := r.made("/v1/chassis", 1, `{"description": "rack 4", "extra": {"a": 1}}`, `"nodes":[[{"href":"`+r.url+`/v1/chassis/`)
	at := "/v1/chassis/" + c
	r.asks([]ask{
		{post, "/v1/chassis", 1, `{"uuid": "` + c + `"}`, 409, "already exists"},
		{post, "/v1/chassis", 1, `{"color": 1}`, 400, "color"},
		{post, "/v1/chassis", 1, `{"description": "` + strings.Repeat("x", 256) + `"}`, 400, "at most 255"},
		{get, at, 1, "", 200, `"extra":{"a":1}`},
		{get, at + "?fields=description", 8, "", 200, `{"description":"rack 4","links"`},
		{get, "/v1/chassis", 1, "", 200, `{"chassis":[{"uuid":"` + c + `","description":"rack 4","links"`},
		{get, "/v1/chassis/detail", 1, "", 200, `"extra":{"a":1}`},
		{patch, at, 1, `[{"op": "replace", "path": "/description", "value": "rack 5"}]`, 200, `"rack 5"`},
		{patch, at, 1, `[{"op": "replace", "path": "/uuid", "value": "` + id + `"}]`, 400, "Cannot change the UUID"},
		{patch, "/v1/nodes/web-1", 80, `[{"op": "add", "path": "/chassis_uuid", "value": "` + id + `"}]`, 400, "Chassis " + id + " could not be found"},
		{patch, "/v1/nodes/web-1", 80, `[{"op": "add", "path": "/chassis_uuid", "value": "` + c + `"}]`, 200, `"chassis_uuid":"` + c},
		{get, at + "/nodes", 80, "", 200, id},
		{get, at + "/nodes?maintenance=true", 80, "", 200, `{"nodes":[]}`},
		{get, at + "/nodes/detail", 80, "", 200, `"rack":"r1"`},
		{get, at + "/nodes/" + id, 80, "", 400, "Malformed"},
		{get, "/v1/chassis/" + id + "/nodes", 80, "", 404, "Chassis " + id},
		{get, "/v1/nodes?chassis_uuid=" + c, 80, "", 200, id},
		{del, at, 1, "", 400, "contains nodes"},
		{patch, "/v1/nodes/" + id, 24, `[{"op": "remove", "path": "/chassis_uuid"}]`, 406, "1.25"},
		{patch, "/v1/nodes/" + id, 25, `[{"op": "remove", "path": "/chassis_uuid"}]`, 200, `"chassis_uuid":null`},
		{del, at, 1, "", 204, ""},
		{get, at, 1, "", 404, "Chassis " + c + " could not be found"},
	})
}

func TestVolumes(t *testing.T) {
	r := newRig(t)
	id, other := r.node("web-1"), r.node("web-2")
	r.force(id, func(n *metal.Node) { n.PowerState = metal.PowerOff })
	v := r.made("/v1/volume/connectors", 32, `{"node_uuid": "`+id+`", "type": "iqn", "connector_id": "iqn.2026-01.x:y"}`, `"extra":{}`)
	w := r.made("/v1/volume/targets", 32, `{"node_uuid": "web-1", "volume_type": "iscsi", "boot_index": "0", "volume_id": "v1",
		"properties": {"target_iqn": "iqn.x", "auth_password": "hunter2", "deep": {"token": "t0ken"}}}`, `"boot_index":0`, `"auth_password":"******"`, `"target_iqn":"iqn.x"`)
	if text := r.log.String(); strings.Contains(text, "hunter2") {
		t.Error("the log has a secret")
	}
	conn, targ := "/v1/volume/connectors/"+v, "/v1/volume/targets/"+w
	r.asks([]ask{
		{get, "/v1/volume", 31, "", 404, "1.32"},
		{get, "/v1/volume", 32, "", 200, `"connectors":[{"href":"` + r.url + `/v1/volume/connectors`},
		{get, "/v1/nodes/web-1/volume", 32, "", 200, `"targets":[{"href":"` + r.url + `/v1/nodes/web-1/volume/targets`},
		{post, "/v1/volume/connectors", 80, `{"node_uuid": "` + other + `", "type": "iqn", "connector_id": "iqn.2026-01.x:y"}`, 409, "already exists"},
		{post, "/v1/volume/connectors", 80, `{"node_uuid": "` + other + `", "type": "iqn"}`, 400, "'connector_id' is a required"},
		{post, "/v1/volume/connectors", 80, `{"node_uuid": "` + v + `", "type": "iqn", "connector_id": "x"}`, 400, "Node " + v},
		{post, "/v1/volume/targets", 80, `{"node_uuid": "` + id + `", "volume_type": "iscsi", "boot_index": 0, "volume_id": "v2"}`, 409, "boot_index"},
		{post, "/v1/volume/targets", 80, `{"node_uuid": "` + id + `", "volume_type": "iscsi", "boot_index": 1.5, "volume_id": "v2"}`, 400, "whole number"},
		{post, "/v1/volume/targets", 80, `{"node_uuid": "` + id + `", "volume_type": "iscsi", "boot_index": -1, "volume_id": "v9"}`, 201, `"boot_index":-1`},
		{post, "/v1/nodes/web-1/volume/targets", 80, `{}`, 400, "create them at /v1/volume/targets"},
		{get, conn, 80, "", 200, `"type":"iqn"`},
		{get, targ, 80, "", 200, `"deep":{"token":"******"}`},
		{get, targ + "?fields=properties", 80, "", 200, `"auth_password":"******"`},
		{get, "/v1/volume/targets", 80, "", 200, `{"uuid":"` + w + `","node_uuid":"` + id + `","volume_type":"iscsi","boot_index":0,"volume_id":"v1","links"`},
		{get, "/v1/volume/targets?detail=True", 32, "", 200, `"auth_password":"******"`},
		{get, "/v1/volume/targets?detail=True&fields=uuid", 80, "", 400, "same request"},
		{get, "/v1/volume/targets?node=web-2", 80, "", 200, `{"targets":[]}`},
		{get, "/v1/volume/targets?node=none", 80, "", 404, "none"},
		{get, "/v1/volume/targets?sort_key=boot_index&sort_dir=desc&limit=1", 80, "", 200, "marker=" + w},
		{get, "/v1/nodes/web-1/volume/connectors", 80, "", 200, v},
		{get, "/v1/nodes/none/volume/connectors", 80, "", 404, "none"},
		{get, "/v1/nodes/web-1/volume/targets/" + w, 80, "", 400, "Malformed"},
		{get, "/v1/volume/connectors/" + w, 80, "", 404, "Volume connector " + w},
		{get, "/v1/volume/connectors/web", 80, "", 400, "Expected a UUID"},
		{patch, conn, 80, `[{"op": "replace", "path": "/connector_id", "value": "iqn.z"}, {"op": "add", "path": "/extra/a", "value": 1}]`, 200, `"connector_id":"iqn.z"`},
		{patch, conn, 80, `[{"op": "remove", "path": "/type"}]`, 400, "type"},
		{patch, conn, 80, `[{"op": "replace", "path": "/node_uuid", "value": "` + other + `"}]`, 200, other},
		{patch, conn, 80, `[{"op": "replace", "path": "/extra", "value": {}}]`, 400, "it must be \"power off\""},
		{del, conn, 80, "", 400, "can not be performed"},
		{patch, targ, 80, `[{"op": "add", "path": "/properties/lun", "value": 3}]`, 200, `"lun":3`},
		{patch, targ, 80, `[{"op": "replace", "path": "/properties", "value": {"auth_password": "******", "a": "b"}}]`, 200, `"a":"b"`},
		{patch, targ, 80, `[{"op": "replace", "path": "/properties", "value": {"other_password": "******"}}]`, 400, "mask"},
		{patch, targ, 80, `[{"op": "replace", "path": "/properties", "value": {"deep": {"token": "******"}}}]`, 400, "mask"},
		{patch, targ, 80, `[{"op": "remove", "path": "/boot_index"}]`, 400, "boot_index"},
		{patch, targ, 80, `[{"op": "replace", "path": "/uuid", "value": "` + id + `"}]`, 400, "Cannot patch"},
	})
	kept, err := r.s.Target(t.Context(), r.trusted(), w)
	if err != nil || kept.Properties.Expose()["auth_password"] != "hunter2" {
		t.Errorf("the secret that was sent masked: %v", err)
	}
	r.asks([]ask{{del, targ, 80, "", 204, ""}, {get, targ, 80, "", 404, "Volume target"}, {del, "/v1/nodes/" + other, 80, "", 204, ""}, {get, conn, 80, "", 404, v}})
}

func TestShardsAndChildren(t *testing.T) {
	r := newRig(t)
	id, other := r.node("web-1"), r.node("web-2")
	child := r.made("/v1/nodes", 83, `{"driver": "fake-hardware", "name": "dpu-1", "shard": "S1", "parent_node": "web-1"}`, `"parent_node":"`+id, `"shard":"S1"`)
	r.made("/v1/nodes", 82, `{"driver": "fake-hardware", "shard": "s2"}`)
	r.asks([]ask{
		{get, "/v1/shards", 82, "", 200, `{"shards":[{"name":"None","count":2},{"name":"S1","count":1},{"name":"s2","count":1}]}`},
		{get, "/v1/shards?limit=1", 82, "", 400, "Unexpected arguments"},
		{get, "/v1/nodes/web-1/children", 82, "", 404, "1.83"},
		{get, "/v1/nodes/web-1/children", 83, "", 200, `{"children":["` + child + `"],"links":{"href":"` + r.url + `/v1/nodes?parent_node=` + id + `","rel":"children"}}`},
		{get, "/v1/nodes/web-2/children", 83, "", 200, `{"children":[],`},
		{get, "/v1/nodes/none/children", 83, "", 404, "none"},
		{get, "/v1/nodes?parent_node=web-1", 83, "", 200, child},
		{get, "/v1/nodes?parent_node=none", 83, "", 200, `{"nodes":[]}`},
		{post, "/v1/nodes", 83, `{"driver": "fake-hardware", "parent_node": "none"}`, 400, "Unable to apply the requested parent_node 'none'"},
		{post, "/v1/nodes", 83, `{"driver": "fake-hardware", "parent_node": "web-1", "owner": "p1"}`, 400, "Unable to apply"},
		{patch, "/v1/nodes/web-2", 83, `[{"op": "add", "path": "/parent_node", "value": "` + other + `"}]`, 400, "Unable to apply"},
		{patch, "/v1/nodes/web-2", 82, `[{"op": "add", "path": "/parent_node", "value": "` + id + `"}]`, 406, "1.83"},
		{patch, "/v1/nodes/web-2", 83, `[{"op": "add", "path": "/parent_node", "value": "web-1"}, {"op": "add", "path": "/shard", "value": "s2"}]`, 200, `"parent_node":"` + id},
	})
	for query, want := range map[string]string{"fields=name": "web-1,", "fields=name&include_children=true": "web-1,web-2,dpu-1,", "fields=name&shard=s1,s2&include_children=yes": "web-2,",
		"fields=name&sharded=false": "web-1,", "fields=name&instance_name=x": ""} {
		list, err := wire.DecodeList[wire.Node](r.do(get, "/v1/nodes?"+query, 104, nil).want(t, 200).body, "nodes")
		got := ""
		for _, n := range list.Items {
			if n.Name != "" {
				got += n.Name + ","
			}
		}
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", query, got, err, want)
		}
	}
	r.asks([]ask{{del, "/v1/nodes/web-1", 83, "", 204, ""}, {get, "/v1/nodes/dpu-1", 83, "", 200, `"parent_node":null`}})
}

func TestNetworkEvents(t *testing.T) {
	r := newRig(t)
	event := `{"event": "network.bind_port", "port_id": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "mac_address": "52:54:00:cf:2d:31", "status": "ACTIVE"`
	for _, c := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"events": [` + event + `}]}`, 204, ""},
		{`{"events": [` + event + `, "device_id": null, "binding:host_id": null, "binding:vnic_type": "baremetal"}]}`, 204, ""},
		{`{"events": [` + event + `}], "a": 1}`, 400, "Unexpected arguments: a"},
		{`{"events": [` + event + `, "a": 1}]}`, 400, "event 1: Unexpected arguments: a"},
		{`{"events": [` + event + `}, {}]}`, 400, "event 2: event must be a string"},
		{`{"events": {}}`, 400, "must be a list"},
		{`{"events": [1]}`, 400, "JSON object"},
		{`{"events": [` + strings.Replace(event, "bind_port", "paint_port", 1) + `}]}`, 400, "not a valid event"},
		{`{"events": [` + strings.Replace(event, "1be2", "z", 1) + `}]}`, 400, "Expected UUID for port_id"},
		{`{"events": [` + strings.Replace(event, "52:", "", 1) + `}]}`, 400, "MAC"},
		{`{"events": [` + event + `, "binding:vnic_type": 3}]}`, 400, "vnic_type"},
	} {
		r.do(post, "/v1/events", 54, c.body).want(t, c.status, c.says)
	}
	if !strings.Contains(r.log.String(), "event=network.bind_port") {
		t.Error("the log does not tell of the event")
	}
}

// trusted is a caller who may do everything.
func (r *rig) trusted() ops.Caller {
	return ops.Caller{Who: "a test", Rights: policy.BuiltIn().For(policy.Caller{Trusted: true}), Minor: wire.MaxMinor}
}

func TestNetworkDataSchema(t *testing.T) {
	if _, err := seed.CompileSchema([]byte(`{"type": 5}`)); err == nil {
		t.Error("a schema that is none is taken")
	}
	s, err := seed.CompileSchema([]byte(`{"type": "object", "required": ["wires"]}`))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *Options) { o.NetworkData = s })
	r.asks([]ask{
		{post, "/v1/nodes", 80, `{"driver": "fake-hardware", "network_data": {"links": [], "networks": [], "services": []}}`, 400, "network_data"},
		{post, "/v1/nodes", 80, `{"driver": "fake-hardware", "name": "web-1", "network_data": {"wires": 1}}`, 201, `{"wires":1}`},
		{patch, "/v1/nodes/web-1", 80, `[{"op": "remove", "path": "/network_data/wires"}, {"op": "add", "path": "/network_data/a", "value": 1}]`, 400, "network_data"},
		{patch, "/v1/nodes/web-1", 80, `[{"op": "remove", "path": "/network_data"}]`, 200, `"network_data":{}`},
	})
}

// TestNamesThatEndInJSON: the suffix that old clients put behind a path is taken off, but not from a name.
func TestNamesThatEndInJSON(t *testing.T) {
	r := newRig(t)
	id := r.node("a.json")
	r.made("/v1/portgroups", 80, `{"node_uuid": "`+id+`", "name": "g.json"}`)
	r.do(post, "/v1/deploy_templates", 80, `{"name": "CUSTOM_A", "steps": [{"interface": "deploy", "step": "x", "args": {}, "priority": 1}]}`).want(t, 201)
	r.asks([]ask{
		{get, "/v1/nodes/a.json", 80, "", 200, id}, {get, "/v1/nodes/a.json.json", 80, "", 200, id}, {get, "/v1/nodes/a", 80, "", 404, "a"},
		{get, "/v1/portgroups/g.json", 80, "", 200, "g.json"}, {get, "/v1/portgroups/g.json", 91, "", 200, "g.json"},
		{get, "/v1/deploy_templates/CUSTOM_A.json", 80, "", 200, "CUSTOM_A"}, {get, "/v1/deploy_templates/CUSTOM_A.json", 91, "", 404, "CUSTOM_A.json"},
		{get, "/v1/chassis.json", 80, "", 200, `{"chassis":[]}`},
		{del, "/v1/portgroups/g.json", 80, "", 204, ""}, {patch, "/v1/nodes/a.json", 80, `[{"op": "add", "path": "/extra/b", "value": 1}]`, 200, `"b":1`},
	})
}

// TestPatchInTransition: a node that is on its way is not changed, in maintenance neither; only its instance may be
// taken from it then.
func TestPatchInTransition(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	r.force(id, func(n *metal.Node) {
		n.ProvisionState, n.TargetProvisionState, n.Maintenance = metal.CleanWait, metal.Available, true
		n.InstanceUUID = "9e1f7f8f-0f4c-4a4e-9c1e-3a1c5a1f0001"
	})
	r.asks([]ask{
		{patch, "/v1/nodes/web-1", 80, `[{"op": "add", "path": "/extra/a", "value": 1}]`, 409, "state transition is in progress"},
		{patch, "/v1/nodes/web-1", 80, `[{"op": "remove", "path": "/instance_uuid"}]`, 200, `"instance_uuid":null`},
	})
	r.force(id, func(n *metal.Node) { n.ProvisionState = metal.CleanFailed })
	r.asks([]ask{{patch, "/v1/nodes/web-1", 80, `[{"op": "add", "path": "/extra/a", "value": 1}]`, 200, `"a":1`}})
}
