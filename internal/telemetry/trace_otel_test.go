//go:build otel

package telemetry

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is a place that takes spans, as OTLP/HTTP sends them.
type collector struct {
	mu    sync.Mutex
	spans map[string]*tracepb.Span // guarded by mu; by name
	wrong []string                 // guarded by mu
}

func (c *collector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	var d tracepb.TracesData // the request's message has the same form
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(b, &d) != nil {
		c.wrong = append(c.wrong, r.Method+" "+r.URL.Path)
		return
	}
	for _, rs := range d.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.spans[s.Name] = s
			}
		}
	}
}

// A request's traceparent is kept, another process goes on with it after a restart, and the spans of both are one
// trace.
func TestSpansOfTwoProcessesAreOneTrace(t *testing.T) {
	c := &collector{spans: map[string]*tracepb.Span{}}
	h := httptest.NewServer(c)
	defer h.Close()
	process := func() Tracer {
		tr, err := NewTracer(t.Context(), TraceOptions{Version: "1", Server: "s", Log: slog.New(slog.DiscardHandler),
			Endpoint: h.URL, Getenv: func(string) string { return "" }})
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	const caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	first := process()
	_, request := first.Start(t.Context(), caller, "request", Served)
	kept := request.Parent()
	request.Name("PUT /v1/nodes/{node}", "http.route", "/v1/nodes/{node}")
	request.End("")
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	second := process()
	in, step := second.Start(t.Context(), kept, "deploy: power on", Inside, "ingot.node", "n")
	_, call := second.Start(in, "", "redfish: set power", Called)
	call.End("unavailable")
	step.End("")
	if err := second.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r, s, b := c.spans["PUT /v1/nodes/{node}"], c.spans["deploy: power on"], c.spans["redfish: set power"]
	if r == nil || s == nil || b == nil || len(c.wrong) > 0 {
		t.Fatalf("%v, wrong %q", c.spans, c.wrong)
	}
	if string(s.ParentSpanId) != string(r.SpanId) || string(b.ParentSpanId) != string(s.SpanId) || string(b.TraceId) != string(r.TraceId) {
		t.Errorf("not one below the other: %v %v %v", r, s, b)
	}
	if !strings.Contains(kept, "0af7651916cd43dd8448eb211c80319c") || b.Status.GetMessage() != "unavailable" || r.Status.GetMessage() != "" {
		t.Errorf("%s, %v", kept, b.Status)
	}
}

func TestNobodyAsksForSpans(t *testing.T) {
	tr, err := NewTracer(t.Context(), TraceOptions{Getenv: func(string) string { return "" }})
	if err != nil || tr != (none{}) {
		t.Errorf("%v, %v", tr, err)
	}
}
