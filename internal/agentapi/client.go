package agentapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// What a caller can test for with errors.Is. Both come inside a *fault.Error.
var (
	// ErrBusy: the agent is executing another command (fault.Locked). Nothing was started.
	ErrBusy = errors.New("agent is busy")
	// ErrConnection: no answer was received (fault.Unavailable). The command may have been started: look
	// at Commands before sending it again.
	ErrConnection = errors.New("no answer from the agent")
)

const (
	// MaxConfigDrive is how large a config drive may be in write_image: bytes of base64.
	MaxConfigDrive = 64 << 20
	// MaxBody bounds every body of the protocol, either way: a command with its config drive, the node and
	// what else there is; and an answer, because agents of another make echo the command's step whole.
	MaxBody = MaxConfigDrive + 4<<20
	// maxText bounds what of a stranger's error text is kept.
	maxText = 2 << 10
	// dialLimit is how long one TCP or TLS handshake may take; on the provisioning network both take
	// milliseconds, and a machine that is off answers nothing at all.
	dialLimit = 10 * time.Second
	// answerLimit is how long an agent may take for an answer that waits for no command: one whose machine lost
	// its power never answers, and nothing tells of that. Source: Ironic, [agent]command_timeout.
	answerLimit = time.Minute
)

// Client drives one agent. It is safe for concurrent use.
type Client struct {
	base  *url.URL
	token secret.Secret
	http  *http.Client
	limit time.Duration // answerLimit, but in tests
	most  int           // bytes of an answer

	before func(context.Context) error // asked before each request; nil: nobody
	holder Holder                      // told with each request; zero: nobody
	start  string                      // that each request is for; empty: whichever answers
}

// As has every request say for which operation and under which of its claims it is made. An agent of ours then
// refuses what older holders send. Call it before the client is used.
func (c *Client) As(h Holder) { c.holder = h }

// For has every request be for one start of the agent, which its Status names: an agent of ours that was started since refuses it
// (ErrStartedAnew). Call it before the client is used.
func (c *Client) For(instance string) { c.start = instance }

// Before has check asked immediately before each request is sent: its error is the request's, and nothing is sent.
// Call it before the client is used.
func (c *Client) Before(check func(context.Context) error) { c.before = check }

// AtMost bounds each answer, in bytes; without it MaxBody does. Call it before the client is used.
func (c *Client) AtMost(bytes int) { c.most = bytes }

// NewClient makes a client of the agent at base, e.g. https://192.0.2.10:9999, as the agent gave it in its
// heartbeat. caPEM is the agent's own certificate: base must be https then, the certificate must carry
// base's host, and TLS is 1.3. With an empty caPEM base must be http. Errors are fault.Invalid. No
// connection is made yet.
func NewClient(base string, token secret.Secret, caPEM string) (*Client, error) {
	u, transport, err := endpoint(base, caPEM)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "https" && caPEM == "" {
		return nil, fault.New(fault.Invalid, "the agent at %s gave no certificate to verify it by", u.Host)
	}
	if t := transport.TLSClientConfig; t != nil {
		t.MinVersion = tls.VersionTLS13
	}
	return &Client{base: u, token: token, http: thin(transport), limit: answerLimit, most: MaxBody}, nil
}

// Close drops idle connections. The client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Commands lists what the agent has been asked since it started, newest last. Errors: ErrConnection, or
// a *fault.Error with the agent's own words.
func (c *Client) Commands(ctx context.Context) ([]Result, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	var list struct {
		Commands []Result `json:"commands"`
	}
	if err := c.call(ctx, http.MethodGet, nil, "", nil, &list); err != nil {
		return nil, fmt.Errorf("list agent commands: %w", err)
	}
	return list.Commands, nil
}

// Run starts the command name ("<extension>.<command>") and, with wait, returns when it has ended. params
// is marshalled to a JSON object; nil means {}. A command that ran and failed is no error here: look at
// CommandStatus and CommandError. Errors: ErrBusy, ErrConnection, or a *fault.Error with the agent's own
// words. It is never sent twice. How long a command that is waited for may take is up to ctx.
func (c *Client) Run(ctx context.Context, name string, params any, wait bool) (Result, error) {
	return c.RunOnce(ctx, "", name, params, wait)
}

// RunOnce is Run under a key: an agent of ours that has seen a command under this key gives that one, and starts
// nothing. Others know no keys.
func (c *Client) RunOnce(ctx context.Context, key, name string, params any, wait bool) (Result, error) {
	if params == nil {
		params = struct{}{}
	}
	body, err := json.Marshal(map[string]any{"name": name, "params": params})
	if err != nil {
		return Result{}, fmt.Errorf("agent command %s: %w", name, err)
	}
	if len(body) > MaxBody {
		return Result{}, fault.New(fault.TooLarge, "agent command %s has %d MiB, and %d MiB are the limit: give a large config drive as a URL", name, len(body)>>20, MaxBody>>20)
	}
	if !wait {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.limit)
		defer cancel()
	}
	var r Result
	if err := c.call(ctx, http.MethodPost, url.Values{"wait": {strconv.FormatBool(wait)}}, key, body, &r); err != nil {
		return Result{}, fmt.Errorf("agent command %s: %w", name, err)
	}
	return r, nil
}

func (c *Client) call(ctx context.Context, method string, query url.Values, key string, body []byte, into any) error {
	if query == nil {
		query = url.Values{}
	}
	if !c.token.Empty() {
		query.Set("agent_token", c.token.Expose())
	}
	u := *c.base.JoinPath("v1", "commands/")
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return stripURL(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.holder != (Holder{}) {
		req.Header.Set(HolderHeader, c.holder.String())
	}
	if c.start != "" {
		req.Header.Set(InstanceHeader, c.start)
	}
	if key != "" {
		req.Header.Set(KeyHeader, key)
	}
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return err
		}
	}
	status, _, answer, err := exchange(c.http, req, c.most)
	switch {
	case err != nil:
		return unanswered(u.Host, err)
	case status != http.StatusOK:
		return agentFault(status, answer)
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fault.Wrap(fault.Internal, err, "the agent at %s answered with something that is not its protocol", u.Host)
	}
	return nil
}

// agentFault turns an HTTP error of an agent into ours. Source: agent protocol reference §6 and §15.
func agentFault(status int, body []byte) error {
	var f Fault
	if err := json.Unmarshal(body, &f); err != nil || f.FaultString == "" {
		f.FaultString = fmt.Sprintf("HTTP status %d", status)
	}
	text := printable(f.FaultString)
	for _, known := range []error{ErrSuperseded, ErrStartedAnew} {
		if status == http.StatusConflict && strings.Contains(text, known.Error()) {
			return fault.Wrap(fault.Conflict, known, "%s", text)
		}
	}
	if status == http.StatusConflict || strings.Contains(strings.ToLower(text), "agent is busy") {
		return fault.Wrap(fault.Locked, ErrBusy, "%s", text)
	}
	kind := fault.Internal
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		kind = fault.Forbidden
	case status == http.StatusNotFound:
		kind = fault.NotFound
	case status < 500:
		kind = fault.Invalid
	}
	return fault.New(kind, "the agent refused: %s", text)
}

// endpoint checks a base URL and makes the transport for it. TLS verifies against caPEM, or against the
// system's roots if that is empty.
func endpoint(base, caPEM string) (*url.URL, *http.Transport, error) {
	u, err := url.Parse(strings.TrimRight(base, "/"))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return nil, nil, fault.New(fault.Invalid, "not a base URL: it must be http(s)://host[:port][/path]")
	}
	t := &http.Transport{
		// No Proxy: machines being provisioned are reached directly, and a token belongs to no proxy.
		DialContext:         (&net.Dialer{Timeout: dialLimit}).DialContext,
		TLSHandshakeTimeout: dialLimit,
		MaxConnsPerHost:     4,
		IdleConnTimeout:     90 * time.Second,
	}
	if u.Scheme == "http" {
		if caPEM != "" {
			return nil, nil, fault.New(fault.Invalid, "a certificate was given for %s, which is not https", u.Host)
		}
		return u, t, nil
	}
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if caPEM != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(caPEM)) {
			return nil, nil, fault.New(fault.Invalid, "the certificate for %s is not PEM", u.Host)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return u, t, nil
}

// thin makes a client that follows no redirect: a token must not be carried to another place.
func thin(t *http.Transport) *http.Client {
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// exchange sends req and reads the whole answer, at most that many bytes. Its errors never hold the URL.
func exchange(c *http.Client, req *http.Request, most int) (status int, header http.Header, body []byte, err error) {
	resp, err := c.Do(req)
	if err != nil {
		return 0, nil, nil, stripURL(err)
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, int64(most)+1))
	if err != nil {
		return 0, nil, nil, stripURL(err)
	}
	if len(body) > most {
		return 0, nil, nil, fmt.Errorf("answer is larger than %d KiB", most>>10)
	}
	return resp.StatusCode, resp.Header, body, nil
}

// stripURL drops the URL that net/http puts into its errors: the query holds the token.
func stripURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return fmt.Errorf("%s: %w", strings.ToUpper(u.Op), u.Err)
	}
	return err
}

// printable makes a stranger's text safe for a log line and an answer.
func printable(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}
