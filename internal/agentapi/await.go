package agentapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"ingot/internal/fault"
)

// How long a list of commands may be waited for: without a word of the caller's, and at most.
const (
	AwaitLimit   = 30 * time.Second
	LongestAwait = time.Minute
)

// maxStatus bounds what an agent says of itself, bytes.
const maxStatus = 64 << 10

// Await is Commands, but answers when the command that runs has ended, or after limit with it still running; at once if
// none runs. limit is rounded to seconds, at least one and at most LongestAwait; 0 is AwaitLimit. Upstream's agents
// answer such a request at once whatever runs: a caller must not ask again without a pause.
func (c *Client) Await(ctx context.Context, limit time.Duration) ([]Result, error) {
	if limit <= 0 {
		limit = AwaitLimit
	}
	limit = min(max(limit.Round(time.Second), time.Second), LongestAwait)
	ctx, cancel := context.WithTimeout(ctx, limit+c.limit)
	defer cancel()
	var list struct {
		Commands []Result `json:"commands"`
	}
	query := url.Values{"wait": {"true"}, "timeout": {strconv.Itoa(int(limit / time.Second))}}
	if err := c.call(ctx, http.MethodGet, query, "", nil, &list); err != nil {
		return nil, fmt.Errorf("await agent command: %w", err)
	}
	return list.Commands, nil
}

// Status is what an agent says of itself to whoever asks. StartedAt is seconds since 1970 by the machine's clock.
type Status struct {
	StartedAt float64 `json:"started_at"`
	Version   string  `json:"version"`
	// Instance is of this one start of the agent, and never of another, whatever the clock says; empty: an agent of another make.
	Instance string `json:"ingot_instance,omitempty"`
}

// Status asks whether an agent is there. The token is not sent. Errors as of Commands.
func (c *Client) Status(ctx context.Context) (Status, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	u := c.base.JoinPath("v1", "status")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Status{}, stripURL(err)
	}
	status, _, body, err := exchange(c.http, req, min(c.most, maxStatus))
	if err != nil {
		return Status{}, fmt.Errorf("agent status: %w", unanswered(u.Host, err))
	}
	if status != http.StatusOK {
		return Status{}, fmt.Errorf("agent status: %w", agentFault(status, body))
	}
	var s Status
	if err := json.Unmarshal(body, &s); err != nil {
		return Status{}, fault.Wrap(fault.Internal, err, "the agent at %s answered with something that is not its protocol", u.Host)
	}
	return s, nil
}
