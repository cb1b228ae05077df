package api

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/wire"
)

// agentCalls are all that an agent may call, with what would be taken of one that may.
func agentCalls(node string) map[string]any {
	return map[string]any{
		"GET /v1/lookup?node_uuid=" + node:               nil,
		"GET /v1/lookup?addresses=52:54:00:cf:2d:31":     nil,
		"POST /v1/heartbeat/" + node:                     map[string]any{"callback_url": "https://192.0.2.10:9999", "agent_token": canary, "agent_version": "1", "agent_verify_ca": testCertificate},
		"POST /v1/continue_inspection?node_uuid=" + node: map[string]any{"inventory": map[string]any{"interfaces": []any{map[string]any{"name": "eno1", "mac_address": "52:54:00:cf:2d:31"}}, "cpu": map[string]any{}, "memory": map[string]any{}, "disks": []any{}, "boot": map[string]any{}, "system_vendor": map[string]any{}}},
	}
}

const testCertificate = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"

// TestAgentsThatArePolledCallNobody: the agents' door and, where they are served there, the public one refuse them: all with
// disable_agent_api, and else those of nodes that are only polled, whether the node says so, or the server, or the boot that runs.
func TestAgentsThatArePolledCallNobody(t *testing.T) {
	off, never, on, yes := false, false, true, true
	for name, c := range map[string]struct {
		disabled, server bool
		node             any   // driver_info poll_only; nil: it says nothing
		boot             *bool // of the boot that runs; nil: none does
		refused          bool
	}{
		"disabled":                         {true, false, nil, &off, true},
		"polled by the server":             {false, true, nil, nil, true},
		"polled by the node":               {false, false, "true", nil, true},
		"not polled":                       {false, false, nil, &never, false},
		"the node says no":                 {false, true, false, &off, false},
		"its boot began polled":            {false, false, false, &on, true},
		"its boot began when nobody was":   {false, true, true, &off, false},
		"its boot and the server polled":   {false, true, nil, &yes, true},
		"the node says what nobody can be": {false, false, "maybe", &off, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			id := r.node("web-1")
			r.do(post, "/v1/ports", 80, map[string]any{"node_uuid": id, "address": "52:54:00:cf:2d:31"}).want(t, 201)
			r.force(id, func(n *metal.Node) {
				n.ProvisionState = metal.InspectWait
				if c.node != nil {
					n.DriverInfo = n.DriverInfo.With(metal.PollOnlyKey, c.node)
				}
			})
			if c.boot != nil {
				err := r.db.Write(t.Context(), func(tx *store.Tx) error {
					n, err := tx.Node(id)
					if err != nil {
						return err
					}
					return tx.SaveAgent(&store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "b", Token: secret.New(canary), PollOnly: *c.boot})
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			config := ops.Defaults()
			config.PollOnly = c.server
			s := ops.New(r.db, config, slog.New(slog.DiscardHandler))
			o := Options{AgentsPolled: c.disabled, AgentOnPublic: true}
			doors := map[string]http.Handler{"agents'": AgentHandler(s, o), "public": New(s, o)}
			if c.disabled {
				doors["public, which never serves them,"] = New(s, Options{AgentsPolled: true})
			}
			for door, h := range doors {
				url := r.serve(h)
				for call, body := range agentCalls(id) {
					method, path, _ := strings.Cut(call, " ")
					header := http.Header{}
					header.Set(wire.HeaderVersion, wire.Version(115))
					header.Set(agentapi.TokenHeader, canary)
					a := r.send(method, url+path, header, body)
					if (a.StatusCode == http.StatusForbidden) != c.refused {
						t.Errorf("the %s door answered %s with %d: %s", door, call, a.StatusCode, a.body)
					}
				}
			}
		})
	}
}
