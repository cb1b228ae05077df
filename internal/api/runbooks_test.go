package api

import (
	"strings"
	"testing"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

const bookSteps = `[{"interface": "management", "step": "b", "order": 2, "args": {"password": "` + canary + `", "level": 1}}, {"interface": "bios", "step": "a", "order": "1"}]`

func TestRunbooks(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		minor  int
		body   string
		status int
		says   string
	}{
		{91, `{"name": "CUSTOM_A", "steps": ` + bookSteps + `}`, 405, "needs API version 1.92"},
		{92, `{"name": "CUSTOM_A", "steps": ` + bookSteps + `, "extra": {"a": 1}, "disable_ramdisk": "true"}`, 201, `"disable_ramdisk":true`},
		{92, `{"name": "CUSTOM_A", "steps": ` + bookSteps + `}`, 409, "already exists"},
		{92, `{"name": "lower", "steps": ` + bookSteps + `}`, 400, "must be a trait"},
		{112, `{"name": "lower", "steps": ` + bookSteps + `, "description": "for all", "public": true}`, 201, `"description":"for all"`},
		{112, `{"name": "a b", "steps": ` + bookSteps + `}`, 400, "letters, digits"},
		{111, `{"name": "CUSTOM_X", "steps": ` + bookSteps + `, "description": "x"}`, 406, "1.112"},
		{112, `{"name": "x", "steps": ` + bookSteps + `, "traits": ["CUSTOM_A"]}`, 400, "traits"},
		{112, `{"name": "x", "steps": ` + bookSteps + `, "public": true, "owner": "p1"}`, 400, "cannot have an owner"},
		{112, `{"name": "x", "steps": ` + bookSteps + `, "owner": "p1"}`, 201, `"owner":"p1"`},
		{112, `{"name": "y"}`, 400, "at least one step"},
		{112, `{"name": "y", "steps": []}`, 400, "at least one step"},
		{112, `{"name": "y", "steps": [{"interface": "bios", "step": "a"}]}`, 400, "order is required"},
		{112, `{"name": "y", "steps": [{"interface": "bios", "step": "a", "order": -1}]}`, 400, "not negative"},
		{112, `{"name": "y", "steps": [{"interface": "bios", "step": "a", "order": 1, "priority": 1}]}`, 400, "Unexpected arguments: priority"},
		{112, `{"name": "y", "steps": [{"interface": "disk", "step": "a", "order": 1}]}`, 400, "interface must be"},
		{112, `{"name": "y", "steps": [{"interface": "bios", "step": "a", "order": 1}, {"interface": "bios", "step": "a", "order": 2}]}`, 400, "twice"},
		{112, `{"name": "y", "steps": [{"interface": "vendor", "step": "send_raw", "order": 1}]}`, 400, "not allowed"},
		{112, `{"name": "y", "steps": [{"interface": "bios", "step": "a", "order": 1, "args": {"password": "` + secret.Mask + `"}}]}`, 400, "masked"},
		{112, `{"steps": ` + bookSteps + `}`, 400, "name"},
	} {
		a := r.do(post, "/v1/runbooks", c.minor, c.body).want(t, c.status, c.says)
		if strings.Contains(string(a.body), canary) {
			t.Errorf("a secret argument is shown: %s", a.body)
		}
	}
	r.do(get, "/v1/runbooks", 91, nil).want(t, 404, "1.92")
	r.do(get, "/v1/runbooks", 92, nil).want(t, 200, `{"runbooks":[{"uuid":`, `"name":"lower"`)
	a := r.do(get, "/v1/runbooks?detail=true", 111, nil).want(t, 200, `"level":1`, secret.Mask, `"order":1`)
	if text := string(a.body); strings.Contains(text, "description") || strings.Contains(text, `"traits"`) || strings.Contains(text, canary) {
		t.Errorf("1.111 shows %s", text)
	}
	r.do(get, "/v1/runbooks?sort_key=steps", 92, nil).want(t, 400, "sort_key")
	r.do(get, "/v1/runbooks/CUSTOM_A?fields=name,public", 92, nil).want(t, 200, `{"name":"CUSTOM_A","public":false`)
	r.do(get, "/v1/runbooks/nobody", 92, nil).want(t, 404, "Runbook nobody could not be found")

	r.do(patch, "/v1/runbooks/CUSTOM_A", 92, `[{"op": "replace", "path": "/name", "value": "CUSTOM_B"}, {"op": "add", "path": "/extra/k", "value": 2}]`).want(t, 200, "CUSTOM_B", `"k":2`)
	r.do(patch, "/v1/runbooks/CUSTOM_B", 92, `[{"op": "replace", "path": "/description", "value": "x"}]`).want(t, 406, "1.112")
	r.do(patch, "/v1/runbooks/CUSTOM_B", 112, `[{"op": "replace", "path": "/traits", "value": []}]`).want(t, 400, "Cannot patch")
	r.do(patch, "/v1/runbooks/CUSTOM_B", 112, `[{"op": "remove", "path": "/steps"}]`).want(t, 400, "at least one step")
	r.do(patch, "/v1/runbooks/x", 112, `[{"op": "replace", "path": "/public", "value": true}]`).want(t, 200, `"public":true,"owner":null`)
	r.do(patch, "/v1/runbooks/x", 112, `[{"op": "replace", "path": "/owner", "value": "p2"}]`).want(t, 400, "cannot have an owner")
	r.do(del, "/v1/runbooks/x", 91, nil).want(t, 405)
	r.do(del, "/v1/runbooks/x", 92, nil).want(t, 204)
	r.do(get, "/v1/runbooks/x", 92, nil).want(t, 404)
	if strings.Contains(r.log.String(), canary) {
		t.Error("the log shows a secret")
	}
}

func TestRunbookTraits(t *testing.T) {
	r := newRig(t)
	r.do(post, "/v1/runbooks", 112, `{"name": "book", "steps": `+bookSteps+`}`).want(t, 201)
	r.do(get, "/v1/runbooks/book/traits", 111, nil).want(t, 404, "1.112")
	r.do(get, "/v1/runbooks/book/traits", 112, nil).want(t, 200, `{"traits":[]}`)
	r.do(put, "/v1/runbooks/book/traits", 112, `{"traits": ["CUSTOM_B", "HW_CPU_X86_VMX", "CUSTOM_B"]}`).want(t, 204)
	a := r.do(put, "/v1/runbooks/book/traits/CUSTOM_A", 112, nil).want(t, 204)
	if a.Header.Get("Location") != r.url+"/v1/runbooks/book/traits/CUSTOM_A" {
		t.Errorf("Location %q", a.Header.Get("Location"))
	}
	r.do(put, "/v1/runbooks/book/traits/lower", 112, nil).want(t, 400, "not a trait")
	r.do(put, "/v1/runbooks/book/traits/CUSTOM_A", 112, `{}`).want(t, 400, "no body")
	r.do(del, "/v1/runbooks/book/traits/CUSTOM_B", 112, nil).want(t, 204)
	r.do(del, "/v1/runbooks/book/traits/CUSTOM_Z", 112, nil).want(t, 204)
	r.do(get, "/v1/runbooks/book", 112, nil).want(t, 200, `"traits":["CUSTOM_A","HW_CPU_X86_VMX"]`)
	r.do(del, "/v1/runbooks/book/traits", 112, nil).want(t, 204)
	r.do(get, "/v1/runbooks/book/traits", 112, nil).want(t, 200, `{"traits":[]}`)
	r.do(get, "/v1/runbooks/nobody/traits", 112, nil).want(t, 404, "nobody")
}

// TestProvisionWithRunbook: what a request with a runbook is refused for, and that its steps are the operation's, in their order.
func TestProvisionWithRunbook(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	r.do(put, "/v1/nodes/web-1/traits", 80, `{"traits": ["CUSTOM_A", "CUSTOM_B"]}`).want(t, 204)
	for _, name := range []string{"CUSTOM_A", "CUSTOM_C"} {
		r.do(post, "/v1/runbooks", 92, `{"name": "`+name+`", "steps": `+bookSteps+`, "disable_ramdisk": true}`).want(t, 201)
	}
	r.do(post, "/v1/runbooks", 112, `{"name": "new", "steps": `+bookSteps+`}`).want(t, 201)
	r.do(put, "/v1/runbooks/CUSTOM_C/traits/CUSTOM_Z", 112, nil).want(t, 204)
	provision := func(state metal.State, minor int, body string) reply {
		t.Helper()
		r.force("web-1", func(n *metal.Node) { n.ProvisionState = state })
		return r.do(put, "/v1/nodes/web-1/states/provision", minor, body)
	}
	for _, c := range []struct {
		state  metal.State
		minor  int
		body   string
		status int
		says   string
	}{
		{metal.Manageable, 91, `{"target": "clean", "runbook": "CUSTOM_A"}`, 406, "1.92"},
		{metal.Manageable, 92, `{"target": "clean", "runbook": "nobody"}`, 404, "Runbook nobody could not be found"},
		{metal.Manageable, 92, `{"target": "clean", "runbook": "CUSTOM_C"}`, 400, "has not the trait CUSTOM_C"},
		{metal.Manageable, 112, `{"target": "clean", "runbook": "CUSTOM_A"}`, 400, "has no traits"},
		{metal.Manageable, 112, `{"target": "clean", "runbook": "CUSTOM_C"}`, 400, "none of the runbook's traits"},
		{metal.Manageable, 92, `{"target": "clean", "runbook": "CUSTOM_A", "clean_steps": [{"interface": "bios", "step": "a"}]}`, 400, "not both"},
		{metal.Active, 108, `{"target": "service", "runbook": "CUSTOM_A", "service_steps": [{"interface": "bios", "step": "a"}]}`, 400, "not both"},
		{metal.Active, 107, `{"target": "service", "runbook": "CUSTOM_A"}`, 406, "1.108"},
		{metal.Manageable, 92, `{"target": "provide", "runbook": "CUSTOM_A"}`, 400, "disable_ramdisk"},
		{metal.Available, 92, `{"target": "active", "runbook": "CUSTOM_A"}`, 400, "disable_ramdisk"},
		{metal.Active, 92, `{"target": "clean", "runbook": "nobody"}`, 400, "can not be performed"},
	} {
		provision(c.state, c.minor, c.body).want(t, c.status, c.says)
	}
	r.do(put, "/v1/runbooks/CUSTOM_A/traits/CUSTOM_B", 112, nil).want(t, 204)
	provision(metal.Manageable, 112, `{"target": "clean", "runbook": "CUSTOM_A", "disable_ramdisk": false}`).want(t, 202)
	var o *store.Operation
	err := r.db.Read(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node("web-1")
		if err == nil {
			o, err = tx.LiveOperation(n.ID)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text := string(o.Record)
	if strings.Index(text, `"step":"a"`) > strings.Index(text, `"step":"b"`) || !strings.Contains(text, `"step":"b"`) || !strings.Contains(text, canary) || o.Plan != string(metal.PlanManual) {
		t.Errorf("%s %s", o.Plan, strings.ReplaceAll(text, canary, "(secret)"))
	}
	if strings.Contains(r.log.String(), canary) {
		t.Error("the log shows a secret")
	}
}
