package api

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
)

func TestDeployTemplates(t *testing.T) {
	r := newRig(t)
	steps := `[{"interface": "raid", "step": "apply_configuration", "priority": 95, "args": {"password": "` + canary + `", "level": 1}}]`
	for _, c := range []struct {
		body   string
		status int
		says   string
	}{
		{`{"name": "CUSTOM_RAID", "steps": ` + steps + `, "description": "dropped", "extra": {"a": 1}}`, 201, `"name":"CUSTOM_RAID"`},
		{`{"name": "CUSTOM_RAID", "steps": ` + steps + `}`, 409, "already exists"},
		{`{"name": "raid", "steps": ` + steps + `}`, 400, "must be a trait"},
		{`{"name": "CUSTOM_X", "steps": []}`, 400, "at least one step"},
		{`{"name": "CUSTOM_X"}`, 400, "at least one step"},
		{`{"name": "CUSTOM_X", "steps": {}}`, 400, "JSON array"},
		{`{"name": "CUSTOM_X", "steps": [{"interface": "raid", "step": "x", "priority": 1}]}`, 400, "args is required"},
		{`{"name": "CUSTOM_X", "steps": [{"interface": "raid", "step": "x", "priority": 1, "args": {}, "order": 1}]}`, 400, "Unexpected arguments: order"},
		{`{"name": "CUSTOM_X", "steps": [{"interface": "deploy", "step": "deploy", "priority": 1, "args": {}}]}`, 400, "priority 0"},
		{`{"name": "CUSTOM_X", "steps": [{"interface": "vendor", "step": "send_raw", "priority": 1, "args": {}}]}`, 400, "not allowed"},
		{`{"name": "CUSTOM_X", "steps": [{"interface": "raid", "step": "x", "priority": 1, "args": {}}, {"interface": "raid", "step": "x", "priority": 2, "args": {}}]}`, 400, "twice"},
		{`{"name": "CUSTOM_X", "steps": [{"interface": "raid", "step": "x", "priority": 1, "args": {"password": "` + secret.Mask + `"}}]}`, 400, "masked"},
		{`{"name": "CUSTOM_X", "steps": ` + steps + `, "bogus": 1}`, 400, "cannot be given"},
	} {
		a := r.do(post, "/v1/deploy_templates", 80, c.body).want(t, c.status, c.says)
		if strings.Contains(string(a.body), canary) {
			t.Errorf("a secret argument is shown: %s", string(a.body))
		}
	}
	r.do(get, "/v1/deploy_templates", 80, nil).want(t, 200, `"deploy_templates":[{"uuid":`, "CUSTOM_RAID")
	r.do(get, "/v1/deploy_templates?detail=true", 80, nil).want(t, 200, `"level":1`, secret.Mask)
	r.do(get, "/v1/deploy_templates?sort_key=steps", 80, nil).want(t, 400, "sort_key")
	r.do(get, "/v1/deploy_templates/CUSTOM_RAID?fields=name", 80, nil).want(t, 200, `{"name":"CUSTOM_RAID"`)
	r.do(patch, "/v1/deploy_templates/CUSTOM_RAID", 80, `[{"op": "replace", "path": "/name", "value": "CUSTOM_R1"}, {"op": "replace", "path": "/steps", "value": [{"interface": "raid", "step": "x", "priority": 80, "args": {}}]}]`).want(t, 200, "CUSTOM_R1", `"priority":80`)
	r.do(patch, "/v1/deploy_templates/CUSTOM_R1", 80, `[{"op": "remove", "path": "/steps"}]`).want(t, 400, "at least one step")
	r.do(patch, "/v1/deploy_templates/CUSTOM_R1", 80, `[{"op": "replace", "path": "/uuid", "value": "x"}]`).want(t, 400, "Cannot patch")
	r.do(del, "/v1/deploy_templates/CUSTOM_R1", 80, nil).want(t, 204)
	r.do(get, "/v1/deploy_templates/CUSTOM_R1", 80, nil).want(t, 404, "could not be found")
	if strings.Contains(r.log.String(), canary) {
		t.Error("the log shows a secret")
	}
}

func TestTraits(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	r.do(get, "/v1/nodes/web-1/traits", 80, nil).want(t, 200, `{"traits":[]}`)
	r.do(put, "/v1/nodes/web-1/traits", 80, `{"traits": ["HW_CPU_X86_VMX", "CUSTOM_B", "CUSTOM_B"]}`).want(t, 204)
	a := r.do(put, "/v1/nodes/web-1/traits/CUSTOM_A", 80, nil).want(t, 204)
	if a.Header.Get("Location") != r.url+"/v1/nodes/web-1/traits/CUSTOM_A" {
		t.Errorf("Location %q", a.Header.Get("Location"))
	}
	r.do(put, "/v1/nodes/web-1/traits/CUSTOM_A", 80, `{"a": 1}`).want(t, 400, "no body")
	r.do(put, "/v1/nodes/web-1/traits/small", 80, nil).want(t, 400, "not a trait")
	r.do(put, "/v1/nodes/web-1/traits", 80, `{}`).want(t, 400, "traits")
	r.do(put, "/v1/nodes/web-1/traits", 80, `{"traits": [5]}`).want(t, 400, "not a string")
	r.do(get, "/v1/nodes/web-1", 80, nil).want(t, 200, `"traits":["CUSTOM_A","CUSTOM_B","HW_CPU_X86_VMX"]`)
	r.do(get, "/v1/nodes?fields=name,traits", 80, nil).want(t, 200, `"traits":["CUSTOM_A","CUSTOM_B","HW_CPU_X86_VMX"]`)
	r.do(del, "/v1/nodes/web-1/traits/CUSTOM_A", 80, nil).want(t, 204)
	r.do(del, "/v1/nodes/web-1/traits/CUSTOM_A", 80, nil).want(t, 404, "no trait CUSTOM_A")

	// An instance asks for templates by its traits, which must be the node's.
	r.do(post, "/v1/deploy_templates", 80, `{"name": "CUSTOM_B", "steps": [{"interface": "bios", "step": "factory_reset", "priority": 90, "args": {}}]}`).want(t, 201)
	r.force(id, func(n *metal.Node) {
		n.ProvisionState, n.InstanceInfo = metal.Available, secret.NewMap(map[string]any{"traits": []any{"CUSTOM_C"}})
	})
	r.do(put, "/v1/nodes/web-1/states/provision", 80, `{"target": "active"}`).want(t, 400, "CUSTOM_C", "which the node has not")
	r.force(id, func(n *metal.Node) { n.InstanceInfo = secret.NewMap(map[string]any{"traits": "CUSTOM_B"}) })
	r.do(put, "/v1/nodes/web-1/states/provision", 80, `{"target": "active"}`).want(t, 400, "list of strings")
	r.force(id, func(n *metal.Node) { n.InstanceInfo = secret.NewMap(map[string]any{"traits": []any{"CUSTOM_B"}}) })
	r.do(put, "/v1/nodes/web-1/states/provision", 80, `{"target": "active"}`).want(t, 202)
	r.do(del, "/v1/nodes/web-1/traits", 80, nil).want(t, 204)
	r.do(get, "/v1/nodes/web-1/traits", 80, nil).want(t, 200, `{"traits":[]}`)
}
