//go:build !otel

package telemetry

import (
	"context"

	"ingot/internal/fault"
)

// NewTracer gives a tracer that does nothing: this program was built without OpenTelemetry, which would make it half
// as large again. Wanting spans by configuration is an error then; by a variable, which may be there for every program of the
// host, only a warning.
func NewTracer(_ context.Context, o TraceOptions) (Tracer, error) {
	if o.Endpoint != "" {
		return nil, fault.New(fault.NotSupported, "[tracing] endpoint: this program was built without tracing; build it with -tags otel, or leave the option empty.")
	}
	if o.asked() {
		o.Log.Warn("a variable asks for traces, and this program was built without tracing (-tags otel)")
	}
	return none{}, nil
}
