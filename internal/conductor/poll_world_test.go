package conductor

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// polls has the agent of the world be asked, and call nobody.
func (w *world) polls() *world {
	w.t.Helper()
	u, err := url.Parse(w.agent.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		w.t.Fatal(err)
	}
	w.asked, w.host = true, &bootHost{w: w, pushed: map[string]agentapi.BootConfig{}}
	tune := w.tune
	w.tune = func(c *Config) {
		c.PollOnly, c.PollInterval, c.AgentPort = true, 1, port
		if tune != nil {
			tune(c)
		}
	}
	w.node.DriverInfo = w.node.DriverInfo.With(metal.AgentAddress, u.Hostname())
	w.save()
	return w
}

// round asks everybody who is due, once, and writes what came of it.
func (p *poller) round(ctx context.Context) error {
	rows, err := p.claim(ctx, pollBatch)
	for _, row := range rows {
		p.ask(ctx, row, time.Now())
		a := <-p.heard
		err = errors.Join(err, p.c.db.Write(ctx, func(tx *store.Tx) error { return p.c.note(tx, &a) }))
	}
	return err
}

// askAgents is what the conductor's poller does meanwhile.
func (w *world) askAgents(c *Conductor) {
	w.t.Helper()
	if !w.asked {
		return
	}
	_, a := w.state()
	w.mu.Lock()
	on := w.on && !w.silent
	if on && a != nil && (a.Boot == w.media[max(0, len(w.media)-len(a.Boot)):] || w.net != nil) {
		w.token = a.Token.Expose()
		if pair, err := (agentapi.Pair{Certificate: a.VerifyCA, Key: a.AgentKey}).TLS(); err == nil {
			w.shows = &pair
		}
	}
	w.mu.Unlock()
	if w.poller == nil || w.poller.c != c {
		if w.poller != nil {
			w.poller.forgetAll()
		}
		w.poller = newPoller(c)
	}
	if err := w.poller.round(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// TestPlansByPolling is TestPlans for agents that are only polled: plans of every kind that has one.
func TestPlansByPolling(t *testing.T) { onEach(t, testPlansByPolling) }

func testPlansByPolling(t *testing.T) {
	sample := []string{"deploy", "inspect", "clean by hand", "service", "rescue", "unrescue"}
	for _, j := range journeys {
		if !slices.Contains(sample, j.name) {
			continue
		}
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			var p deathPlaces
			p.each(t, func() map[string]int {
				w := j.start(newWorld(t).polls())
				defer w.close()
				w.heir = p.mortal
				w.run(w.conductor("c1", p.mortal()))
				j.arrived(t, w, p.label())
				return w.effects()
			})
		})
	}
}
