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
