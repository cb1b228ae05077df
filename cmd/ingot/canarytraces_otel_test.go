//go:build otel

package main

import (
	"net/http/httptest"
	"strings"
)

// traces takes the server's traces, and gives what makes it send them; looked at when all is over.
func (g *aviary) traces() (environ []string) {
	c := &traced{names: map[string][]string{}}
	h := httptest.NewServer(c)
	g.t.Cleanup(h.Close)
	g.collected = func() {
		g.t.Helper()
		c.mu.Lock()
		defer c.mu.Unlock()
		g.clean("a trace", c.all.Bytes())
		if !strings.Contains(c.all.String(), "states/provision") {
			g.t.Error("the collector was sent nothing of the verbs")
		}
	}
	return []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + h.URL}
}
