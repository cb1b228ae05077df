package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// DefaultEndpoint is where a server without flags listens.
const DefaultEndpoint = "http://127.0.0.1:6385"

// Microversion is what every request asks for: the newest this client was written against.
var Microversion = wire.Version(wire.MaxMinor)

// scopeHeader chooses what a user with several projects acts for. It is identity.ScopeHeader, which this room may not name.
const scopeHeader = "X-Ingot-Scope"

const (
	// CallLimit ends one request, its body included. The server waits some seconds for a BMC before it
	// answers validate and boot device; a list of ten thousand nodes takes less.
	CallLimit = 90 * time.Second
	// LongestPause is the longest Retry-After that is waited for; beyond it the caller decides.
	LongestPause = 10 * time.Second

	firstPause   = 500 * time.Millisecond
	defaultTries = 4
	answerLimit  = 32 << 20 // bytes of one JSON answer: a page of 1,000 detailed nodes is about 5 MiB
	errorLimit   = 64 << 10 // bytes of an error body
	drainLimit   = 64 << 10 // bytes read away so that a connection can be used again
)

// Options change how a Client works; the zero value is right for most.
type Options struct {
	HTTP      *http.Client                               // nil: one that follows no redirects
	User      string                                     // with a Password, for HTTP Basic
	Password  secret.Secret                              // of User
	Token     secret.Secret                              // of Keystone's, where there is no User
	Scope     string                                     // project to act for, or "system"; "" is the server's choice
	UserAgent string                                     // "": "ingot"
	Tries     int                                        // times a refused request is sent at most; 0: four
	Pause     func(context.Context, time.Duration) error // how to wait between them; nil: a timer
}

// Client speaks to one server. Safe for concurrent use.
type Client struct {
	base  *url.URL
	http  *http.Client
	login Options // only who logs in
	agent string
	tries int
	pause func(context.Context, time.Duration) error
}

// New makes a client for endpoint, an http or https URL with or without a trailing /v1. It does not
// connect. Fails with fault.Invalid if endpoint is no such URL.
func New(endpoint string, o Options) (*Client, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fault.New(fault.Invalid, "the endpoint %q is not a URL like %s", endpoint, DefaultEndpoint)
	}
	if u.User != nil {
		return nil, fault.New(fault.Invalid, "the endpoint must not hold a user name or password")
	}
	u.Path = strings.TrimSuffix(strings.TrimSuffix(u.Path, "/"), "/v1")
	u.RawQuery, u.Fragment = "", ""
	c := &Client{base: u, http: o.HTTP, login: o, agent: o.UserAgent, tries: o.Tries, pause: o.Pause}
	if c.http == nil {
		c.http = &http.Client{CheckRedirect: NoRedirects}
	}
	if c.agent == "" {
		c.agent = "ingot"
	}
	if c.tries <= 0 {
		c.tries = defaultTries
	}
	if c.pause == nil {
		c.pause = wait
	}
	return c, nil
}

// NoRedirects is for HTTP clients of New: what a request carries is for the endpoint and nobody else.
func NoRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Endpoint is the server's URL, without a trailing slash.
func (c *Client) Endpoint() string { return c.base.String() }

// call is one request and where its answer goes.
type call struct {
	method string
	path   string // below the endpoint, segments already escaped
	query  url.Values
	body   any       // nil: none; encoded by encode.go
	out    any       // nil: the answer's body is not looked at
	sink   io.Writer // takes the body as it comes, instead of out
	limit  int64     // bytes of the answer; 0: answerLimit
}

// do sends k until it is answered, fails, or has been tried often enough.
func (c *Client) do(ctx context.Context, k call) error {
	body, err := encode(k.body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, CallLimit)
	defer cancel()
	for try := 1; ; try++ {
		err := c.once(ctx, k, body)
		if err == nil || try >= c.tries {
			return err
		}
		after, again := retryAfter(k.method, err, firstPause<<(try-1))
		if !again || after > LongestPause {
			return err
		}
		if c.pause(ctx, after) != nil {
			return err // the refusal says more than the end of our patience
		}
	}
}

func (c *Client) once(ctx context.Context, k call, body []byte) error {
	req, err := c.request(ctx, k, body)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return c.lost(ctx, err)
	}
	defer func() {
		_, _ = io.CopyN(io.Discard, resp.Body, drainLimit)
		_ = resp.Body.Close()
	}()
	if resp.StatusCode >= 300 {
		return refused(resp)
	}
	return c.take(ctx, k, resp.Body)
}

// request makes the HTTP request of a call.
func (c *Client) request(ctx context.Context, k call, body []byte) (*http.Request, error) {
	u := *c.base
	u.RawPath = u.EscapedPath() + k.path
	path, err := url.PathUnescape(u.RawPath)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", k.path, err)
	}
	u.Path, u.RawQuery = path, k.query.Encode()
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, u.String(), r)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set(wire.HeaderVersion, Microversion)
	switch l := c.login; {
	case l.User != "":
		req.SetBasicAuth(l.User, l.Password.Expose())
	case !l.Token.Empty():
		req.Header.Set("X-Auth-Token", l.Token.Expose())
	}
	if c.login.Scope != "" {
		req.Header.Set(scopeHeader, c.login.Scope)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// take moves a good answer to where the call wants it.
func (c *Client) take(ctx context.Context, k call, body io.Reader) error {
	limit := k.limit
	if limit == 0 {
		limit = answerLimit
	}
	r := &bounded{r: body, left: limit + 1}
	switch {
	case k.sink != nil:
		if _, err := io.Copy(k.sink, r); err != nil {
			return c.broken(ctx, err)
		}
	case k.out != nil:
		d := json.NewDecoder(r)
		d.UseNumber()
		if err := d.Decode(k.out); err != nil {
			return c.broken(ctx, err)
		}
	}
	return nil
}

// lost explains a request without an answer.
func (c *Client) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(fault.Unavailable, ctx.Err(), "no answer from %s in time", c.Endpoint())
	}
	said := "no server answers at %s"
	if cert := (*tls.CertificateVerificationError)(nil); errors.As(err, &cert) {
		said = "the certificate of the server at %s is not trusted"
	}
	return fault.Wrap(fault.Unavailable, &Unreachable{Endpoint: c.Endpoint(), Cause: err}, said, c.Endpoint())
}

// broken explains an answer that could not be read to its end or understood.
func (c *Client) broken(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Unavailable, ctx.Err(), "the answer of %s did not end in time", c.Endpoint())
	case errors.Is(err, errTooLong):
		return fault.Wrap(fault.TooLarge, err, "the answer of %s is too long to be read", c.Endpoint())
	}
	return fault.Wrap(fault.Internal, err, "the answer of %s cannot be understood: is it an Ironic API?", c.Endpoint())
}

var errTooLong = errors.New("answer over the limit")

// bounded fails with the byte that makes left zero, where io.LimitReader would end quietly.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left <= 0 {
		return n, errTooLong
	}
	return n, err
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// seg escapes one path segment.
func seg(s string) string { return url.PathEscape(s) }
