package main

import (
	"bytes"
	"context"
	"net/http"
	"runtime/pprof"
	"strconv"
	"time"

	"ingot/internal/conductor"
	"ingot/internal/fault"
	"ingot/internal/store"
	"ingot/internal/telemetry"
)

// watch puts the counters into the hooks of the rooms.
type watch struct{ m *telemetry.Metrics }

func (s *server) newWatch() *watch {
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
	w := &watch{telemetry.New(version(), telemetry.Gauges{Operations: ask((*store.Tx).CountOperations), Nodes: ask((*store.Tx).CountNodes),
		Conductors: s.countConductors}, s.log)}
	s.db.Watch(w.m.Transaction)
	return w
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
	return r.Context(), "", func(route string, status int) { w.m.Request(route, method, status, time.Since(begun)) }
}

// Claimed, Fenced and Step make it a conductor.Watcher.
func (w *watch) Claimed(takenOver bool) { w.m.Claimed(takenOver) }

func (w *watch) Fenced() { w.m.Fenced() }

func (w *watch) Step(ctx context.Context, s conductor.StepRun) (context.Context, func(string, error)) {
	begun := time.Now()
	return ctx, func(outcome string, _ error) { w.m.Step(s.Plan, s.Step, outcome, time.Since(begun)) }
}

// bmc is a bmcWatch.
func (w *watch) bmc(ctx context.Context, driver, call string) (context.Context, func(error)) {
	begun := time.Now()
	return ctx, func(err error) {
		result := "ok"
		if err != nil {
			result = fault.KindOf(err).String()
		}
		w.m.BMC(driver, call, result, time.Since(begun))
	}
}

// metrics serves what is counted. It has a listener of its own, for those who scrape; it tells nothing of single
// nodes, so it may be on another address than the API.
func (s *server) metrics() http.Handler {
	m := http.NewServeMux()
	m.Handle("GET /metrics", s.watch.m.Handler())
	return m
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
