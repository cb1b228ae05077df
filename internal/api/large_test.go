package api

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ingot/internal/ops"
)

// TestLargeBodiesShareABound: what is large of all bodies together has a limit, usual ones have none but their own, and what
// a request held is free when it is answered.
func TestLargeBodiesShareABound(t *testing.T) {
	r := newRig(t)
	h := New(ops.New(r.db, ops.Defaults(), slog.New(slog.DiscardHandler)), Options{}).(*api)
	ask := func(size, want int) {
		t.Helper()
		q := httptest.NewRequest(put, "/v1/nodes/none/states/provision", strings.NewReader(`{"target": "active", "configdrive": "`+strings.Repeat("A", size)+`"}`))
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("X-OpenStack-Ironic-API-Version", "1.80")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		if w.Code != want {
			t.Errorf("%d bytes: %d %s, want %d", size, w.Code, w.Body, want)
		}
	}
	full := 4 * int64(64<<20)
	if h.largeLimit != full {
		t.Fatalf("the limit is %d", h.largeLimit)
	}
	for _, taken := range []int64{0, full} {
		h.large.Store(taken)
		ask(maxBody/2, http.StatusNotFound)
		ask(5*maxBody/2, map[int64]int{0: http.StatusNotFound, full: http.StatusServiceUnavailable}[taken])
		if got := h.large.Load(); got != taken {
			t.Errorf("%d bytes are held after all was answered, want %d", got, taken)
		}
	}
}
