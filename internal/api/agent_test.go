package api

import (
	"net/http"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/wire"
)

// agentRig is a rig with the agents' door beside it; ask sends a request there.
func agentRig(t *testing.T) (r *rig, ask func(method, path string, minor int, body any) reply) {
	r = newRig(t)
	url := r.serve(AgentHandler(r.s, Options{}))
	return r, func(method, path string, minor int, body any) reply {
		h := http.Header{}
		h.Set(wire.HeaderVersion, wire.Version(minor))
		return r.send(method, url+path, h, body)
	}
}

func TestAgentDoorIsNarrow(t *testing.T) {
	r, ask := agentRig(t)
	id := r.node("web-1")
	ask(get, "/", 1, nil).want(t, 200, "default_version")
	ask(get, "/v1", 80, nil).want(t, 200, "heartbeat")
	for _, path := range []string{"/v1/nodes", "/v1/nodes/" + id, "/v1/ports", "/v1/drivers", "/v1/conductors", "/ingot/v1/nodes/" + id + "/why"} {
		ask(get, path, 80, nil).want(t, 404)
	}
	ask(put, "/v1/nodes/"+id+"/states/power", 80, `{"target": "power on"}`).want(t, 404)
}

func TestLookupAndHeartbeat(t *testing.T) {
	r, ask := agentRig(t)
	id := r.node("web-1")
	r.do(post, "/v1/ports", 80, map[string]any{"node_uuid": id, "address": "52:54:00:cf:2d:31"}).want(t, 201)
	ask(get, "/v1/lookup?addresses=52:54:00:cf:2d:31", 80, nil).want(t, 404, "Resource could not be found.")
	r.force(id, func(n *metal.Node) { n.ProvisionState = metal.DeployWait })
	err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(id)
		if err != nil {
			return err
		}
		return tx.SaveAgent(&store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Token: secret.New(canary)})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path   string
		minor  int
		status int
		says   string
	}{
		{"/v1/lookup", 21, 404, "1.22"},
		{"/v1/lookup", 80, 400, "addresses"},
		{"/v1/lookup?addresses=junk,,", 80, 400, "addresses"},
		{"/v1/lookup?node_uuid=web-1", 80, 400, "Expected UUID"},
		{"/v1/lookup?name=x", 80, 400, "Unexpected arguments: name"},
		{"/v1/lookup?addresses=52:54:00:00:00:00", 80, 404, "Resource could not be found."},
		{"/v1/lookup?addresses=junk,52-54-00-CF-2D-31", 61, 200, `"agent_token":"******"`},
		{"/v1/lookup?node_uuid=" + id, 80, 200, `"agent_token":"` + canary + `"`},
		{"/v1/lookup?node_uuid=" + id, 80, 200, `"agent_token":"******"`},
	} {
		a := ask(get, c.path, c.minor, nil).want(t, c.status, c.says)
		if c.status == 200 && (a.Header.Get("Cache-Control") != "no-store" || a.json(t)["node"].(map[string]any)["links"] == nil) {
			t.Errorf("%s: %v %s", c.path, a.Header, a.body)
		}
	}
	pem := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	beat := func(more map[string]any) map[string]any {
		m := map[string]any{"callback_url": "https://192.0.2.10:9999", "agent_token": canary, "agent_version": "1", "agent_verify_ca": pem}
		for k, v := range more {
			m[k] = v
		}
		return m
	}
	for _, c := range []struct {
		minor  int
		body   any
		status int
		says   string
	}{
		{21, beat(nil), 404, "1.22"},
		{35, beat(nil), 400, "needs API version"},
		{80, beat(map[string]any{"color": 1}), 400, "Unexpected arguments: color"},
		{80, beat(map[string]any{"agent_token": 5}), 400, "agent_token: it must be a string"},
		{80, beat(map[string]any{"agent_token": "wrong"}), 400, "Invalid agent token"},
		{80, beat(map[string]any{"agent_status": "end"}), 501, "agent_status"},
		{80, beat(map[string]any{"callback_url": "gopher://x"}), 400, "callback_url"},
		{80, map[string]any{}, 400, "Missing mandatory parameter: callback_url"},
		{80, beat(nil), 202, ""},
		{80, beat(map[string]any{"callback_url": "https://192.0.2.11:9999"}), 400, "callback_url"},
	} {
		a := ask(post, "/v1/heartbeat/"+id, c.minor, c.body).want(t, c.status, c.says)
		if c.status == 202 && len(a.body) != 0 {
			t.Errorf("%q", a.body)
		}
	}
	ask(post, "/v1/heartbeat/"+r.node("other"), 80, beat(nil)).want(t, 400, "token")
	ask(post, "/v1/heartbeat/nobody", 80, beat(nil)).want(t, 404)
}

// What an agent learns depends on whether it shows the token of its node's current boot.
func TestTrapLookupGivesTheTokenInClear(t *testing.T) {
	r := newRig(t)
	url := r.serve(AgentHandler(r.s, Options{}))
	id := r.node("web-1")
	r.do(post, "/v1/ports", 80, map[string]any{"node_uuid": id, "address": "52:54:00:cf:2d:31"}).want(t, 201)
	r.force(id, func(n *metal.Node) {
		n.ProvisionState = metal.DeployWait
		n.Properties = map[string]any{"root_device": map[string]any{"serial": "S1"}, "rack_code": "canary-property"}
		n.InternalInfo = map[string]any{"disk_erasure_concurrency": 3}
		n.InstanceInfo = secret.NewMap(map[string]any{"image_type": "whole-disk", "user": "canary-instance"})
	})
	ask := func(query, token string) reply {
		h := http.Header{}
		h.Set(wire.HeaderVersion, wire.Version(62))
		if token != "" {
			h.Set(agentapi.TokenHeader, token)
		}
		return r.send(get, url+"/v1/lookup?"+query, h, nil)
	}
	boot := func(token string, pregenerated bool) {
		t.Helper()
		err := r.db.Write(t.Context(), func(tx *store.Tx) error {
			n, err := tx.Node(id)
			if err != nil {
				return err
			}
			return tx.SaveAgent(&store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: token, Token: secret.New(token), Pregenerated: pregenerated})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	queries := []string{"node_uuid=" + id, "addresses=52:54:00:cf:2d:31"}
	unknown := ask("addresses=52:54:00:00:00:00", "").want(t, 404).body
	refused := func(query, token string) {
		t.Helper()
		if a := ask(query, token).want(t, 404); string(a.body) != string(unknown) {
			t.Errorf("a refusal can be told from an unknown node: %s, %s", a.body, unknown)
		}
	}
	for _, query := range queries {
		refused(query, "of-no-boot")
	}
	boot("first-token", true)
	boot("second-token", true)
	for _, query := range queries {
		whole := ask(query, "second-token").want(t, 200, `"agent_token":"******"`, "canary-property", "disk_erasure_concurrency", "whole-disk")
		few := ask(query, "").want(t, 200, `"agent_token":"******"`, `"uuid":"`+id, `"root_device":{"serial":"S1"}`, `"driver_internal_info":{}`, `"instance_info":{}`)
		for _, a := range []reply{whole, few} {
			if strings.Contains(string(a.body), "second-token") || strings.Contains(string(a.body), "canary-instance") {
				t.Errorf("a secret is in %s", a.body)
			}
		}
		if strings.Contains(string(few.body), "canary-property") {
			t.Errorf("told a stranger %s", few.body)
		}
		for _, token := range []string{"first-token", "second-tokenx", "second-toke", secret.Mask} {
			refused(query, token)
		}
	}
	// A token made for the lookup itself: the first asker gets it, and a stranger's still opens nothing.
	boot("third-token", false)
	refused(queries[0], "second-token")
	ask(queries[0], "").want(t, 200, `"agent_token":"third-token"`, "canary-property")
	ask(queries[0], "third-token").want(t, 200, `"agent_token":"******"`, "canary-property")
}
