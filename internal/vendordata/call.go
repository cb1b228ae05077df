package vendordata

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"ingot/internal/fault"
	"ingot/internal/watched"
)

const (
	maxRedirects = 5
	maxHead      = 64 << 10
	maxRoots     = 4 << 20 // bytes of a file of certificates: a whole host's are 200 KiB
	// atOnce are requests to one target at the same time; more wait, as far as their time lasts.
	atOnce    = 64
	userAgent = "ingot-vendordata"
)

var (
	errSilent = errors.New("a target sent nothing for too long")
	errTotal  = errors.New("the time of all targets is over")
)

// caller sends requests to targets.
type caller struct {
	http   *http.Client
	signer Signer // nil: nobody
	silent time.Duration
	max    int
}

// newCaller makes a client without proxies of the environment, without redirects of its own, and without connections that
// are kept: the standard library prints what comes on an idle one, and a POST that meets a connection just closed may be sent twice.
func newCaller(c Config, o Options, log *slog.Logger) (*caller, error) {
	roots := func() *x509.CertPool { return nil } // those of this host
	if file := c.VendordataDynamicSSLCertfile; file != "" {
		f, err := watched.Open(file, maxRoots, log, parseRoots)
		if err != nil {
			return nil, fmt.Errorf("[api] vendordata_dynamic_ssl_certfile: %w", err)
		}
		roots = f.Get
	}
	connect := &net.Dialer{Timeout: c.VendordataDynamicConnectTimeout}
	secure := func(ctx context.Context, network, address string) (net.Conn, error) {
		d := tls.Dialer{NetDialer: connect, Config: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots(), GetClientCertificate: o.ClientCertificate}}
		ctx, cancel := context.WithTimeout(ctx, 2*c.VendordataDynamicConnectTimeout) // the connection, and TLS on it
		defer cancel()
		return d.DialContext(ctx, network, address)
	}
	return &caller{signer: o.Signer, silent: c.VendordataDynamicReadTimeout, max: c.maxBytes(), http: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: connect.DialContext, DialTLSContext: secure, ResponseHeaderTimeout: c.VendordataDynamicReadTimeout,
			MaxResponseHeaderBytes: maxHead, MaxConnsPerHost: atOnce, DisableKeepAlives: true, DisableCompression: true}}}, nil
}

func parseRoots(pem []byte) (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("there is no certificate in it")
	}
	return roots, nil
}

// reply is what a target answered, whatever that is.
type reply struct {
	status int
	head   http.Header
	body   []byte
}

// ask posts a body to a target until there is a reply: again after 401 when the identity could be renewed, once; and
// again where a redirect leads, on the same server. The error of a context that ended is not a failure of the target:
// the caller looks for it first.
func (c *caller) ask(ctx context.Context, t target, body []byte, conditions http.Header) (reply, *failure) {
	at, renewed := t.url, false
	for hops := 0; ; {
		r, req, wrong := c.once(ctx, at, body, conditions)
		switch {
		case wrong != nil:
			return r, wrong
		case r.status == http.StatusUnauthorized && !renewed && c.signer != nil && c.signer.Renew(ctx, req):
			renewed = true
		case redirects(r.status) && r.head.Get("Location") != "":
			if hops++; hops > maxRedirects {
				return r, failed(Redirected, "redirected more than %d times", maxRedirects)
			}
			if at, wrong = follow(at, r.head.Get("Location")); wrong != nil {
				return r, wrong
			}
		default:
			return r, nil
		}
	}
}

// redirects are those that upstream's client follows with the same request. The body and the proof of who asks are sent
// again, so that they are followed on the same server only.
func redirects(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

func follow(from *url.URL, location string) (*url.URL, *failure) {
	to, err := from.Parse(location)
	if err != nil || to.Host == "" {
		return nil, failed(Redirected, "redirected to something that is no URL")
	}
	if !sameOrigin(from, to) || to.User != nil && (from.User == nil || to.User.String() != from.User.String()) {
		return nil, failed(Redirected, "redirected to another server, which is not told what it was sent")
	}
	to.User, to.Fragment, to.RawFragment = from.User, "", ""
	return to, nil
}

// once sends one request and reads the whole reply. It gives the request, too, as it was signed.
func (c *caller) once(ctx context.Context, at *url.URL, body []byte, conditions http.Header) (reply, *http.Request, *failure) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(body))
	if err != nil {
		return reply{}, nil, failed(Redirected, "has a URL that cannot be asked")
	}
	for name, values := range conditions {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	if c.signer != nil {
		if err := c.signer.Sign(ctx, req, body); err != nil {
			said, ok := fault.PublicOf(err)
			if !ok {
				said = "See the log."
			}
			return reply{}, req, failed(Unsigned, "was not asked, since this server cannot show who it is: %s", said)
		}
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return reply{}, req, c.explain(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	r := reply{status: resp.StatusCode, head: resp.Header}
	if r.body, err = c.read(resp.Body, cancel); err == nil {
		err = ctx.Err() // our end of the connection may have made the target end its answer early, and well formed
	}
	if err != nil {
		return r, req, c.explain(ctx, err)
	}
	if len(r.body) > c.max {
		return reply{status: r.status}, req, failed(TooLarge, "gave an answer larger than %d KiB ([api] vendordata_dynamic_max_size)", c.max>>10)
	}
	return r, req, nil
}

// read takes a body to its end or to one byte more than it may have. cancel ends the request when no byte came for too long.
func (c *caller) read(body io.Reader, cancel context.CancelCauseFunc) ([]byte, error) {
	if c.silent > 0 {
		watchdog := time.AfterFunc(c.silent, func() { cancel(errSilent) })
		defer watchdog.Stop()
		body = &patient{body, watchdog, c.silent}
	}
	return io.ReadAll(io.LimitReader(body, int64(c.max)+1))
}

// patient pushes a watchdog back whenever a byte comes.
type patient struct {
	from     io.Reader
	watchdog *time.Timer
	limit    time.Duration
}

func (p *patient) Read(b []byte) (int, error) {
	n, err := p.from.Read(b)
	if n > 0 {
		p.watchdog.Reset(p.limit)
	}
	return n, err
}

// explain makes a failure of an error of net/http. Nothing of its text is used: it may hold the URL and what the target sent.
func (c *caller) explain(ctx context.Context, err error) *failure {
	var dial *net.OpError
	var name *net.DNSError
	var slow net.Error
	cause := context.Cause(ctx)
	switch {
	case errors.Is(cause, errSilent):
		return c.tooSilent()
	case errors.Is(cause, errTotal):
		return failed(Late, "was not done within [api] vendordata_dynamic_total_timeout")
	case untrusted(err):
		return failed(Untrusted, "does not speak TLS with a certificate that this server trusts: see [api] vendordata_dynamic_ssl_certfile")
	case errors.As(err, &name):
		return failed(Unreachable, "has a host name that is not found")
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Timeout():
		return failed(Late, "took no connection within [api] vendordata_dynamic_connect_timeout")
	case errors.As(err, &dial) && dial.Op == "dial":
		return failed(Unreachable, "takes no connections")
	case errors.As(err, &slow) && slow.Timeout():
		return c.tooSilent()
	}
	return failed(Broken, "ended the connection, or sent something that is no answer of HTTP")
}

func (c *caller) tooSilent() *failure {
	return failed(Late, "sent nothing for longer than [api] vendordata_dynamic_read_timeout or vendordata_dynamic_connect_timeout")
}

func untrusted(err error) bool {
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &cert) || errors.As(err, &record) || errors.As(err, &alert) || errors.Is(err, http.ErrSchemeMismatch)
}
