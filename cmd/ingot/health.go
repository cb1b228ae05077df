package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// readyLimit is how long the database may take to say that it is there.
const readyLimit = 3 * time.Second

// healthy puts /healthz and /readyz before a handler. They ask for no rights and tell nothing of any node.
func (s *server) healthy(h http.Handler) http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write([]byte("ok\n")) // whoever asked is gone
	})
	m.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyLimit)
		defer cancel()
		checks := s.ready(ctx)
		status, ready := http.StatusOK, true
		for _, said := range checks {
			if said != "ok" {
				status, ready = http.StatusServiceUnavailable, false
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"ready": ready, "checks": checks}) // strings only; whoever asked is gone
	})
	if h != nil {
		m.Handle("/", h)
	}
	return m
}

// ready says "ok" or what is wrong, for each part that this process has.
func (s *server) ready(ctx context.Context) map[string]string {
	out := map[string]string{"database": "ok"}
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		_, err := tx.Now()
		return err
	})
	if err != nil {
		s.log.Warn("not ready: the database does not answer", "error", err)
		out["database"] = "The database does not answer."
		return out
	}
	if s.roles.has(roleAgentAPI) {
		out["agents"] = "ok"
		if f := examineCertificate(s.agents); f.Level == metal.Fail {
			out["agents"] = f.Said
		}
	}
	if s.peer != nil {
		out["peer"] = "ok"
		if f := examinePeer(s.peer.Identity(), time.Now()); f.Level == metal.Fail {
			out["peer"] = f.Said
		}
	}
	if s.worker != nil {
		out["conductor"] = s.conductorReady(ctx)
	}
	return out
}

func (s *server) conductorReady(ctx context.Context) string {
	all, err := s.service.Conductors(ctx)
	if err != nil {
		said, ok := fault.PublicOf(err)
		if !ok {
			said = "The conductors cannot be listed."
		}
		return said
	}
	for _, c := range all {
		if c.Hostname != s.name {
			continue
		}
		if c.Alive {
			return "ok"
		}
		return "This conductor's last sign of life is too old: see the log for why it cannot write one."
	}
	return "This conductor has not registered."
}
