package api

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"ingot/internal/wire"
)

// FuzzQuery: whatever stands in the query of a list, the answer is the list or a refusal that says why.
func FuzzQuery(f *testing.F) {
	for i, s := range []string{"", "limit=2&sort_key=name&sort_dir=desc", "fields=uuid,links&detail=false", "marker=%31&limit=0", "associated=maybe", "fields=,,&fields=a",
		"shard=a,b", "provision_state=active&fault=none", "limit=99999999999999999999", "include_children=1&parent_node=x", "sort_key=id;drop", "a=%zz", "node=..%2f..&address=52:54"} {
		f.Add(uint8(i), uint8(i*9), s)
	}
	r := newRig(f)
	h := New(r.s, Options{})
	r.node("web-1")
	lists := []string{"/v1/nodes", "/v1/nodes/detail", "/v1/ports", "/v1/portgroups", "/v1/chassis", "/v1/volume/connectors", "/v1/volume/targets", "/v1/allocations",
		"/v1/runbooks", "/v1/deploy_templates", "/v1/inspection_rules", "/v1/drivers", "/v1/conductors", "/v1/shards", "/v1/operations", "/v1/events"}
	f.Fuzz(func(t *testing.T, which, minor uint8, query string) {
		if len(query) > 1<<12 {
			return
		}
		q := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+lists[int(which)%len(lists)], nil)
		q.URL.RawQuery = query
		q.Header.Set(wire.HeaderVersion, wire.Version(1+int(minor)%wire.MaxMinor))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if w.Code >= 500 || w.Code >= 400 && wire.ErrorText(w.Body.Bytes()) == "" {
			t.Errorf("%s?%s at 1.%d: %d %s", q.URL.Path, query, 1+int(minor)%wire.MaxMinor, w.Code, w.Body)
		}
	})
}
