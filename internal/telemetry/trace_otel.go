//go:build otel

package telemetry

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// NewTracer makes a tracer that sends to a collector, or one that does nothing if nobody asks for spans. A collector that
// is away is no error: spans are kept for a while, then dropped.
func NewTracer(ctx context.Context, o TraceOptions) (Tracer, error) {
	if !o.asked() {
		return none{}, nil
	}
	var where []otlptracehttp.Option // empty: the library reads the variables
	if o.Endpoint != "" {
		where = append(where, otlptracehttp.WithEndpointURL(o.Endpoint+"/v1/traces"))
	}
	exporter, err := otlptracehttp.New(ctx, where...)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Log.Warn("spans cannot be sent", "error", err) }))
	about := resource.NewSchemaless(attribute.String("service.name", "ingot"), attribute.String("service.version", o.Version),
		attribute.String("service.instance.id", o.Server))
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return &tracer{p, p.Tracer("ingot")}, nil
}

type tracer struct {
	provider *sdk.TracerProvider
	spans    trace.Tracer
}

var kinds = map[Kind]trace.SpanKind{Inside: trace.SpanKindInternal, Served: trace.SpanKindServer, Called: trace.SpanKindClient}

func (t *tracer) Start(ctx context.Context, parent, name string, kind Kind, facts ...string) (context.Context, Span) {
	if parent != "" && !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": parent})
	}
	ctx, s := t.spans.Start(ctx, name, trace.WithSpanKind(kinds[kind]), trace.WithAttributes(attributes(facts)...))
	return ctx, &span{s}
}

func (t *tracer) Close(ctx context.Context) error { return t.provider.Shutdown(ctx) }

type span struct{ trace.Span }

func (s *span) Parent() string {
	c := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(trace.ContextWithSpan(context.Background(), s.Span), c)
	return c["traceparent"]
}

func (s *span) Name(name string, facts ...string) {
	s.SetName(name)
	s.SetAttributes(attributes(facts)...)
}

func (s *span) End(failed string) {
	if failed != "" {
		s.SetStatus(codes.Error, failed)
	}
	s.Span.End()
}

func attributes(facts []string) []attribute.KeyValue {
	var out []attribute.KeyValue
	for i := 0; i+1 < len(facts); i += 2 {
		if facts[i+1] != "" {
			out = append(out, attribute.String(facts[i], facts[i+1]))
		}
	}
	return out
}
