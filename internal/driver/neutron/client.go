package neutron

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"

	"ingot/internal/fault"
)

const (
	// answerSize is bytes of one answer: a page of ports is far smaller.
	answerSize = 8 << 20
	// saidSize is bytes of Neutron's own message in a fault.
	saidSize = 500
	// atOnce is requests of this server to Neutron at the same time.
	atOnce = 16
	// retryPause is the pause before the first retry; each later one is twice as long.
	retryPause = 250 * time.Millisecond
)

// client logs in at the first call, and again when Neutron does not take the token any more.
type client struct {
	config Config
	http   *http.Client
	turn   chan struct{} // holds one: whoever takes it may log in
	net    *gophercloud.ServiceClient
}

func newClient(c Config) (*client, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("[neutron] cafile: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("[neutron] cafile: there is no certificate in %s", c.CAFile)
		}
	}
	r := http.DefaultTransport.(*http.Transport).Clone()
	r.TLSClientConfig, r.MaxIdleConnsPerHost, r.MaxConnsPerHost, r.Proxy = t, atOnce, atOnce, nil
	return &client{config: c, turn: make(chan struct{}, 1), http: &http.Client{Transport: short{r}, Timeout: c.RequestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { // tokens go nowhere else
			return errors.New("a redirect: give the final URL as auth_url or endpoint_override")
		}}}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// service is Neutron, logged in to.
func (c *client) service(ctx context.Context) (*gophercloud.ServiceClient, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if c.net != nil {
		return c.net, nil
	}
	provider, err := openstack.NewClient(c.config.keystone())
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "[neutron] auth_url cannot be used.")
	}
	provider.HTTPClient = *c.http
	provider.RetryFunc = c.retry
	if c.config.AuthType != "none" {
		if err := openstack.Authenticate(ctx, provider, c.config.login()); err != nil {
			return nil, loginFault(ctx, err)
		}
	}
	s, err := c.endpoint(provider)
	if err != nil {
		return nil, err
	}
	c.net = s
	return s, nil
}

// endpoint finds Neutron in the catalogue, or where the configuration says.
func (c *client) endpoint(p *gophercloud.ProviderClient) (*gophercloud.ServiceClient, error) {
	if at := c.config.EndpointOverride; at != "" {
		at = strings.TrimSuffix(strings.TrimRight(at, "/"), "/v2.0") + "/"
		return &gophercloud.ServiceClient{ProviderClient: p, Endpoint: at, ResourceBase: at + "v2.0/", Type: "network"}, nil
	}
	var last error
	for _, kind := range c.config.ValidInterfaces {
		s, err := openstack.NewNetworkV2(p, gophercloud.EndpointOpts{Region: c.config.RegionName, Availability: kinds[kind]})
		if err == nil {
			s.ResourceBase = strings.TrimSuffix(strings.TrimRight(s.Endpoint, "/"), "/v2.0") + "/v2.0/"
			return s, nil
		}
		last = err
	}
	return nil, fault.Wrap(fault.Unavailable, last, "Keystone's catalogue has no network service in region %q for the interfaces %s: see [neutron] region_name and valid_interfaces, or set endpoint_override.",
		c.config.RegionName, strings.Join(c.config.ValidInterfaces, ", "))
}

func loginFault(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if code := (gophercloud.ErrUnexpectedResponseCode{}); errors.As(err, &code) && code.Actual == http.StatusUnauthorized {
		return fault.Wrap(fault.Unavailable, err, "Keystone does not take the user and password of [neutron].")
	}
	return fault.Wrap(fault.Unavailable, err, "This server cannot log in to Keystone for Neutron: see [neutron] auth_url.")
}

// retry tells whether a request that failed is sent again: nil. One that Neutron may have begun to do is not, unless
// doing it twice is doing it once.
func (c *client) retry(ctx context.Context, method, _ string, _ *gophercloud.RequestOpts, err error, failed uint) error {
	if int(failed) > c.config.Retries || ctx.Err() != nil {
		return err
	}
	var code gophercloud.ErrUnexpectedResponseCode
	var dial *net.OpError
	unsent := errors.As(err, &dial) && dial.Op == "dial"
	switch {
	case errors.As(err, &code):
		if code.Actual != http.StatusServiceUnavailable && (method == http.MethodPost || code.Actual < 500) {
			return err
		}
	case method == http.MethodPost && !unsent:
		return err
	}
	pause := time.NewTimer(retryPause << (failed - 1))
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return err
	}
}

// refused makes a fault of what a call ended with; doing is what it was for: "delete port …".
func refused(ctx context.Context, err error, doing string, args ...any) error {
	what := fmt.Sprintf(doing, args...)
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", what, ctx.Err())
	}
	if own := (*fault.Error)(nil); errors.As(err, &own) {
		return err
	}
	if again := (*gophercloud.ErrUnableToReauthenticate)(nil); errors.As(err, &again) {
		return fault.Wrap(fault.Unavailable, err, "Keystone does not take the user and password of [neutron] any more.")
	}
	var code gophercloud.ErrUnexpectedResponseCode
	if !errors.As(err, &code) {
		return fault.Wrap(fault.Unavailable, err, "Neutron gave no answer when asked to %s.", what)
	}
	kind := fault.Internal
	switch {
	case code.Actual == http.StatusBadRequest:
		kind = fault.Invalid
	case code.Actual == http.StatusNotFound:
		kind = fault.NotFound
	case code.Actual == http.StatusConflict:
		kind = fault.Conflict
	case code.Actual >= 500:
		kind = fault.Unavailable
	}
	return fault.Wrap(kind, err, "Neutron did not %s: %s (status %d).", what, said(code.Body), code.Actual)
}

// said is Neutron's own message in an answer, without what does not belong into a line.
func said(body []byte) string {
	var answer struct{ NeutronError json.RawMessage }
	var text string
	if json.Unmarshal(body, &answer) == nil && len(answer.NeutronError) > 0 {
		var told struct{ Message string }
		if json.Unmarshal(answer.NeutronError, &text) != nil && json.Unmarshal(answer.NeutronError, &told) == nil {
			text = told.Message
		}
	}
	if text == "" {
		return "no reason is given"
	}
	text = strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if len(text) > saidSize {
		text = strings.ToValidUTF8(text[:saidSize], "") + "…"
	}
	return strings.TrimRight(text, ". ")
}

// is tells whether an error is an answer with a status.
func is(err error, status int) bool { return gophercloud.ResponseCodeIs(err, status) }

// short bounds the answers of a server: what is longer ends in an error.
type short struct{ http.RoundTripper }

func (s short) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, answerSize), resp.Body}
	}
	return resp, err
}
