package agentapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// ErrLocked: the control plane holds the node's lock (409, fault.Locked). Try again later.
var ErrLocked = errors.New("node is locked")

// TokenHeader carries a token that the boot medium gave: with another boot's the control plane refuses the
// lookup, and without one it tells little of the node. It is ours; upstream ignores it.
const TokenHeader = "X-Ingot-Agent-Token" //nolint:gosec // G101: the name of a header

// Microversions an agent asks for at most, and what it assumes of a server that does not say.
// Source: agent protocol reference §4.1.
const (
	lookupMinor    = 62
	heartbeatMinor = 68
	unknownMinor   = 31
)

// Caller speaks to a control plane. It is safe for concurrent use.
type Caller struct {
	http *http.Client

	mu    sync.Mutex
	bases []*url.URL // the one that worked last is first
	minor int        // 0: not known yet
}

// NewCaller makes a caller of the control plane at the comma-separated base URLs, tried in order. With
// caPEM every URL must be https and chain to it; without, https is verified against the system's roots.
// Errors are fault.Invalid.
func NewCaller(bases, caPEM string) (*Caller, error) {
	c := &Caller{}
	for base := range strings.SplitSeq(bases, ",") {
		u, transport, err := endpoint(strings.TrimSpace(base), caPEM)
		if err != nil {
			return nil, err
		}
		c.bases = append(c.bases, u)
		// One transport serves all: they differ at most in TLS, which http does not use.
		if c.http == nil || transport.TLSClientConfig != nil {
			c.http = thin(transport)
		}
	}
	return c, nil
}

// Close drops idle connections.
func (c *Caller) Close() { c.http.CloseIdleConnections() }

// Bases gives the hosts, the one that worked last first; for finding the address that faces them.
func (c *Caller) Bases() []*url.URL {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*url.URL(nil), c.bases...)
}

// LookupQuery says which node is asking. With NodeUUID the server uses only that.
type LookupQuery struct {
	NodeUUID  string
	Addresses []string      // MACs
	Token     secret.Secret // of the boot medium; may be empty
}

// Lookup asks which node this is. The time is the server's, from its Date header; zero if it sent none.
// Errors: ErrLocked; fault.Unavailable when nobody answered; a *fault.Error with the server's words.
func (c *Caller) Lookup(ctx context.Context, q LookupQuery) (LookupAnswer, time.Time, error) {
	query := url.Values{}
	if q.NodeUUID != "" {
		query.Set("node_uuid", q.NodeUUID)
	}
	if len(q.Addresses) > 0 {
		query.Set("addresses", strings.ToLower(strings.Join(q.Addresses, ",")))
	}
	header := c.version(ctx, lookupMinor)
	if !q.Token.Empty() {
		header.Set(TokenHeader, q.Token.Expose())
	}
	status, got, body, err := c.send(ctx, http.MethodGet, "v1/lookup", query, header, nil)
	if err != nil {
		return LookupAnswer{}, time.Time{}, fmt.Errorf("look up node: %w", err)
	}
	when, _ := http.ParseTime(got.Get("Date")) // zero when absent or odd: the caller has other clocks
	if status != http.StatusOK {
		return LookupAnswer{}, when, fmt.Errorf("look up node: %w", apiFault(status, body))
	}
	var a LookupAnswer
	if err := json.Unmarshal(body, &a); err != nil {
		return LookupAnswer{}, when, fault.Wrap(fault.Internal, err, "the lookup answer is not the protocol's")
	}
	if a.Node.UUID == "" || a.Config.HeartbeatTimeout <= 0 {
		return LookupAnswer{}, when, fault.New(fault.Internal, "the lookup answer names no node or no heartbeat time-out")
	}
	return a, when, nil
}

// Heartbeat tells that the agent of node is alive. Fields that the server is too old for are left out.
// Errors as of Lookup.
func (c *Caller) Heartbeat(ctx context.Context, node string, h Heartbeat) error {
	header := c.version(ctx, heartbeatMinor)
	body := map[string]string{"callback_url": h.CallbackURL}
	minor := minorOf(header)
	for _, f := range []struct {
		since      int
		key, value string
	}{{36, "agent_version", h.AgentVersion}, {62, "agent_token", h.AgentToken}, {68, "agent_verify_ca", h.AgentVerifyCA}} {
		if minor >= f.since && f.value != "" {
			body[f.key] = f.value
		}
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	status, _, answer, err := c.send(ctx, http.MethodPost, "v1/heartbeat/"+url.PathEscape(node), nil, header, raw)
	if err == nil && status != http.StatusAccepted {
		err = apiFault(status, answer)
	}
	if err != nil {
		return fmt.Errorf("heartbeat: %w", err)
	}
	return nil
}

const versionHeader = "X-OpenStack-Ironic-API-Version"

// version asks the server once what it speaks and gives the header for at most limit.
func (c *Caller) version(ctx context.Context, limit int) http.Header {
	c.mu.Lock()
	minor := c.minor
	c.mu.Unlock()
	if minor == 0 {
		if minor = c.probe(ctx); minor != 0 {
			c.mu.Lock()
			c.minor = minor
			c.mu.Unlock()
		} else {
			minor = unknownMinor
		}
	}
	h := http.Header{}
	h.Set(versionHeader, "1."+strconv.Itoa(min(minor, limit)))
	return h
}

func minorOf(h http.Header) int {
	n, _ := strconv.Atoi(strings.TrimPrefix(h.Get(versionHeader), "1."))
	return n
}

// probe gives the newest minor version, 0 if the server does not say.
func (c *Caller) probe(ctx context.Context) int {
	status, _, body, err := c.send(ctx, http.MethodGet, "", nil, http.Header{}, nil)
	var root struct {
		Default struct {
			Version string `json:"version"`
		} `json:"default_version"`
	}
	if err != nil || status != http.StatusOK || json.Unmarshal(body, &root) != nil {
		return 0
	}
	rest, ok := strings.CutPrefix(root.Default.Version, "1.")
	minor, err := strconv.Atoi(rest)
	if !ok || err != nil || minor < 1 {
		return 0
	}
	return minor
}

// send tries each base URL until one answers.
func (c *Caller) send(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte) (int, http.Header, []byte, error) {
	var errs []error
	for i, base := range c.Bases() {
		u := *base.JoinPath(path)
		if path == "" {
			u = *base.JoinPath("/")
		}
		u.RawQuery = query.Encode()
		req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
		if err != nil {
			return 0, nil, nil, stripURL(err)
		}
		req.Header = header.Clone()
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json")
		status, got, answer, err := exchange(c.http, req, MaxBody)
		if err == nil {
			c.prefer(i)
			return status, got, answer, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", base.Host, err))
	}
	return 0, nil, nil, fault.Wrap(fault.Unavailable, errors.Join(errs...), "the control plane does not answer")
}

// prefer moves the i-th base to the front, if nobody did in between.
func (c *Caller) prefer(i int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bases[0], c.bases[i] = c.bases[i], c.bases[0]
}

// apiFault turns an HTTP error of the control plane into ours. Its body is {"error_message": X}, X an
// object or that object again as a JSON string. Source: agent protocol reference §4.1.
func apiFault(status int, body []byte) error {
	text := fmt.Sprintf("HTTP status %d", status)
	var outer struct {
		Message json.RawMessage `json:"error_message"`
	}
	if json.Unmarshal(body, &outer) == nil && len(outer.Message) > 0 {
		raw := outer.Message
		var quoted string
		if json.Unmarshal(raw, &quoted) == nil {
			raw = json.RawMessage(quoted)
		}
		var inner struct{ FaultString, Title string }
		if json.Unmarshal(raw, &inner) == nil && inner.FaultString+inner.Title != "" {
			text = printable(inner.FaultString + inner.Title)
		}
	}
	switch {
	case status == http.StatusConflict:
		return fault.Wrap(fault.Locked, ErrLocked, "%s", text)
	case status == http.StatusForbidden, status == http.StatusUnauthorized:
		return fault.New(fault.Forbidden, "%s", text)
	case status == http.StatusNotFound:
		return fault.New(fault.NotFound, "%s", text)
	case status == http.StatusServiceUnavailable:
		return fault.New(fault.Unavailable, "%s", text)
	case status < 500:
		return fault.New(fault.Invalid, "%s", text)
	}
	return fault.New(fault.Internal, "%s", text)
}
