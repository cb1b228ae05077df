//go:build !otel

package telemetry

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// A program without tracing says so to whoever wants it, and works for the others.
func TestWithoutTracing(t *testing.T) {
	var log bytes.Buffer
	o := TraceOptions{Endpoint: "http://127.0.0.1:4318", Log: slog.New(slog.NewTextHandler(&log, nil)), Getenv: func(string) string { return "" }}
	if _, err := NewTracer(t.Context(), o); fault.KindOf(err) != fault.NotSupported || !strings.Contains(err.Error(), "-tags otel") {
		t.Errorf("%v", err)
	}
	o.Endpoint, o.Getenv = "", func(name string) string { return map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}[name] }
	tr, err := NewTracer(t.Context(), o)
	if err != nil || !strings.Contains(log.String(), "-tags otel") {
		t.Fatalf("%v, %s", err, log.String())
	}
	ctx, s := tr.Start(t.Context(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "request", Served)
	if ctx != t.Context() || s.Parent() != "" {
		t.Errorf("%q", s.Parent())
	}
	s.Name("x")
	s.End("")
	if err := tr.Close(ctx); err != nil {
		t.Error(err)
	}
}
