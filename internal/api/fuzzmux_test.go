package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ingot/internal/wire"
)

// FuzzRequests: no query, version header or body makes any route panic or answer with an internal error, and every
// refusal has a sentence. The service and its database are real.
func FuzzRequests(f *testing.F) {
	for i, s := range []string{"limit=1&marker=x", "fields=uuid,name&detail=true", "target=power%20on", "sort_key=id&sort_dir=desc", "node=%00", "a=%zz&b;c", "shard=a,b&sharded=no"} {
		f.Add(uint16(i*7), s, "1.80", `{"target": "manage", "driver": "fake-hardware"}`)
	}
	f.Add(uint16(3), "", "latest", `[{"op": "add", "path": "/extra/a", "value": {}}]`)
	f.Add(uint16(9), "", "1.1, baremetal 2.0", `{"traits": ["CUSTOM_A"], "name": "a", "steps": [{}]}`)
	r := newRig(f, func(o *Options) { o.AgentOnPublic = true })
	h := New(r.s, Options{AgentOnPublic: true})
	id := r.node("web-1")
	table := allRoutes()
	f.Fuzz(func(t *testing.T, which uint16, query, version, body string) {
		if len(query)+len(version)+len(body) > 1<<14 || strings.ContainsAny(version, "\r\n\x00") {
			return
		}
		rt := table[int(which)%len(table)]
		path := fill(rt.path, id)
		q := httptest.NewRequest(rt.method, "http://127.0.0.1"+path, strings.NewReader(body))
		q.URL.RawQuery = query
		q.Header.Set(wire.HeaderVersion, version)
		q.Header.Set(wire.HeaderStandard, "baremetal "+version)
		q.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %s?%s at %q with %q: %d %s", rt.method, path, query, version, body, w.Code, w.Body)
		}
		if w.Code >= 400 && wire.ErrorText(w.Body.Bytes()) == "" {
			t.Errorf("%s %s?%s: %d without a sentence: %s", rt.method, path, query, w.Code, w.Body)
		}
	})
}

// fill puts something that is there, or could be, into a path's braces.
func fill(path, id string) string {
	parts := strings.Split(strings.TrimSuffix(path, "{$}"), "/")
	for i, p := range parts {
		switch p {
		case "{driver}":
			parts[i] = "fake-hardware"
		case "{hostname}", "{server}":
			parts[i] = "c1"
		case "{trait}":
			parts[i] = "CUSTOM_A"
		case "{indicator}":
			parts[i] = "led@chassis"
		default:
			if strings.HasPrefix(p, "{") {
				parts[i] = id
			}
		}
	}
	return strings.Join(parts, "/")
}
