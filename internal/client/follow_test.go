package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// The server breaks the stream off in the middle of a message, is away, and comes back: each event is told
// once, and the client asks from where it stood.
func TestFollowTakesUpWhatBroke(t *testing.T) {
	var asked []string
	answers := []func(http.ResponseWriter){
		func(w http.ResponseWriter) {
			fmt.Fprint(w, "retry: 2000\nevent: begin\nid: 41\ndata: {}\n\n: still here\n\nid: 42\ndata: {\"why\":\"one\"}\n\nid: 43\ndata: {\"why\":\"tw")
		},
		func(w http.ResponseWriter) { w.WriteHeader(503) },
		func(w http.ResponseWriter) {
			fmt.Fprint(w, "event: begin\nid: 42\ndata: {}\n\nid: 43\ndata: {\"why\":\"two\"}\n\nid: 44\ndata: {\"why\":\"three\"}\n\n")
		},
	}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("after"))
		w.Header().Set("Content-Type", "text/event-stream")
		answers[len(asked)-1](w)
	}))
	defer h.Close()
	c, err := New(h.URL, Options{Pause: func(context.Context, time.Duration) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	enough := errors.New("enough")
	lost := 0
	err = c.Follow(t.Context(), "n1", "now", Follower{
		Event: func(e metal.HistoryEvent) error {
			got = append(got, e.Why)
			if e.Why == "three" {
				return enough
			}
			return nil
		},
		Lost: func(error) { lost++ },
	})
	if !errors.Is(err, enough) || strings.Join(got, " ") != "one two three" || strings.Join(asked, " ") != "now 42 42" || lost != 2 {
		t.Errorf("%v; told %q, asked from %q, lost %d times", err, got, asked, lost)
	}
}

func TestFollowEndsWhereTheServerRefuses(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("node") == "old" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"events": []}`)
			return
		}
		http.Error(w, `{"error_message": "{\"faultstring\": \"Node x could not be found.\"}"}`, 404)
	}))
	defer h.Close()
	c, err := New(h.URL, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]fault.Kind{"x": fault.NotFound, "old": fault.NotSupported} {
		if err := c.Follow(t.Context(), node, "", Follower{Event: func(metal.HistoryEvent) error { return nil }}); fault.KindOf(err) != want {
			t.Errorf("%s: %v", node, err)
		}
	}
}

func FuzzReadStream(f *testing.F) {
	f.Add("id: 1\ndata: {}\n\n")
	f.Add(":\nid\ndata:a\ndata:b\n\nevent: x\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines := 0
		_ = readStream(strings.NewReader(text), func() { lines++ }, func(m message) error {
			if len(m.data) > len(text) || strings.ContainsAny(m.id, "\n") {
				t.Errorf("%+v", m)
			}
			return nil
		})
		if lines > len(text) {
			t.Errorf("%d lines of %d bytes", lines, len(text))
		}
	})
}
