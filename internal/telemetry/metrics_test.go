package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestWhatIsToldIsCounted(t *testing.T) {
	var log bytes.Buffer
	m := New("1.2.3", Gauges{
		Operations: func(context.Context) ([]Count, error) {
			return []Count{{Labels: []string{"deploy", "held"}, N: 3}}, nil
		},
		Nodes: func(context.Context) ([]Count, error) { return nil, errors.New("the database is away") },
	}, slog.New(slog.NewTextHandler(&log, nil)))
	m.Request("/v1/nodes/{node}", "GET", 200, time.Millisecond)
	m.Request("/v1/heartbeat/{node}", "POST", 202, time.Millisecond)
	m.Request("/v1/heartbeat/{node}", "POST", 400, time.Millisecond)
	m.Request("", "BREW", 404, time.Millisecond)
	m.Step("deploy", "write image", "done", time.Minute)
	m.Claimed(false)
	m.Claimed(true)
	m.Fenced()
	m.Polled("met", 20*time.Millisecond)
	m.BMC("redfish", "set power", "unavailable", time.Second)
	m.Transaction("write", time.Millisecond, nil)
	m.Vendordata("roles", "asked", time.Second)
	got := scrape(t, m)
	for _, want := range []string{
		`ingot_build_info{version="1.2.3"} 1`,
		`ingot_api_request_seconds_count{method="GET",route="/v1/nodes/{node}",status="200"} 1`,
		`ingot_api_request_seconds_count{method="other",route="none",status="404"} 1`,
		`ingot_agent_heartbeats_total{result="ok"} 1`,
		`ingot_agent_heartbeats_total{result="failed"} 1`,
		`ingot_step_seconds_bucket{outcome="done",plan="deploy",step="write image",le="60"} 1`,
		"ingot_operation_claims_total 2",
		"ingot_operation_takeovers_total 1",
		"ingot_operation_fenced_total 1", `ingot_agent_polls_total{outcome="met"} 1`, `ingot_agent_poll_lag_seconds_bucket{le="0.025"} 1`,
		`ingot_bmc_call_seconds_count{call="set power",driver="redfish",result="unavailable"} 1`,
		`ingot_store_transaction_seconds_count{kind="write",result="ok"} 1`,
		`ingot_vendordata_target_seconds_count{outcome="asked",target="roles"} 1`,
		`ingot_operations_live{plan="deploy",state="held"} 3`,
		"process_resident_memory_bytes",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "ingot_nodes{") || !strings.Contains(log.String(), "the database is away") {
		t.Errorf("a database that is away: %s", log.String())
	}
}

// TestNamesOfComposedStepsAreNoLabels: whoever names steps cannot make the process grow.
func TestNamesOfComposedStepsAreNoLabels(t *testing.T) {
	m := New("1", Gauges{}, slog.New(slog.DiscardHandler))
	for i := range 100 {
		m.Step("manual clean", fmt.Sprintf("clean step %d: deploy.made-up\n-%d: power off", i+1, i), "done", time.Second)
	}
	got := scrape(t, m)
	if want := `ingot_step_seconds_count{outcome="done",plan="manual clean",step="clean step"} 100`; !strings.Contains(got, want) || strings.Contains(got, "made-up") {
		t.Errorf("%s is missing, or more is there", want)
	}
}
