package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

const (
	followPoll  = time.Second      // how often a stream looks for what other processes committed
	followBeat  = 15 * time.Second // how often a quiet stream says that it lives: proxies cut what is silent for a minute
	followAgain = 2 * time.Second  // when a client that lost the stream asks again
)

// events is the feed of one node, allEvents that of all or of the node given by ?node=.
func (c *call) events() (answer, error)    { return c.feed(c.node()) }
func (c *call) allEvents() (answer, error) { return c.feed(c.param("node")) }

// feed answers {"events": [metal.HistoryEvent], "next": "…"}, those after the one named by after; next is the
// after of the next page. With "Accept: text/event-stream" the page never ends: see follow.
func (c *call) feed(node string) (answer, error) {
	page, err := paging[wire.HistoryEntry](c, nil)
	if err != nil {
		return answer{}, err
	}
	if node != "" && !wire.IsIdent(node) {
		return answer{}, invalid("Expected UUID or name for node.")
	}
	q := ops.FeedQuery{Node: node, After: c.param("after"), Limit: page.Limit}
	c.w.Header().Set("Vary", "Accept")
	if strings.Contains(c.r.Header.Get("Accept"), "text/event-stream") && c.r.Method == http.MethodGet {
		if last := c.r.Header.Get("Last-Event-ID"); last != "" { // the client was here before: it stands there now
			q.After = last
		}
		return c.follow(q)
	}
	found, err := c.s.Feed(c.r.Context(), c.caller(), q)
	if err != nil {
		return answer{}, err
	}
	if found.Events == nil {
		found.Events = []metal.HistoryEvent{}
	}
	return answer{status: http.StatusOK, json: map[string]any{"events": found.Events, "next": found.Next}}, nil
}

// follow sends events as they are committed, as server-sent events: the id of each is the place to go on from,
// the data metal.HistoryEvent. The first message, named "begin", has only an id: a client that loses the stream
// before anything happened knows where it stood. Each client has this goroutine and nothing else: one that
// does not read is left behind by the write's deadline, and nobody waits for it.
//
// Source: HTML Living Standard, 9.2 Server-sent events.
func (c *call) follow(q ops.FeedQuery) (answer, error) {
	select {
	case c.followers <- struct{}{}:
		defer func() { <-c.followers }()
	default:
		return answer{}, fault.New(fault.Unavailable, "Too many clients follow the events of this server; try again later, or ask for pages.")
	}
	ctx := c.whole.Context()
	changed := c.s.Changed()
	q.Limit = min(q.Limit, 100) // what one write holds
	page, err := c.s.Feed(ctx, c.caller(), ops.FeedQuery{Node: q.Node, After: q.After, Limit: q.Limit})
	if err != nil {
		return answer{}, err
	}
	s := stream{c: c, control: http.NewResponseController(c.w)}
	_ = s.control.SetReadDeadline(time.Time{}) // ServeHTTP's was for a request that ends
	h := c.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep the messages until there are many
	c.w.WriteHeader(http.StatusOK)
	over := answer{status: http.StatusOK, sent: true}
	if s.begin(page.From) != nil {
		return over, nil
	}
	poll, beat := time.NewTicker(followPoll), time.NewTicker(followBeat)
	defer poll.Stop()
	defer beat.Stop()
	for {
		if err := s.events(page.Events); err != nil {
			c.o.Log.Info("a client that follows events was left behind", "request", c.id, "from", c.r.RemoteAddr, "error", err)
			return over, nil
		}
		q.After = page.Next
		if len(page.Events) < q.Limit && !c.awaitMore(s, changed, poll.C, beat.C) {
			return over, nil
		}
		changed = c.s.Changed()
		if page, err = c.more(ctx, q); err != nil {
			if ctx.Err() == nil {
				c.o.Log.Warn("the feed of events cannot be read", "request", c.id, "error", err)
			}
			return over, nil // the client asks again, and then is told
		}
	}
}

// more reads on. What is to be sent is read with the rights of this moment, which are asked for only then: an idle stream costs
// one look at the history.
func (c *call) more(ctx context.Context, q ops.FeedQuery) (ops.FeedPage, error) {
	page, err := c.s.Feed(ctx, c.caller(), q)
	if err != nil || len(page.Events) == 0 {
		return page, err
	}
	if err := c.again(); err != nil {
		return ops.FeedPage{}, err
	}
	return c.s.Feed(ctx, c.caller(), q)
}

// awaitMore returns when there may be more events; false when the stream ends.
func (c *call) awaitMore(s stream, changed <-chan struct{}, poll, beat <-chan time.Time) bool {
	for {
		select {
		case <-c.whole.Context().Done():
			return false
		case <-c.o.Ending:
			return false
		case <-changed:
			return true
		case <-poll:
			return true
		case <-beat:
			if s.write([]byte(": still here\n\n")) != nil {
				return false
			}
		}
	}
}

// stream is the sending end of one client's server-sent events.
type stream struct {
	c       *call
	control *http.ResponseController
}

// begin says when to ask again, and where the reader stands.
func (s stream) begin(place string) error {
	return s.write([]byte("retry: " + strconv.FormatInt(followAgain.Milliseconds(), 10) + "\nevent: begin\nid: " + place + "\ndata: {}\n\n"))
}

func (s stream) events(list []metal.HistoryEvent) error {
	if len(list) == 0 {
		return nil
	}
	var b bytes.Buffer
	for _, e := range list {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		b.WriteString("id: " + strconv.FormatInt(e.Place, 10) + "\ndata: ")
		b.Write(data) // JSON has no line breaks
		b.WriteString("\n\n")
	}
	return s.write(b.Bytes())
}

func (s stream) write(b []byte) error {
	// An error here means the connection cannot have deadlines, as a test's recorder: then nothing blocks.
	_ = s.control.SetWriteDeadline(time.Now().Add(s.c.o.Patience))
	if _, err := s.c.w.Write(b); err != nil {
		return err
	}
	return s.control.Flush()
}
