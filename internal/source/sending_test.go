package source_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/source"
)

// TestABodyIsSentToNoOtherServer: a registry is told a refresh token in a body, which a 307 would have sent on.
func TestABodyIsSentToNoOtherServer(t *testing.T) {
	told := make(chan string, 1)
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		told <- string(b)
	}))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/here":
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
		}
	}))
	defer first.Close()
	client, err := source.Options{}.Client()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	for path, ok := range map[string]bool{"/elsewhere": false, "/here": true} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, first.URL+path, strings.NewReader("refresh_token=hunter2"))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err == nil {
			_ = answer.Body.Close()
		}
		if (err == nil) != ok || len(told) != 0 {
			t.Errorf("%s: %v, told %d times", path, err, len(told))
		}
		if kind, why := source.Failure(err); !ok && (kind != fault.Invalid || !strings.Contains(why, "body")) {
			t.Errorf("%s: %v %q", path, kind, why)
		}
	}
}
