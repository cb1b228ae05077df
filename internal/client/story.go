package client

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ingot/internal/metal"
)

// logLimit is how many bytes of one log are taken: a console that prints for an hour is far below it.
const logLimit = 256 << 20

func storyPath(ident string, rest ...string) string {
	return "/ingot/v1/nodes/" + seg(ident) + strings.Join(rest, "")
}

// Why tells what a node's operation is doing now.
func (c *Client) Why(ctx context.Context, ident string) (*metal.Why, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var w metal.Why
	return &w, c.get(ctx, storyPath(ident, "/why"), nil, &w)
}

// Security asks what the BMC of a node tells of its security.
func (c *Client) Security(ctx context.Context, ident string) (*metal.SecurityReport, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var r metal.SecurityReport
	return &r, c.get(ctx, storyPath(ident, "/security"), nil, &r)
}

// Operation tells of a node's live operation or, if there is none, of the last.
func (c *Client) Operation(ctx context.Context, ident string) (*metal.Operation, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var o metal.Operation
	return &o, c.get(ctx, "/v1/nodes/"+seg(ident)+"/operation", nil, &o)
}

// OperationQuery chooses among the live operations; empty fields do not choose.
type OperationQuery struct {
	State, WaitingFor, Holder string
}

// Operations lists the live operations of all nodes, oldest first.
func (c *Client) Operations(ctx context.Context, by OperationQuery) ([]metal.Operation, error) {
	q := url.Values{"limit": {strconv.Itoa(eventPage)}}
	for k, v := range map[string]string{"provision_state": by.State, "waiting_for": by.WaitingFor, "holder": by.Holder} {
		if v != "" {
			q.Set(k, v)
		}
	}
	out := []metal.Operation{}
	for range maxPages {
		var page struct {
			Operations []metal.Operation `json:"operations"`
		}
		if err := c.get(ctx, "/v1/operations", q, &page); err != nil {
			return nil, err
		}
		if len(page.Operations) == 0 {
			break
		}
		out = append(out, page.Operations...)
		q.Set("marker", out[len(out)-1].UUID)
	}
	return out, nil
}

// EventPage is one page of the events of all nodes, or of one: those after a place, an event's UUID or "start".
// Next is the after of the next page.
func (c *Client) EventPage(ctx context.Context, node, after string, limit int) (events []metal.HistoryEvent, next string, err error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}, "after": {after}}
	if node != "" {
		q.Set("node", node)
	}
	var page struct {
		Events []metal.HistoryEvent `json:"events"`
		Next   string               `json:"next"`
	}
	err = c.get(ctx, "/v1/events", q, &page)
	return page.Events, page.Next, err
}

// Doctor asks the server what it knows to be wrong with the set-up.
func (c *Client) Doctor(ctx context.Context) ([]metal.Finding, error) {
	var out struct {
		Findings []metal.Finding `json:"findings"`
	}
	err := c.get(ctx, "/v1/doctor", nil, &out)
	return out.Findings, err
}

// Dump writes what the server's process tells of its inside: "goroutines" or "metrics".
func (c *Client) Dump(ctx context.Context, name string, w io.Writer) error {
	return c.do(ctx, call{method: http.MethodGet, path: "/ingot/v1/debug/" + seg(name), sink: w, limit: logLimit})
}

// eventPage is how many events are asked for at once.
const eventPage = 500

// Events gives a node's history after the event named by UUID, oldest first; after "" is from the start.
func (c *Client) Events(ctx context.Context, ident, after string) ([]metal.HistoryEvent, error) {
	if ident == "" {
		return nil, missing("node")
	}
	out := []metal.HistoryEvent{}
	for range maxPages {
		q := url.Values{"limit": {strconv.Itoa(eventPage)}}
		if after != "" {
			q.Set("after", after)
		}
		var page struct {
			Events []metal.HistoryEvent `json:"events"`
		}
		if err := c.get(ctx, storyPath(ident, "/events"), q, &page); err != nil {
			return nil, err
		}
		if len(page.Events) == 0 { // a short page proves nothing: the server may cap pages below what we ask
			break
		}
		out = append(out, page.Events...)
		after = page.Events[len(page.Events)-1].UUID
	}
	return out, nil
}

// Log is a file kept for a node: what its agent logged, what its console printed. Size is bytes.
type Log struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"`
	Size int64     `json:"size"`
}

// Logs lists a node's logs.
func (c *Client) Logs(ctx context.Context, ident string) ([]Log, error) {
	if ident == "" {
		return nil, missing("node")
	}
	var out struct {
		Logs []Log `json:"logs"`
	}
	err := c.get(ctx, storyPath(ident, "/logs"), nil, &out)
	return out.Logs, err
}

// LogData writes one log to w. fault.NotFound if there is none of that name.
func (c *Client) LogData(ctx context.Context, ident, name string, w io.Writer) error {
	return c.do(ctx, call{method: http.MethodGet, path: storyPath(ident, "/logs/", seg(name)), sink: w, limit: logLimit})
}
