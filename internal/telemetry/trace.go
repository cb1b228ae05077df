package telemetry

import (
	"context"
	"log/slog"
)

// TraceOptions say where spans go.
type TraceOptions struct {
	// Endpoint is the URL of an OTLP/HTTP collector, such as http://127.0.0.1:4318. Empty means what the variables
	// OTEL_EXPORTER_OTLP_ENDPOINT and OTEL_EXPORTER_OTLP_TRACES_ENDPOINT say, and none without them.
	Endpoint string
	Version  string       // of this program
	Server   string       // its name among those that share the database
	Log      *slog.Logger // what goes wrong on the way to the collector
	Getenv   func(string) string
}

// asked tells whether anybody wants spans.
func (o TraceOptions) asked() bool {
	return o.Endpoint != "" || o.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || o.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

// Kind is a span's part in a conversation.
type Kind int

const (
	Inside Kind = iota // work of our own
	Served             // a request that somebody made of us
	Called             // a request that we make of somebody
)

// Tracer makes spans. It is safe for concurrent use.
type Tracer interface {
	// Start begins a span below the one in ctx or, if there is none, below parent, a W3C traceparent ("" for a new
	// trace). The context has the span for those that come below it. Facts are keys and values in turn; they
	// are words of the program, ids, or templates, never a stranger's text.
	Start(ctx context.Context, parent, name string, kind Kind, facts ...string) (context.Context, Span)
	// Close sends what is left, until ctx ends.
	Close(ctx context.Context) error
}

// Span is something that takes time.
type Span interface {
	// Parent is the traceparent for what comes below this span elsewhere; "" if nobody traces.
	Parent() string
	// Name gives it a better name than it was begun with.
	Name(name string, facts ...string)
	// End ends it. failed is a word for how it failed, "" for well.
	End(failed string)
}

// none traces nothing.
type none struct{}

func (none) Start(ctx context.Context, _, _ string, _ Kind, _ ...string) (context.Context, Span) {
	return ctx, none{}
}
func (none) Close(context.Context) error { return nil }
func (none) Parent() string              { return "" }
func (none) Name(string, ...string)      {}
func (none) End(string)                  {}
