package api

import (
	"encoding/json"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// FuzzPatch: no body makes a patch panic, change what it does not name, or build what a body may not hold.
func FuzzPatch(f *testing.F) {
	for _, s := range []string{
		`[{"op": "add", "path": "/extra/a", "value": {"b": [1]}}]`, `[{"op": "remove", "path": "/extra/list/0"}]`,
		`[{"op": "add", "path": "/extra/list/-", "value": null}, {"op": "replace", "path": "/extra/list/1", "value": []}]`,
		`[{"op": "replace", "path": "/driver_info/password", "value": "******"}]`, `[{"op": "add", "path": "/extra/list/99999999999999999999", "value": 1}]`,
		`[{"op": "replace", "path": "/maintenance", "value": "yes"}]`, `[{"op": "remove", "path": "/name"}]`, `[null]`, `[{}]`, `{}`, `[`,
	} {
		f.Add([]byte(s), 115)
	}
	f.Fuzz(func(t *testing.T, body []byte, minor int) {
		if len(body) > 1<<16 || deeper(body, maxDepth) {
			return
		}
		ops, err := parsePatch(body, wire.NodeFields, minor)
		if err != nil {
			return
		}
		n := &metal.Node{UUID: "u", Name: "n", Driver: "d", ProvisionState: metal.Active, DriverInfo: secret.NewMap(map[string]any{"password": "p"}),
			Extra: map[string]any{"list": []any{1.0, 2.0}}}
		before := *n
		if err := applyPatch(n, ops, wire.NodeFields, nodeSetters); err != nil {
			return
		}
		if n.UUID != before.UUID || n.ProvisionState != before.ProvisionState || n.Driver == "" {
			t.Errorf("%s changed what cannot be changed", body)
		}
		if !reflect.DeepEqual(before.Extra, map[string]any{"list": []any{1.0, 2.0}}) {
			t.Errorf("%s changed a value it shares", body)
		}
		j, err := json.Marshal(n.Extra)
		if err != nil || deeper(j, maxDepth+1) {
			t.Errorf("%s left %s: %v", body, j, err)
		}
	})
}

// FuzzBody: no body makes creating a node, setting a state or reading steps panic, and every refusal has a
// sentence and a status below 500 (501 aside).
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		`{"driver": "x", "extra": {}, "network_data": {"links": [], "networks": [{}], "services": []}}`,
		`{"driver": "x", "local_link_connection": {"port_id": 1}}`, `{"target": "clean", "clean_steps": [{"interface": "raid", "step": "x", "order": "1"}]}`,
		`{"event": "network.bind_port", "port_id": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "mac_address": "52:54:00:12:34:56", "status": {}}`,
		`{"node_uuid": "n", "volume_type": "iscsi", "boot_index": "1e9", "volume_id": "v", "properties": {"a": {"b": "******"}}}`,
		`{"node_uuid": "n", "type": "iqn", "connector_id": 7}`, `{"node_uuid": "n", "mode": null, "address": null, "physical_network": 1}`, `{"description": [], "uuid": 1}`,
		`{"address": "52:54:00:12:34:56", "node_uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "local_link_connection": {"switch_id": "x"}}`,
		`null`, `[]`, `"`, `{"driver": null, "name": {}}`, `{"clean_steps": [[]], "configdrive": {"user_data": {}}}`,
	} {
		f.Add([]byte(s), 115)
	}
	f.Fuzz(func(t *testing.T, body []byte, minor int) {
		if len(body) > 1<<16 || deeper(body, maxDepth) {
			return
		}
		c := &call{api: newAPI(nil, Options{}, nil, false), r: httptest.NewRequest(post, "/", strings.NewReader("")), minor: minor, body: body}
		m, err := c.object()
		errs := []error{err}
		if err == nil {
			_, nodeErr := c.readNode(m)
			_, portErr := c.readPort(m)
			list, _ := m["clean_steps"].([]any)
			_, cleanErr := c.readSteps("clean_steps", list, cleanStepKeys)
			_, deployErr := c.readSteps("deploy_steps", list, deployStepKeys)
			drive, _ := m["configdrive"].(map[string]any)
			errs = append(errs, checkNetworkEvent(m), portgroups.read(c, &metal.Portgroup{}), chassis.read(c, &metal.Chassis{}),
				connectors.read(c, &metal.VolumeConnector{}), targets.read(c, &metal.VolumeTarget{}))
			errs = append(errs, nodeErr, portErr, cleanErr, deployErr, checkDriveKeys(drive))
		}
		for _, err := range errs {
			if err == nil {
				continue
			}
			a := errorAnswer(err, "req-x")
			j, _ := json.Marshal(a.json)
			if a.status >= 500 && a.status != 501 || wire.ErrorText(j) == "" || strings.Contains(string(j), "req-x") {
				t.Errorf("%s: %d %s", body, a.status, j)
			}
		}
	})
}

// FuzzDepth: the bracket counter agrees with a real parser about valid JSON.
func FuzzDepth(f *testing.F) {
	f.Add([]byte(`{"a": ["\"[", {}]}`))
	f.Add([]byte(`[[[[]]]]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var v any
		if len(text) > 4096 || json.Unmarshal(text, &v) != nil {
			return
		}
		if got, want := deeper(text, 3), depth(v) > 3; got != want {
			t.Errorf("%s: deeper %t, depth %d", text, got, depth(v))
		}
	})
}

func depth(v any) int {
	most := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			most = max(most, depth(e))
		}
	case []any:
		for _, e := range v {
			most = max(most, depth(e))
		}
	default:
		return 0
	}
	return most + 1
}
