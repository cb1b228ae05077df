package api

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// streamed is one client that follows events.
type streamed struct {
	t     *testing.T
	body  io.ReadCloser
	lines *bufio.Scanner
	ids   []string
}

func (r *rig) followed(t *testing.T, path, last string) *streamed {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	q, err := http.NewRequestWithContext(ctx, get, r.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "text/event-stream")
	if last != "" {
		q.Header.Set("Last-Event-ID", last)
	}
	a, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Body.Close() })
	if a.StatusCode != 200 || a.Header.Get("Content-Type") != "text/event-stream" {
		b, _ := io.ReadAll(a.Body)
		t.Fatalf("%s: %s %s", path, a.Status, b)
	}
	lines := bufio.NewScanner(a.Body)
	lines.Buffer(nil, 1<<20)
	return &streamed{t: t, body: a.Body, lines: lines}
}

// next is the data of the next message and its id.
func (s *streamed) next() (id, data string) {
	s.t.Helper()
	for s.lines.Scan() {
		line := s.lines.Text()
		switch {
		case line == "" && data != "":
			s.ids = append(s.ids, id)
			return id, data
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "data: "):
			data = line[6:]
		}
	}
	s.t.Fatalf("the stream ended: %v", s.lines.Err())
	return "", ""
}

func (r *rig) happens(node, why string) {
	r.t.Helper()
	err := r.db.Write(r.t.Context(), func(tx *store.Tx) error {
		n, err := tx.Node(node)
		if err != nil {
			return err
		}
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "step", Who: "c1", Why: why})
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestFollowingGoesOnWhereItStood(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	r.node("web-2")
	s := r.followed(t, "/v1/events?after=now", "")
	begun, _ := s.next()
	if begun != "2" { // both nodes were enrolled
		t.Errorf("begun at %q", begun)
	}
	r.happens("web-1", "one")
	if id, data := s.next(); id != "3" || !strings.Contains(data, `"why":"one"`) {
		t.Errorf("%s %s", id, data)
	}
	s.body.Close()
	r.happens("web-2", "two")
	r.happens("web-1", "three")
	s = r.followed(t, "/v1/events?after=now", "3") // as an EventSource does: the same address, and where it stood
	s.next()
	for _, want := range []string{"two", "three"} {
		if _, data := s.next(); !strings.Contains(data, `"why":"`+want+`"`) {
			t.Errorf("%s; want %s", data, want)
		}
	}
	of := r.followed(t, "/v1/events?node=web-1&after=start", "")
	of.next()
	for _, want := range []string{"enrolled", "one", "three"} {
		if _, data := of.next(); !strings.Contains(data, want) {
			t.Errorf("%s; want %s", data, want)
		}
	}
	r.happens("web-2", "of the other")
	r.happens("web-1", "four")
	if _, data := of.next(); !strings.Contains(data, "four") {
		t.Errorf("%s; want four", data)
	}
}

func TestPagesOfEvents(t *testing.T) {
	r := newRig(t)
	r.node("web-1")
	for i := range 5 {
		r.happens("web-1", fmt.Sprint("number ", i))
	}
	var got []string
	for after := "start"; ; {
		page := r.do(get, "/v1/events?limit=2&after="+after, 0, nil).want(t, 200).json(t)
		events := page["events"].([]any)
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			got = append(got, e.(map[string]any)["why"].(string))
		}
		after = page["next"].(string)
	}
	if len(got) != 6 || got[5] != "number 4" {
		t.Errorf("%q", got)
	}
	r.do(get, "/v1/events?after=99", 0, nil).want(t, 400, "another database")
	r.do(get, "/v1/events?after=-1", 0, nil).want(t, 400, "Expected UUID")
	r.do(get, "/v1/events?node=nobody", 0, nil).want(t, 404, "nobody")
	r.do(post, "/v1/events", 80, `{"events": []}`).want(t, 400, "at least one event")
}

// A client that does not read is left behind, and its place is free for the next; the others get all.
func TestSlowFollowersAreLeftBehind(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxFollowers, o.Patience = 2, 50*time.Millisecond })
	r.node("web-1")
	slow, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := slow.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(slow, "GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n")
	if _, err := slow.Read(make([]byte, 15)); err != nil { // the stream has begun
		t.Fatal(err)
	}
	quick := r.followed(t, "/v1/events?after=now", "")
	quick.next()
	h := http.Header{"Accept": {"text/event-stream"}}
	r.send(get, r.url+"/v1/events", h, nil).want(t, 503, "Too many clients")
	long := strings.Repeat("x", 200<<10)
	for n := 0; !strings.Contains(r.log.String(), "left behind"); n++ { // more than the buffers of the two systems hold
		if n > 500 {
			t.Fatal("the slow client was never left behind")
		}
		r.happens("web-1", fmt.Sprint("number ", n, " ", long))
		if _, data := quick.next(); !strings.Contains(data, fmt.Sprint(`"number `, n, " ")) {
			t.Fatalf("the quick client got %.80s; want number %d", data, n)
		}
	}
	r.followed(t, "/v1/events?after=now", "").next()
}

func TestStreamsEndWithTheServer(t *testing.T) {
	ending := make(chan struct{})
	r := newRig(t, func(o *Options) { o.Ending = ending })
	r.node("web-1")
	s := r.followed(t, "/v1/events?after=now", "")
	s.next()
	close(ending)
	if s.lines.Scan() {
		t.Errorf("the stream went on: %q", s.lines.Text())
	}
}

// fickle lets everybody in until it does not.
type fickle struct{ shut atomic.Bool }

func (*fickle) Challenge() string { return "" }

func (f *fickle) Identify(context.Context, *http.Request) (policy.Caller, error) {
	if f.shut.Load() {
		return policy.Caller{}, fault.New(fault.Unauthenticated, "Log in.")
	}
	return policy.Caller{Trusted: true}, nil
}

// TestFollowersAreAskedAgain: a stream tells nothing to who was shut out after it began, and no more than the rules of the
// moment allow.
func TestFollowersAreAskedAgain(t *testing.T) {
	for name, shut := range map[string]func(*fickle, *atomic.Pointer[policy.Set]){
		"log-in": func(f *fickle, _ *atomic.Pointer[policy.Set]) { f.shut.Store(true) },
		"rules": func(_ *fickle, rules *atomic.Pointer[policy.Set]) {
			none, err := policy.New(policy.Defaults(), policy.File{Name: "p", Text: []byte(`{"ingot:events:list_all": "!", "ingot:events": "!"}`)})
			if err != nil {
				t.Fatal(err)
			}
			rules.Store(none)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var door fickle
			var rules atomic.Pointer[policy.Set]
			rules.Store(policy.BuiltIn())
			r := newRig(t, func(o *Options) { o.Identity, o.Rules = &door, rules.Load })
			r.node("n1")
			s := r.followed(t, "/v1/events?after=now", "")
			r.happens("n1", "before")
			for data := ""; !strings.Contains(data, "before"); {
				_, data = s.next()
			}
			shut(&door, &rules)
			r.happens("n1", "after")
			for s.lines.Scan() { // until the server ends it
				if strings.Contains(s.lines.Text(), "after") && strings.HasPrefix(s.lines.Text(), "data: ") {
					t.Errorf("who was shut out is told %s", s.lines.Text())
				}
			}
			if err := s.lines.Err(); err != nil {
				t.Errorf("the stream did not end by itself: %v", err)
			}
		})
	}
}
