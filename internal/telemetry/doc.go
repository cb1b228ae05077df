// Package telemetry counts and traces what the other rooms tell: metrics for Prometheus and, in programs built
// with the tag otel, spans for OpenTelemetry. It is the only room that knows either library.
//
// The other rooms do not import it: they have hooks of a line or two (api.Options.Watch, conductor.Watcher,
// store's Watch), and cmd puts ours in. Without it they run as well. It is for numbers and spans, not for logs,
// and decides nothing. No label and no attribute is a name, an address or a text of a stranger: routes are
// templates, steps and plans are the program's own words, results are kinds of faults, and vendordata targets have the
// names of the configuration; so the number of series is bounded by both, not by nodes, and nothing here can be a secret.
//
// It never fails a request: a collector that is down costs spans and a line in the log.
package telemetry
