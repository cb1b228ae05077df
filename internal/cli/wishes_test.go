package cli

import (
	"encoding/json"
	"net/http"
	"slices"

	"ingot/internal/metal"
	"ingot/internal/wire"
)

// wishes is what the server keeps of allocations and runbooks.
type wishes struct {
	allocations []*wire.Allocation
	runbooks    []*wire.Runbook
	vifs        []map[string]any
	traits      []string // of every node
}

// routes has one allocation decided each time it is looked at: for resource class "none" there is no node.
func (s *wishes) routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/allocations", func(w http.ResponseWriter, r *http.Request) {
		a := &wire.Allocation{UUID: "00000000-0000-4000-a000-000000000001", State: string(metal.Allocating), Traits: []string{}, CandidateNodes: []string{}}
		_ = json.NewDecoder(r.Body).Decode(a)
		s.allocations = append(s.allocations, a)
		w.WriteHeader(201)
		answer(w, a)
	})
	mux.HandleFunc("GET /v1/allocations", func(w http.ResponseWriter, r *http.Request) {
		out := []*wire.Allocation{}
		for _, a := range s.allocations {
			if q := r.URL.Query().Get("state"); q == "" || q == a.State {
				out = append(out, a)
			}
		}
		answer(w, map[string]any{"allocations": out})
	})
	mux.HandleFunc("GET /v1/allocations/{ident}", func(w http.ResponseWriter, r *http.Request) {
		for _, a := range s.allocations {
			if ident := r.PathValue("ident"); a.UUID != ident && a.Name != ident {
				continue
			}
			if a.State = string(metal.Allocated); a.ResourceClass == "none" {
				a.State, a.LastError = string(metal.AllocationError), "Failed to process allocation "+a.UUID+": no node has resource class none."
			} else {
				a.NodeUUID = "00000000-0000-4000-8000-000000000002"
			}
			answer(w, a)
			return
		}
		refuse(w, 404, "Allocation could not be found.")
	})
	mux.HandleFunc("DELETE /v1/allocations/{ident}", func(w http.ResponseWriter, _ *http.Request) { s.allocations = nil; w.WriteHeader(204) })

	mux.HandleFunc("POST /v1/runbooks", func(w http.ResponseWriter, r *http.Request) {
		b := &wire.Runbook{UUID: "00000000-0000-4000-b000-000000000001"}
		_ = json.NewDecoder(r.Body).Decode(b)
		s.runbooks = append(s.runbooks, b)
		w.WriteHeader(201)
		answer(w, b)
	})
	mux.HandleFunc("GET /v1/runbooks", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]any{"runbooks": s.runbooks}) })
	mux.HandleFunc("GET /v1/runbooks/{ident}", func(w http.ResponseWriter, _ *http.Request) {
		if len(s.runbooks) == 0 {
			refuse(w, 404, "Runbook could not be found.")
			return
		}
		answer(w, s.runbooks[0])
	})
	mux.HandleFunc("PUT /v1/runbooks/{ident}/traits", func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewDecoder(r.Body).Decode(s.runbooks[0])
		w.WriteHeader(204)
	})
	mux.HandleFunc("DELETE /v1/runbooks/{ident}", func(w http.ResponseWriter, _ *http.Request) { s.runbooks = nil; w.WriteHeader(204) })
	mux.HandleFunc("GET /v1/deploy_templates/{ident}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, wire.DeployTemplate{Name: r.PathValue("ident"), Steps: []any{map[string]any{"interface": "raid", "step": "create_configuration", "args": map[string]any{}, "priority": 95}}})
	})

	mux.HandleFunc("GET /v1/nodes/{node}/traits", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"traits": append([]string{}, s.traits...)})
	})
	mux.HandleFunc("PUT /v1/nodes/{node}/traits", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Traits []string `json:"traits"`
		}
		_ = json.NewDecoder(r.Body).Decode(&body)
		s.traits = body.Traits
		w.WriteHeader(204)
	})
	mux.HandleFunc("PUT /v1/nodes/{node}/traits/{trait}", func(w http.ResponseWriter, r *http.Request) {
		s.traits = append(s.traits, r.PathValue("trait"))
		w.WriteHeader(204)
	})
	mux.HandleFunc("DELETE /v1/nodes/{node}/traits/{trait}", func(w http.ResponseWriter, r *http.Request) {
		i := slices.Index(s.traits, r.PathValue("trait"))
		if i < 0 {
			refuse(w, 404, "Node has no trait "+r.PathValue("trait")+".")
			return
		}
		s.traits = slices.Delete(s.traits, i, i+1)
		w.WriteHeader(204)
	})
	mux.HandleFunc("GET /v1/nodes/{node}/vifs", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"vifs": append([]map[string]any{}, s.vifs...)})
	})
	mux.HandleFunc("POST /v1/nodes/{node}/vifs", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		_ = json.NewDecoder(r.Body).Decode(&body)
		if len(s.vifs) > 0 {
			refuse(w, 400, "Unable to attach VIF, not enough free physical ports.")
			return
		}
		s.vifs = append(s.vifs, body)
		w.WriteHeader(204)
	})
	mux.HandleFunc("DELETE /v1/nodes/{node}/vifs/{vif}", func(w http.ResponseWriter, _ *http.Request) { s.vifs = nil; w.WriteHeader(204) })
}
