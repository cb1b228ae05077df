package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

const (
	// silence ends a stream that says nothing, not even that it lives: the server beats every 15 s.
	silence = 60 * time.Second
	// eventLimit is bytes of one message of a stream.
	eventLimit = 1 << 20

	followPause    = 500 * time.Millisecond // before the first try to take a lost stream up again; it doubles
	followPauseMax = 10 * time.Second
)

// Follower is told what happens while events are followed. Event gets each event once, in order; an error
// from it ends the following. Lost, if not nil, is told when the stream broke and is taken up again.
type Follower struct {
	Event func(metal.HistoryEvent) error
	Lost  func(err error)
}

// Follow gives the events after a place as they happen, until ctx ends (then nil), f fails or the server
// refuses. node "" is all nodes; after is a place, an event's UUID, "start" or "now". A stream that breaks is
// taken up again where it ended, for as long as it takes.
func (c *Client) Follow(ctx context.Context, node, after string, f Follower) error {
	pause := followPause
	for {
		at, err := c.followOnce(ctx, node, after, f.Event)
		if at != after {
			after, pause = at, followPause
		}
		var stop *stopped
		if errors.As(err, &stop) {
			return stop.err
		}
		if ctx.Err() != nil {
			return nil
		}
		var r *Refusal
		if errors.As(err, &r) && fault.KindOf(err) != fault.Unavailable && fault.KindOf(err) != fault.Internal {
			return err
		}
		if f.Lost != nil {
			f.Lost(err)
		}
		if c.pause(ctx, pause) != nil {
			return nil
		}
		pause = min(2*pause, followPauseMax)
	}
}

// stopped is an error of the reader's own.
type stopped struct{ err error }

func (s *stopped) Error() string { return s.err.Error() }

// followOnce reads one stream to its end and tells where it stood then.
func (c *Client) followOnce(ctx context.Context, node, after string, event func(metal.HistoryEvent) error) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := time.AfterFunc(silence, cancel)
	defer alive.Stop()
	q := url.Values{}
	if node != "" {
		q.Set("node", node)
	}
	if after != "" {
		q.Set("after", after)
	}
	req, err := c.request(ctx, call{method: http.MethodGet, path: "/v1/events", query: q}, nil)
	if err != nil {
		return after, err
	}
	req.Header.Set("Accept", "text/event-stream")
	resp, err := c.http.Do(req)
	if err != nil {
		return after, c.lost(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return after, refused(resp)
	}
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		return after, &stopped{fault.New(fault.NotSupported, "the server at %s has no stream of events", c.Endpoint())}
	}
	err = readStream(resp.Body, func() { alive.Reset(silence) }, func(m message) error {
		if m.id != "" {
			after = m.id
		}
		if m.event != "" || len(m.data) == 0 {
			return nil
		}
		var e metal.HistoryEvent
		if err := json.Unmarshal(m.data, &e); err != nil {
			return fmt.Errorf("event %s: %w", m.id, err)
		}
		if err := event(e); err != nil {
			return &stopped{err}
		}
		return nil
	})
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return after, err
}

// message is one message of a stream.
type message struct {
	id, event string
	data      []byte
}

// readStream reads server-sent events until the end or an error; heard is called for every line.
// Source: HTML Living Standard, 9.2.6 Interpreting an event stream.
func readStream(r io.Reader, heard func(), take func(message) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 16<<10), eventLimit)
	var m message
	var begun bool
	for lines.Scan() {
		heard()
		line := lines.Bytes()
		if len(line) == 0 {
			if begun {
				if err := take(m); err != nil {
					return err
				}
			}
			m, begun = message{}, false
			continue
		}
		key, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(key) {
		case "id":
			m.id, begun = string(value), true
		case "event":
			m.event, begun = string(value), true
		case "data":
			if len(m.data)+len(value) > eventLimit {
				return errTooLong
			}
			if m.data != nil {
				m.data = append(m.data, '\n')
			}
			m.data, begun = append(m.data, value...), true
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return errTooLong
	}
	return lines.Err()
}
