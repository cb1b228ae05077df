package api

import (
	"log/slog"
	"net/http"
	"testing"

	"ingot/internal/ops"
	"ingot/internal/policy"
)

// TestExplain: whoever reads the system asks why somebody has a right.
func TestExplain(t *testing.T) {
	m := newMatrixRig(t, policy.BuiltIn())
	for _, c := range []struct {
		query   string
		allowed bool
		says    string
	}{
		{"rule=node:update&node=mine&roles=member&project=p-O", true, `"check":"project_id:%(node.owner)s","holds":true`},
		{"rule=node:update&node=mine&roles=reader&project=p-O", false, `"check":"role:member","holds":false`},
		{"rule=node:update&node=mine&roles=admin&project=p-X", false, `the caller's is \"p-X\", wanted is \"p-O\"`},
		{"rule=baremetal:chassis:get&roles=admin&project=p-O", false, "of another scope than project"},
		{"rule=chassis:get&roles=reader&system=all", true, `"source":"default"`},
		{"rule=node:gett", false, "did you mean node:get?"},
		{"rule=node:get&node=mine", true, `"holds":true`},
	} {
		a := m.as("SR", get, m.url+"/ingot/v1/policy/explain?"+c.query, "").want(t, http.StatusOK, c.says)
		if got := a.json(t)["allowed"]; got != c.allowed {
			t.Errorf("%s: %v\n%s", c.query, got, a.body)
		}
	}
	m.as("SR", get, m.url+"/ingot/v1/policy/explain?rule=node:get&user=ann", "").want(t, http.StatusBadRequest, "no file of users")
	m.as("SR", get, m.url+"/ingot/v1/policy", "").want(t, http.StatusOK, `"rule":"node:get","check":"`)
}

// TestTwoGroups: with the agents' endpoints on the public listener, a group of servers whose rules are "!" refuses them
// and another serves them; without, they are not there.
func TestTwoGroups(t *testing.T) {
	const text = "\"baremetal:node:ipa_heartbeat\": \"!\"\n\"baremetal:driver:ipa_lookup\": \"!\"\n\"baremetal:driver:ipa_continue_inspection\": \"!\"\n"
	shut, err := policy.New(policy.Defaults(), policy.File{Name: "policy.yaml", Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	group := func(on bool, rules *policy.Set) string {
		return r.serve(New(ops.New(r.db, ops.Defaults(), slog.New(slog.DiscardHandler)), Options{AgentOnPublic: on, Rules: func() *policy.Set { return rules }}))
	}
	for _, g := range []struct {
		name, url string
		denied    int // 0: served
	}{
		{"off", group(false, policy.BuiltIn()), http.StatusNotFound},
		{"public", group(true, shut), http.StatusForbidden},
		{"internal", group(true, policy.BuiltIn()), 0},
	} {
		for _, q := range []struct{ method, path, body string }{
			{get, "/v1/lookup?addresses=52:54:00:00:00:77", ""},
			{post, "/v1/heartbeat/0d4f5f0e-5a3c-4d60-b0c5-3f7f5f6b9a11", `{"callback_url": "https://192.0.2.1:9999", "agent_token": "x"}`},
			{post, "/v1/continue_inspection", `{}`},
		} {
			var body any
			if q.body != "" {
				body = q.body
			}
			a := r.send(q.method, g.url+q.path, http.Header{"X-Openstack-Ironic-Api-Version": {"1.84"}}, body)
			if g.denied != 0 && a.StatusCode != g.denied || g.denied == 0 && a.StatusCode == http.StatusForbidden {
				t.Errorf("%s: %s %s: %d %s", g.name, q.method, q.path, a.StatusCode, a.body)
			}
		}
	}
}
