package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func fetched(t *testing.T, url string) (int, string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// A server with a node that went the whole way is asked for its health and its numbers; no number has the name of a
// node, and the log is JSON with the request's id.
func TestHealthAndMetrics(t *testing.T) {
	at, err := free()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("INGOT_DEFAULT__USE_JSON", "true")
	r := serving(t, t.TempDir(), "--metrics-listen", at)
	r.ingot(t, "node", "create", "--driver", "fake-hardware", "--name", "canary-node")
	var node struct{ UUID string }
	if err := json.Unmarshal(r.call(t, "GET", "/v1/nodes/canary-node", nil, 200), &node); err != nil {
		t.Fatal(err)
	}
	r.ingot(t, "node", "manage", "canary-node", "--wait")
	r.ingot(t, "node", "provide", "canary-node", "--wait")
	for _, base := range []string{r.url, "http://" + at} {
		if code, said := fetched(t, base+"/healthz"); code != 200 || said != "ok\n" {
			t.Errorf("%s/healthz: %d %s", base, code, said)
		}
		if code, said := fetched(t, base+"/readyz"); code != 200 || said != `{"checks":{"agents":"ok","conductor":"ok","database":"ok"},"ready":true}`+"\n" {
			t.Errorf("%s/readyz: %d %s", base, code, said)
		}
	}
	_, numbers := fetched(t, "http://"+at+"/metrics")
	for _, want := range []string{
		`ingot_api_request_seconds_count{method="PUT",route="/v1/nodes/{node}/states/provision",status="202"} 2`,
		`ingot_step_seconds_count{outcome="done",plan="verify",step="read power"} 1`,
		`ingot_bmc_call_seconds_count{call="read power",driver="fake-hardware",result="ok"}`,
		`ingot_nodes{maintenance="false",provision_state="available"} 1`,
		`ingot_conductors{alive="true"} 1`,
		"ingot_operation_claims_total ",
	} {
		if !strings.Contains(numbers, want) {
			t.Errorf("%s is missing in\n%s", want, numbers)
		}
	}
	if strings.Contains(numbers, "canary-node") || strings.Contains(numbers, node.UUID) {
		t.Errorf("the numbers name the node %s", node.UUID)
	}

	res, err := http.Post(r.url+"/v1/nodes", "application/json", strings.NewReader(`{"driver": "none"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	id := res.Header.Get("X-Openstack-Request-Id")
	patiently(t, "request "+id+" in the log", func() bool {
		found := false
		for line := range strings.Lines(r.log.String()) {
			var doc map[string]any
			if err := json.Unmarshal([]byte(line), &doc); err != nil && strings.HasSuffix(line, "\n") {
				t.Fatalf("a line of the log is no JSON: %v\n%s", err, line)
			}
			found = found || doc["request"] == id && doc["status"] == 400.0
		}
		return found && id != ""
	})
}
