package vswitch

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
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

const (
	tries      = 4
	firstPause = 100 * time.Millisecond
	longPause  = 5 * time.Second // of what a switch asks for with Retry-After
)

// client speaks the API.
type client struct {
	base      *url.URL
	tokenFile string
	http      *http.Client
	limit     time.Duration
}

func newClient(c Config) (*client, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("[vswitch] url: %w", err)
	}
	if u.Scheme != "https" && !loopback(u.Hostname()) {
		return nil, errors.New("[vswitch] url: a switch API that is not on this host must be https: whoever reads the token moves every machine")
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("[vswitch] cafile: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("[vswitch] cafile: %s has no certificate", c.CAFile)
		}
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		return nil, errors.New("[vswitch] cert_file and key_file go together")
	}
	if c.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("[vswitch] cert_file: %w", err)
		}
		t.Certificates = []tls.Certificate{cert}
	}
	return &client{base: u, tokenFile: c.TokenFile, limit: c.Timeout, http: &http.Client{
		// A redirect would take the token, and a change, elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{TLSClientConfig: t, MaxResponseHeaderBytes: 64 << 10, IdleConnTimeout: time.Minute}}}, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// refusal is an answer that is none of success.
type refusal struct {
	status int
	after  time.Duration
	problem
}

func (r *refusal) Error() string {
	return strings.TrimRight(fmt.Sprintf("%d %s: %s", r.status, r.Code, r.Message), ": ")
}

func (r *refusal) passing() bool {
	return r.status == http.StatusTooManyRequests || r.status >= 500 && r.status != http.StatusNotImplemented
}

// stale tells whether a change was refused since its port is not as it was.
func stale(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusPreconditionFailed
}

func (c *client) networks(ctx context.Context) ([]network, error) {
	body, err := c.do(ctx, http.MethodGet, "networks", nil, "", nil)
	if err != nil {
		return nil, c.explain(err, "list its networks")
	}
	list, err := parseNetworks(body)
	return list, c.explain(err, "list its networks")
}

func (c *client) port(ctx context.Context, s socket) (portState, error) {
	body, err := c.do(ctx, http.MethodGet, "port", s.query(), "", nil)
	if err != nil {
		return portState{}, c.explain(err, "show %s", s)
	}
	p, err := parsePort(body, s)
	return p, c.explain(err, "show %s", s)
}

// setPort changes a port that is still at a revision. The error is raw: stale asks it.
func (c *client) setPort(ctx context.Context, s socket, revision string, to setting) error {
	body := map[string]any{"network": nil, "owner": to.owner}
	if to.network != "" {
		body["network"] = to.network
	}
	_, err := c.do(ctx, http.MethodPut, "port", s.query(), revision, body)
	return err
}

// setPorts changes several ports as one. known is false where the switch has no such request.
func (c *client) setPorts(ctx context.Context, list []change) (known bool, err error) {
	var out []map[string]any
	for _, ch := range list {
		one := map[string]any{"switch_id": ch.at.Switch, "port_id": ch.at.Port, "revision": ch.revision, "network": nil, "owner": ch.to.owner}
		if ch.to.network != "" {
			one["network"] = ch.to.network
		}
		out = append(out, one)
	}
	_, err = c.do(ctx, http.MethodPost, "changes", nil, "", map[string]any{"changes": out})
	var r *refusal
	if errors.As(err, &r) && (r.status == http.StatusMethodNotAllowed || r.status == http.StatusNotImplemented || r.status == http.StatusNotFound && r.Code == "") {
		return false, nil
	}
	return true, err
}

// do sends a request until it is answered: each is safe to send twice, since a change names its revision.
func (c *client) do(ctx context.Context, method, path string, query url.Values, revision string, in any) ([]byte, error) {
	pause := firstPause
	for try := 1; ; try++ {
		body, err := c.once(ctx, method, path, query, revision, in)
		var r *refusal
		refused := errors.As(err, &r)
		if err == nil || try == tries || ctx.Err() != nil || refused && !r.passing() || !refused && !lost(err) {
			return body, err
		}
		wait := pause
		if refused && r.after > 0 {
			wait = min(r.after, longPause)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, err
		case <-t.C:
		}
		pause *= 2
	}
}

// lost tells whether the connection failed, for another reason than patience or trust.
func lost(err error) bool {
	var u *url.Error
	var cert *tls.CertificateVerificationError
	return errors.As(err, &u) && !u.Timeout() && !errors.As(err, &cert)
}

func (c *client) once(ctx context.Context, method, path string, query url.Values, revision string, in any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	u := c.base.JoinPath(path)
	u.RawQuery = query.Encode()
	var send io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), send)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if revision != "" {
		req.Header.Set("If-Match", `"`+revision+`"`)
	}
	token, err := c.token()
	if err != nil {
		return nil, err
	}
	if !token.Empty() {
		req.Header.Set("Authorization", "Bearer "+token.Expose())
	}
	if err := metal.Fence(ctx); err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	switch {
	case err != nil:
		return nil, &url.Error{Op: method, URL: path, Err: err} // cut off: as good as no answer
	case len(body) > maxReply:
		return nil, errTooLarge
	case resp.StatusCode/100 != 2:
		return nil, &refusal{status: resp.StatusCode, after: retryAfter(resp.Header.Get("Retry-After")), problem: parseProblem(body)}
	}
	return body, nil
}

func retryAfter(s string) time.Duration {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(min(n, 3600)) * time.Second
}

// token reads the bearer token, empty without a file.
func (c *client) token() (secret.Secret, error) {
	if c.tokenFile == "" {
		return secret.Secret{}, nil
	}
	b, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return secret.Secret{}, fault.Wrap(fault.Unavailable, err, "The token of the switch API cannot be read: look at [vswitch] token_file.")
	}
	token := strings.TrimSpace(string(b))
	if len(token) > 4096 || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return secret.Secret{}, fault.New(fault.Unavailable, "[vswitch] token_file does not hold one token of printable characters.")
	}
	return secret.New(token), nil
}

// explain makes a fault of what went wrong while something was asked of the switch.
func (c *client) explain(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	var known *fault.Error
	if errors.As(err, &known) {
		return err
	}
	what := fmt.Sprintf(format, args...)
	var cert *tls.CertificateVerificationError
	var n net.Error
	var r *refusal
	switch {
	case errors.As(err, &r):
		return explainRefusal(r, what)
	case errors.As(err, &cert):
		return fault.Wrap(fault.Unavailable, err, "The certificate of the switch API at %s is not trusted: look at [vswitch] cafile.", c.base.Host)
	case errors.Is(err, errForm), errors.Is(err, errTooLarge):
		return fault.Wrap(fault.Unavailable, err, "The switch API was asked to %s and gave an answer that is none: look at what serves %s.", what, c.base.Host)
	case errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &n) && n.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, err, "The switch API at %s took too long to %s.", c.base.Host, what)
	case lost(err):
		return fault.Wrap(fault.Unavailable, err, "The switch API at %s cannot be reached to %s.", c.base.Host, what)
	}
	return err
}

func explainRefusal(r *refusal, what string) error {
	said := ""
	if r.Message != "" {
		said = " It says: " + r.Message
	}
	switch r.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fault.Wrap(fault.Unavailable, r, "The switch API does not let us %s: look at [vswitch] token_file and cert_file.%s", what, said)
	case http.StatusNotFound, http.StatusBadRequest, http.StatusUnprocessableEntity:
		return fault.Wrap(fault.Invalid, r, "The switch API cannot %s: it does not know the port or the network.%s", what, said)
	case http.StatusConflict, http.StatusPreconditionFailed:
		return fault.Wrap(fault.Conflict, r, "The switch API refused to %s: somebody else uses or changes the port.%s", what, said)
	}
	return fault.Wrap(fault.Unavailable, r, "The switch API could not %s.%s", what, said)
}
