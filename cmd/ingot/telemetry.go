package main

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"ingot/internal/conductor"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
	"ingot/internal/telemetry"
)

// watch puts counters and spans into the hooks of the rooms.
type watch struct {
	m *telemetry.Metrics
	t telemetry.Tracer
}

// closeTraces is how long the last spans may take to reach the collector.
const closeTraces = 3 * time.Second

func (s *server) newWatch(ctx context.Context) (*watch, error) {
	tracer, err := telemetry.NewTracer(ctx, telemetry.TraceOptions{Endpoint: strings.TrimRight(s.c.Tracing.Endpoint, "/"), Version: version(), Server: s.name, Log: s.log, Getenv: os.Getenv})
	if err != nil {
		return nil, err
	}
	s.onClose(func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTraces)
		defer cancel()
		if err := tracer.Close(end); err != nil {
			s.log.Warn("the last spans cannot be sent", "error", err)
		}
	})
	ask := func(f func(*store.Tx) ([]store.Count, error)) func(context.Context) ([]telemetry.Count, error) {
		return func(ctx context.Context) (out []telemetry.Count, err error) {
			err = s.db.Read(ctx, func(tx *store.Tx) error {
				counts, err := f(tx)
				for _, c := range counts {
					out = append(out, telemetry.Count{Labels: c.Values, N: c.N})
				}
				return err
			})
			return out, err
		}
	}
	w := &watch{t: tracer, m: telemetry.New(version(), telemetry.Gauges{Operations: ask((*store.Tx).CountOperations), Nodes: ask((*store.Tx).CountNodes),
		Slots: ask(s.countSlots), Conductors: s.countConductors}, s.log)}
	s.db.Watch(w.m.Transaction)
	return w, nil
}

func (s *server) countSlots(tx *store.Tx) ([]store.Count, error) {
	out, err := tx.CountSlots()
	limits := slotLimits(s.c.Slots)
	for _, slot := range metal.Slots {
		out = append(out, store.Count{Values: []string{string(slot), "limit"}, N: limits[slot]})
	}
	return out, err
}

func (s *server) countConductors(ctx context.Context) ([]telemetry.Count, error) {
	all, err := s.service.Conductors(ctx)
	n := map[bool]int{}
	for _, c := range all {
		n[c.Alive]++
	}
	var out []telemetry.Count
	for _, alive := range []bool{true, false} {
		out = append(out, telemetry.Count{Labels: []string{strconv.FormatBool(alive)}, N: n[alive]})
	}
	return out, err
}

// request is api.Options.Watch.
func (w *watch) request(r *http.Request) (context.Context, string, func(route string, status int)) {
	begun, method := time.Now(), r.Method
	ctx, span := w.t.Start(r.Context(), r.Header.Get("Traceparent"), "request", telemetry.Served)
	return ctx, span.Parent(), func(route string, status int) {
		w.m.Request(route, method, status, time.Since(begun))
		failed := ""
		if status >= 500 {
			failed = strconv.Itoa(status)
		}
		if route != "" {
			span.Name(method+" "+route, "http.request.method", method, "http.route", route, "http.response.status_code", strconv.Itoa(status))
		}
		span.End(failed)
	}
}

// Claimed, Fenced, Polled and Step make it a conductor.Watcher.
func (w *watch) Claimed(takenOver bool) { w.m.Claimed(takenOver) }

func (w *watch) Fenced() { w.m.Fenced() }

func (w *watch) Polled(outcome string, late time.Duration) { w.m.Polled(outcome, late) }

func (w *watch) Step(ctx context.Context, s conductor.StepRun) (context.Context, func(string, error)) {
	begun := time.Now()
	ctx, span := w.t.Start(ctx, s.Trace, s.Plan+": "+s.Step, telemetry.Inside, "ingot.plan", s.Plan, "ingot.step", s.Step, "ingot.attempt", strconv.Itoa(s.Attempt),
		"ingot.operation", s.Operation, "ingot.node", s.Node, "ingot.request", s.Request)
	return ctx, func(outcome string, err error) {
		w.m.Step(s.Plan, s.Step, outcome, time.Since(begun))
		span.Name(s.Plan+": "+s.Step, "ingot.outcome", outcome)
		span.End(kindOf(err))
	}
}

// bmc is a bmcWatch.
func (w *watch) bmc(ctx context.Context, driver, call string) (context.Context, func(error)) {
	begun := time.Now()
	ctx, span := w.t.Start(ctx, "", driver+": "+call, telemetry.Called, "ingot.driver", driver, "ingot.call", call)
	return ctx, func(err error) {
		failed := kindOf(err)
		w.m.BMC(driver, call, cmp.Or(failed, "ok"), time.Since(begun))
		span.End(failed)
	}
}

// metrics serves what is counted. It has a listener of its own, for those who scrape; it tells nothing of single
// nodes, so it may be on another address than the API.
func (s *server) metrics() http.Handler {
	m := http.NewServeMux()
	m.Handle("GET /metrics", s.watch.m.Handler())
	return m
}

// kindOf is how something failed in a word, "" for well. The text of an error stays out of spans: it may hold
// what a stranger sent.
func kindOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.KindOf(err).String()
}

// dumps are what an operator may ask of the process's inside. A dump of goroutines has addresses and numbers of
// arguments, no texts.
func (s *server) dumps() map[string]func() ([]byte, error) {
	return map[string]func() ([]byte, error){
		"metrics": s.watch.m.Text,
		"goroutines": func() ([]byte, error) {
			var b bytes.Buffer
			err := pprof.Lookup("goroutine").WriteTo(&b, 2)
			return b.Bytes(), err
		},
	}
}
