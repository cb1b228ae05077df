package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
	"ingot/internal/wire"
)

// TestContinueInspection: a machine that is known and under inspection may report; every other learns the same
// nothing.
func TestContinueInspection(t *testing.T) {
	r, _ := agentRig(t)
	url := r.serve(AgentHandler(r.s, Options{}))
	id := r.node("web-1")
	other := r.node("web-2")
	r.do(post, "/v1/ports", 80, map[string]any{"node_uuid": id, "address": "52:54:00:cf:2d:31"}).want(t, 201)
	r.do(post, "/v1/ports", 80, map[string]any{"node_uuid": other, "address": "52:54:00:cf:2d:32"}).want(t, 201)
	body := func(mac string) string {
		return fmt.Sprintf(`{"inventory": {"interfaces": [{"name": "eno1", "mac_address": %q}]}, "error": null, "root_disk": {"name": "/dev/sda"}}`, mac)
	}
	ask := func(query, token, body string, minor int) reply {
		h := http.Header{}
		if minor > 1 {
			h.Set(wire.HeaderVersion, wire.Version(minor))
		}
		if token != "" {
			h.Set(agentapi.TokenHeader, token)
		}
		return r.send(post, url+"/v1/continue_inspection"+query, h, body)
	}
	nothing := "Resource could not be found."
	ask("", "", body("52:54:00:cf:2d:31"), 1).want(t, 404, nothing)
	r.force(id, func(n *metal.Node) {
		n.ProvisionState = metal.InspectWait
		n.DriverInfo = secret.NewMap(map[string]any{"redfish_address": "https://192.0.2.7:8443"})
		n.Properties = map[string]any{"rack_code": "canary-property"}
	})
	err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(id)
		if err != nil {
			return err
		}
		if err := tx.SaveAgent(&store.Agent{NodeID: n.ID, NodeUUID: n.UUID, Boot: "b1", Token: secret.New(canary), Pregenerated: true}); err != nil {
			return err
		}
		return tx.CreateOperation(&store.Operation{UUID: "op-1", NodeID: n.ID, Exclusive: true, Verb: "inspect", Plan: string(metal.PlanInspect), Driver: "fake-hardware"})
	})
	if err != nil {
		t.Fatal(err)
	}
	byBMC := `{"inventory": {"bmc_address": "192.0.2.7", "interfaces": [{"mac_address": "52:54:00:00:00:99"}]}}`
	for _, c := range []struct {
		what, query, token, body string
		minor, status            int
		says                     string
	}{
		{"a version between", "", "", body("52:54:00:cf:2d:31"), 50, 404, "1.84"},
		{"node_uuid too early", "?node_uuid=" + id, "", body("52:54:00:cf:2d:31"), 1, 404, "1.84"},
		{"no body", "", "", "", 84, 400, "no body"},
		{"no interfaces", "", "", `{"inventory": {}}`, 84, 400, "interfaces"},
		{"too deep", "", "", strings.Repeat("[", 40) + strings.Repeat("]", 40), 84, 400, "nested"},
		{"an unknown machine", "", "", body("52:54:00:00:00:98"), 84, 404, nothing},
		{"not under inspection", "", "", body("52:54:00:cf:2d:32"), 84, 404, nothing},
		{"two nodes at once", "", "", `{"inventory": {"interfaces": [{"mac_address": "52:54:00:cf:2d:31"}, {"mac_address": "52:54:00:cf:2d:32"}]}}`, 84, 404, nothing},
		{"a token of another boot", "", "wrong", body("52:54:00:cf:2d:31"), 84, 404, nothing},
		{"another node's uuid", "?node_uuid=" + other, "", body("52:54:00:cf:2d:31"), 84, 404, nothing},
		{"as upstream's agent", "", "", body("52-54-00-CF-2D-31"), 1, 202, `{"uuid":"` + id + `"}`},
		{"by the BMC's address", "", "", byBMC, 84, 202, `"agent_token":"******"`},
		{"by uuid, with the token", "?node_uuid=" + id, canary, byBMC, 84, 202, "canary-property"},
	} {
		a := ask(c.query, c.token, c.body, c.minor)
		if a.want(t, c.status, c.says); c.token != canary && strings.Contains(string(a.body), "canary") {
			t.Errorf("%s: %s", c.what, a.body)
		}
		if c.status == 404 && c.says == nothing && strings.Contains(string(a.body), "web") {
			t.Errorf("%s: %s", c.what, a.body)
		}
	}
	err = r.db.Read(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(id)
		if err != nil {
			return err
		}
		rep, err := tx.Report(n.ID, "b1")
		if err == nil && (rep == nil || !rep.Trusted || !strings.Contains(string(rep.Inventory), "192.0.2.7")) {
			t.Errorf("report %+v", rep)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestInventory(t *testing.T) {
	r := newRig(t)
	id := r.node("web-1")
	r.do(get, "/v1/nodes/"+id+"/inventory", 80, nil).want(t, 404, "1.81")
	r.do(get, "/v1/nodes/"+id+"/inventory", 81, nil).want(t, 404, "inspect it first")
	err := r.db.Write(t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(id)
		if err != nil {
			return err
		}
		return tx.SaveInventory(n.ID, []byte(`{"hostname": "x"}`), []byte(`{"root_disk": {}}`))
	})
	if err != nil {
		t.Fatal(err)
	}
	r.do(get, "/v1/nodes/web-1/inventory", 81, nil).want(t, 200, `{"inventory":{"hostname":"x"},"plugin_data":{"root_disk":{}}}`)
}
