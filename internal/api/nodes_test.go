package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/store"
	"ingot/internal/wire"
)

const canary = "planted-S3cret"

func TestCreateNode(t *testing.T) {
	r := newRig(t)
	a := r.do(post, "/v1/nodes", 115, map[string]any{"name": "web-1", "driver": "redfish", "uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123",
		"driver_info": map[string]any{"redfish_address": "https://192.0.2.1", "redfish_password": canary, "unheard_of": canary},
		"properties":  map[string]any{"cpu_arch": "x86_64"}, "resource_class": "small", "maintenance": "False",
		"conductor_group": "", "owner": nil, "automated_clean": true}).want(t, 201)
	if got := a.Header.Get("Location"); got != r.url+"/v1/nodes/1be26c0b-03f2-4d2e-ae87-c02d7f33c123" {
		t.Errorf("Location %q", got)
	}
	var n wire.Node
	if err := json.Unmarshal(a.body, &n); err != nil {
		t.Fatal(err)
	}
	if n.Name != "web-1" || n.ProvisionState != "enroll" || n.DeployInterface != "direct" || !*n.AutomatedClean || n.Conductor != "c1" ||
		n.DriverInfo["redfish_address"] != "https://192.0.2.1" || n.DriverInfo["redfish_password"] != "******" || n.DriverInfo["unheard_of"] != "******" {
		t.Errorf("%s", a.body)
	}
	if strings.Contains(string(a.body), canary) {
		t.Error("the answer shows a secret")
	}
	for _, c := range []struct {
		minor  int
		body   any
		status int
		says   string
	}{
		{80, `{"name": "x"}`, 400, "'driver' is a required property"},
		{80, `{"driver": "nope"}`, 400, "No valid host"},
		{80, `{"driver": 5}`, 400, "driver: it must be a string"},
		{80, `{"driver": "fake-hardware", "color": 1}`, 400, `"color" cannot be given`},
		{80, `{"driver": "fake-hardware", "provision_state": "active"}`, 400, "cannot be given"},
		{80, `{"driver": "fake-hardware", "traits": []}`, 400, "cannot be given"},
		{80, `{"driver": "fake-hardware", "name": "web-1"}`, 409, "already exists"},
		{80, `{"driver": "fake-hardware", "name": "detail"}`, 400, "reserved word"},
		{80, `{"driver": "fake-hardware", "name": "a b"}`, 400, "invalid name"},
		{4, `{"driver": "fake-hardware", "name": "x"}`, 406, "1.5"},
		{80, `{"driver": "fake-hardware", "extra": []}`, 400, "extra: it must be a JSON object"},
		{80, `{"driver": "fake-hardware", "uuid": "z"}`, 400, "Expected UUID for uuid"},
		{80, `{"driver": "fake-hardware", "shard": "a"}`, 406, "1.82"},
		{82, `{"driver": "fake-hardware", "shard": "a"}`, 201, `"shard":"a"`},
		{80, `{"driver": "fake-hardware", "shard": null}`, 201, ""},
		{80, `{"driver": "fake-hardware", "chassis_uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"}`, 400, "Chassis 1be26c0b-03f2-4d2e-ae87-c02d7f33c123 could not be found"},
		{80, `{"driver": "fake-hardware", "power_interface": "ipmitool"}`, 400, "interface"},
		{80, `{"driver": "fake-hardware", "power_interface": "noop"}`, 201, `"power_interface":"noop"`},
		{80, `{"driver": "fake-hardware", "retired_reason": "old"}`, 400, "retired"},
		{80, `{"driver": "fake-hardware", "network_data": {"links": []}}`, 400, "network_data"},
		{80, `{"driver": "fake-hardware", "network_data": {"links": [{"id": "a", "type": "phy", "ethernet_mac_address": "x"}], "networks": [], "services": []}}`, 400, "/links/0"},
		{80, `{"driver": "fake-hardware", "network_data": {"links": [{"id": "a", "type": "phy", "ethernet_mac_address": "52:54:00:12:34:56"}],
			"networks": [{"id": "n", "link": "a", "network_id": "x", "type": "ipv4", "ip_address": "192.0.2.7"}], "services": [{"type": "dns", "address": "192.0.2.1"}]}}`, 201, "192.0.2.7"},
		{80, `{"driver": "fake-hardware", "driver_info": {"redfish_password": "******"}}`, 400, "mask"},
		{80, `[]`, 400, "must be a JSON object"},
		{80, `null`, 400, "must be a JSON object"},
		{80, ``, 400, "needs a JSON object"},
		{80, `{"driver": `, 400, "not valid JSON"},
		{80, `{} x`, 400, "not valid JSON"},
		{10, `{"driver": "fake-hardware"}`, 201, `"provision_state":"available"`},
		{1, `{"driver": "fake-hardware"}`, 201, `"provision_state":null`},
	} {
		r.do(post, "/v1/nodes", c.minor, c.body).want(t, c.status, c.says)
	}
	if strings.Contains(r.log.String(), canary) {
		t.Error("the log shows a secret")
	}
}

func TestPatchNode(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	r.node("web-2")
	for _, c := range []struct {
		minor  int
		patch  string
		status int
		says   string
	}{
		{80, `[{"op": "add", "path": "/extra/color", "value": "red"}]`, 200, `"color":"red"`},
		{80, `[{"op": "replace", "path": "/extra/color", "value": null}]`, 200, `"color":null`},
		{80, `[{"op": "remove", "path": "/extra/color"}]`, 200, `"extra":{"list":[1,2],"rack":"r1"}`},
		{80, `[{"op": "add", "path": "/extra/list/-", "value": 3}]`, 200, `"list":[1,2,3]`},
		{80, `[{"op": "add", "path": "/extra/list/0", "value": 0}]`, 200, `"list":[0,1,2,3]`},
		{80, `[{"op": "remove", "path": "/extra/list/9"}]`, 400, "Couldn't apply patch remove /extra/list/9"},
		{80, `[{"op": "remove", "path": "/extra/list/-1"}]`, 400, "Couldn't apply patch"},
		{80, `[{"op": "add", "path": "/extra/a", "value": 1}, {"op": "remove", "path": "/extra/none"}, {"op": "add", "path": "/extra/b", "value": 1}]`, 400, "remove /extra/none"},
		{80, `[{"op": "add", "path": "/extra/x/y", "value": 1}]`, 400, "Couldn't apply patch"},
		{80, `[{"op": "add", "path": "/extra", "value": {"new": {"deep": 1}}}, {"op": "replace", "path": "/extra/new/deep", "value": 2}]`, 200, `"extra":{"new":{"deep":2}}`},
		{80, `[{"op": "remove", "path": "/extra"}]`, 200, `"extra":{}`},
		{80, `[{"op": "add", "path": "/extra", "value": 5}]`, 400, "must be a JSON object"},
		{80, `[{"op": "add", "path": "/name/x", "value": 5}]`, 400, "nothing inside name"},
		{80, `[{"op": "test", "path": "/extra/x", "value": 1}]`, 400, "op must be"},
		{80, `[{"op": "move", "from": "/extra/x", "path": "/extra/y"}]`, 400, "Unexpected arguments: from"},
		{80, `[{"op": "add", "path": "/extra/a.b", "value": 1}]`, 400, "path must be"},
		{80, `[{"op": "add", "path": "/extra/", "value": 1}]`, 400, "path must be"},
		{80, `[{"op": "add", "path": "extra", "value": 1}]`, 400, "path must be"},
		{80, `[{"op": "add", "value": 1}]`, 400, "path must be"},
		{80, `[{"op": "add", "path": "/extra/q"}]`, 400, "needs a value"},
		{80, `[{"op": "add", "path": "/provision_state", "value": "active"}]`, 400, "Cannot patch /provision_state. Only the following can be updated: /name"},
		{80, `[{"op": "add", "path": "/bogus", "value": 1}]`, 400, "Cannot patch /bogus"},
		{80, `[{"op": "remove", "path": "/driver"}]`, 400, "driver"},
		{80, `[{"op": "replace", "path": "/name", "value": "web-9"}]`, 200, `"name":"web-9"`},
		{80, `[{"op": "replace", "path": "/name", "value": "web-2"}]`, 409, "already exists"},
		{80, `[{"op": "replace", "path": "/name", "value": "states"}]`, 400, "reserved word"},
		{80, `[{"op": "remove", "path": "/name"}]`, 200, `"name":null`},
		{80, `[{"op": "replace", "path": "/maintenance", "value": "true"}]`, 200, `"maintenance":true`},
		{80, `[{"op": "remove", "path": "/maintenance"}]`, 200, `"maintenance":false`},
		{50, `[{"op": "add", "path": "/description", "value": "x"}]`, 406, "1.51"},
		{25, `[{"op": "remove", "path": "/chassis_uuid"}]`, 200, ""},
		{80, `[{"op": "add", "path": "/instance_info/image_source", "value": "https://u:` + canary + `@h/i.raw"}]`, 200, `"image_source":"https://u:******@h/i.raw"`},
		{80, `[{"op": "add", "path": "/instance_info/configdrive", "value": "` + canary + `"}]`, 200, `"configdrive":"******"`},
		{80, `[{"op": "add", "path": "/instance_info/configdrive", "value": "******"}]`, 200, `"configdrive":"******"`},
		{80, `[{"op": "add", "path": "/instance_info/image_url", "value": "******"}]`, 400, "mask"},
		{80, `[{"op": "add", "path": "/driver_info/secret", "value": "` + canary + `"}]`, 200, `"driver_info":{"secret":"******"}`},
		{80, `[{"op": "add", "path": "/network_data", "value": {"links": 1}}]`, 400, "network_data"},
		{80, `[{"op": "replace", "path": "/conductor_group", "value": null}]`, 200, `"conductor_group":""`},
		{80, `[{"op": "replace", "path": "/driver", "value": "redfish"}]`, 400, "interface"},
		{80, `[]`, 200, ""},
		{80, `{}`, 400, "JSON array of operations"},
		{80, `[1]`, 400, "JSON array of operations"},
		{80, `[`, 400, "not valid JSON"},
		{80, ``, 400, "JSON array of operations"},
		{80, "[" + strings.Repeat(`{"op": "remove", "path": "/extra"},`, maxOps) + `{"op": "remove", "path": "/extra"}]`, 400, "at most 1000"},
	} {
		a := r.do(patch, "/v1/nodes/"+id, c.minor, c.patch).want(t, c.status, c.says)
		if strings.Contains(string(a.body), canary) {
			t.Errorf("%s: the answer shows a secret", c.patch)
		}
	}
	err := r.db.Read(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(id)
		if err != nil {
			return err
		}
		drive, err := tx.ConfigDrive(n)
		if drive != canary {
			t.Errorf("the mask replaced the value it stood for")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	r.do(patch, "/v1/nodes/"+id+"?reset_interfaces=true", 80, `[{"op": "replace", "path": "/driver", "value": "redfish"}]`).want(t, 200, `"deploy_interface":"direct"`)
	r.do(patch, "/v1/nodes/"+id+"?reset_interfaces=true", 80, `[{"op": "remove", "path": "/extra"}]`).want(t, 400, "reset_interfaces")
	r.do(patch, "/v1/nodes/"+id+"?reset_interfaces=true", 80, `[{"op": "replace", "path": "/driver", "value": "redfish"}]`).want(t, 200, `"driver":"redfish"`) // the same again
	r.do(patch, "/v1/nodes/"+id+"?reset_interfaces=true", 44, `[]`).want(t, 406, "1.45")
	r.force(id, func(n *metal.Node) { n.ProvisionState, n.TargetProvisionState = metal.Deploying, metal.Active })
	r.do(patch, "/v1/nodes/"+id, 80, `[{"op": "remove", "path": "/extra"}]`).want(t, 409, "in progress")
	r.force(id, func(n *metal.Node) { n.ProvisionState, n.TargetProvisionState = metal.Inspecting, metal.Manageable })
	r.do(patch, "/v1/nodes/"+id, 80, `[{"op": "remove", "path": "/extra"}]`).want(t, 409, "inspecting")
	if strings.Contains(r.log.String(), canary) {
		t.Error("the log shows a secret")
	}
}

func TestShowAndHide(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	for _, minor := range []int{1, 22, 50, 80, 115} {
		got := r.do(get, "/v1/nodes/"+id, minor, nil).want(t, 200).json(t)
		for _, f := range wire.NodeFields {
			if _, has := got[f.Name]; has != (f.Min <= minor) {
				t.Errorf("1.%d: %s shown: %t", minor, f.Name, has)
			}
		}
	}
	for _, c := range []struct {
		path   string
		minor  int
		status int
		says   string
	}{
		{"/v1/nodes/web-1?fields=uuid,NAME,name", 80, 200, `"name":"web-1","links"`},
		{"/v1/nodes/web-1?fields=bogus", 80, 400, "Field bogus is not a valid field."},
		{"/v1/nodes/web-1?fields=created_at", 80, 400, "not a valid field"},
		{"/v1/nodes/web-1?fields=health", 80, 406, "1.109"},
		{"/v1/nodes/" + id + "?fields=uuid", 7, 406, "1.8"},
		{"/v1/nodes?fields=uuid&detail=true", 80, 400, "Can not specify"},
		{"/v1/nodes?fields=uuid&detail=false", 80, 200, id},
		{"/v1/nodes?detail=true", 42, 400, "1.43"},
		{"/v1/nodes?detail=maybe", 80, 400, "true or false"},
		{"/v1/nodes?detail=yes", 80, 200, "driver_info"},
		{"/v1/nodes/detail", 80, 200, "driver_info"},
		{"/v1/nodes/detail?fields=uuid", 80, 400, "Unexpected arguments: fields"},
		{"/v1/nodes/web-1/states", 80, 200, `"raid_config":{}`},
	} {
		r.do(get, c.path, c.minor, nil).want(t, c.status, c.says)
	}
	short := r.do(get, "/v1/nodes", 80, nil).json(t)["nodes"].([]any)[0].(map[string]any)
	if len(short) != 7 {
		t.Errorf("short form: %v", short)
	}
	a := r.do(http.MethodHead, "/v1/nodes/"+id, 80, nil)
	if a.StatusCode != 200 || len(a.body) != 0 || a.Header.Get("Content-Length") == "" {
		t.Errorf("HEAD: %d, %q", a.StatusCode, a.body)
	}
}

func TestStatesByVersion(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	r.force(id, func(n *metal.Node) { n.ProvisionState = metal.InspectWait })
	r.do(get, "/v1/nodes/"+id, 38, nil).want(t, 200, `"provision_state":"inspecting"`)
	r.do(get, "/v1/nodes/"+id, 39, nil).want(t, 200, `"provision_state":"inspect wait"`)
	r.force(id, func(n *metal.Node) { n.ProvisionState = metal.Available })
	r.do(get, "/v1/nodes/"+id, 1, nil).want(t, 200, `"provision_state":null`)
	r.do(get, "/v1/nodes/"+id, 2, nil).want(t, 200, `"provision_state":"available"`)
}

func TestListFilters(t *testing.T) {
	r := newRig(t)
	a, b := r.node("a"), r.node("b")
	r.force(b, func(n *metal.Node) {
		n.Maintenance, n.InstanceUUID, n.Owner, n.Description = true, "9e1f7f8f-0f4c-4a4e-9c1e-3a1c5a1f0001", "p1", "50% off_x"
		n.ProvisionState, n.ResourceClass = metal.Active, "big"
	})
	for _, c := range []struct {
		query  string
		minor  int
		status int
		want   string // UUIDs of the answer, or words of the error
	}{
		{"", 80, 200, a + " " + b},
		{"maintenance=True", 80, 200, b},
		{"maintenance=0", 80, 200, a},
		{"associated=true", 80, 200, b},
		{"instance_uuid=9e1f7f8f-0f4c-4a4e-9c1e-3a1c5a1f0001&limit=1", 80, 200, b},
		{"instance_uuid=x", 80, 400, "Expected UUID"},
		{"provision_state=active", 80, 200, b},
		{"provision_state=nonsense", 80, 400, "not valid"},
		{"provision_state=active", 8, 406, "1.9"},
		{"driver=fake-hardware&owner=p1", 80, 200, b},
		{"owner=p1", 49, 406, "1.50"},
		{"project=p1", 80, 200, b},
		{"resource_class=big", 80, 200, b},
		{"description_contains=50%25%20off_", 80, 200, b},
		{"fault=tired", 80, 400, "Unrecognized fault"},
		{"fault=power%20failure", 80, 200, ""},
		{"conductor_group=", 80, 200, a + " " + b},
		{"conductor_group=X", 80, 200, ""},
		{"conductor=c1", 80, 200, a + " " + b},
		{"conductor=c2", 80, 200, ""},
		{"shard=x", 82, 200, ""},
		{"sharded=false", 82, 200, a + " " + b},
		{"sharded=true", 82, 200, ""},
		{"shard=x", 81, 406, "1.82"},
		{"include_children=true", 83, 200, a + " " + b},
		{"parent_node=" + a, 83, 200, ""},
		{"instance_name=x", 103, 406, "1.104"},
		{"chassis_uuid=" + a, 80, 404, "Chassis "},
		{"retired=true", 80, 200, ""},
		{"sort_key=name&sort_dir=desc", 80, 200, b + " " + a},
		{"sort_key=id", 80, 200, a + " " + b},
		{"sort_key=extra", 80, 400, "invalid field for sorting"},
		{"sort_key=bogus", 80, 400, "invalid field for sorting"},
		{"sort_key=health", 80, 406, "1.109"},
		{"sort_dir=up", 80, 400, "sort direction"},
		{"limit=0", 80, 400, "Limit must be positive"},
		{"limit=-3", 80, 400, "Limit must be positive"},
		{"limit=many", 80, 400, "whole number"},
		{"marker=" + a, 80, 200, b},
		{"marker=9e1f7f8f-0f4c-4a4e-9c1e-3a1c5a1f0009", 80, 404, "marker"},
		{"marker=a", 80, 400, "Expected UUID"},
	} {
		got := r.do(get, "/v1/nodes?"+c.query, c.minor, nil)
		if c.status != 200 {
			got.want(t, c.status, c.want)
			continue
		}
		list, err := wire.DecodeList[wire.Node](got.want(t, 200).body, "nodes")
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, n := range list.Items {
			ids = append(ids, n.UUID)
		}
		if strings.Join(ids, " ") != c.want || list.Next != "" {
			t.Errorf("%s: %v, next %q", c.query, ids, list.Next)
		}
	}
}

func TestPaging(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxLimit = 3 })
	var want []string
	for _, n := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		want = append(want, r.node(n))
	}
	for _, start := range []string{"/v1/nodes?maintenance=false&fields=uuid", "/v1/nodes?limit=2&maintenance=false&fields=uuid",
		"/v1/nodes?limit=100&maintenance=false&fields=uuid", "/nodes/detail?maintenance=false"} {
		var got []string
		pages := 0
		for url := r.url + start; url != ""; pages++ {
			h := http.Header{wire.HeaderVersion: {"1.80"}}
			h.Set(wire.HeaderVersion, "1.80")
			list, err := wire.DecodeList[wire.Node](r.send(get, url, h, nil).want(t, 200).body, "nodes")
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range list.Items {
				got = append(got, n.UUID)
			}
			if url = list.Next; url != "" && (!strings.Contains(url, "maintenance=false") || !strings.HasPrefix(url, r.url+"/v1/nodes")) {
				t.Errorf("%s: next %s", start, url)
			}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") || pages < 3 {
			t.Errorf("%s: %d pages, %v", start, pages, got)
		}
	}
}

func TestDeleteNode(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	r.force(id, func(n *metal.Node) { n.ProvisionState = metal.Active })
	r.do(del, "/v1/nodes/web-1", 80, nil).want(t, 409, "active")
	r.force(id, func(n *metal.Node) { n.Protected = true })
	r.do(del, "/v1/nodes/web-1", 80, nil).want(t, 403, "protected")
	r.force(id, func(n *metal.Node) { n.Protected, n.ProvisionState = false, metal.Enroll })
	a := r.do(del, "/v1/nodes/web-1", 80, nil).want(t, 204)
	if len(a.body) != 0 || a.Header.Get("Content-Type") != "" {
		t.Errorf("%q %v", a.body, a.Header)
	}
	r.do(get, "/v1/nodes/"+id, 80, nil).want(t, 404, "could not be found")
}

// TestSetters: every field that wire says a caller may give can be set here.
func TestSetters(t *testing.T) {
	for _, f := range wire.NodeFields {
		if _, have := nodeSetters[f.Name]; have != (f.Name != "uuid" && (f.Is(wire.Create) || f.Is(wire.Patch))) {
			t.Errorf("node %s: setter %t", f.Name, have)
		}
	}
	for _, f := range wire.PortFields {
		if _, have := portSetters[f.Name]; have != (f.Name != "uuid" && (f.Is(wire.Create) || f.Is(wire.Patch))) {
			t.Errorf("port %s: setter %t", f.Name, have)
		}
	}
	setsAll(t, &portgroups)
	setsAll(t, &chassis)
	setsAll(t, &connectors)
	setsAll(t, &targets)
}

func setsAll[M, W any](t *testing.T, r *resource[M, W]) {
	t.Helper()
	for _, f := range r.fields {
		if _, have := r.setters[f.Name]; f.Name != "uuid" && have != (f.Is(wire.Create) || f.Is(wire.Patch)) {
			t.Errorf("%s %s: setter %t", r.word, f.Name, have)
		}
	}
	for _, name := range r.needs {
		if f, ok := wire.Find(r.fields, name); !ok || !f.Is(wire.Create) {
			t.Errorf("%s needs %s, which nobody may give", r.word, name)
		}
	}
}
