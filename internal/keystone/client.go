package keystone

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/identity/v3/tokens"
	"golang.org/x/sync/singleflight"

	"ingot/internal/fault"
)

const (
	// renewAhead is how long before its end a token is renewed. One with a life of less than twice that is renewed when half of it is
	// left: a request must be judged before the token ends, wherever it goes.
	renewAhead = 5 * time.Minute
	// renewAgain is the pause after a renewal ahead of time that failed.
	renewAgain = 30 * time.Second
	// renewPatience is how long a caller waits for a renewal ahead of time, while the old token is still good.
	renewPatience = 2 * time.Second
	// renewPause is how often a token is replaced because somebody refused it.
	renewPause = 5 * time.Second
)

// Options are how a section's user speaks to Keystone and to its service.
type Options struct {
	// Section is what messages name: "glance".
	Section string
	// Timeout is how long one request may take.
	Timeout time.Duration
	// Answer is bytes of one answer.
	Answer int64
	// AtOnce is connections to one server; 0 is any number.
	AtOnce int
	// Retries is how often a request is sent again that got no answer.
	Retries int
	// Log is told of renewals that fail. Nil is none.
	Log *slog.Logger
}

// Client is this server as a user of Keystone's. It is safe for many goroutines.
type Client struct {
	login Login
	o     Options
	http  *http.Client
	ca    string
	clock func() time.Time

	flights singleflight.Group
	now     atomic.Pointer[gophercloud.ProviderClient] // nil: not logged in yet
	renew   atomic.Int64                               // nanoseconds since 1970: when the token is renewed; 0: nobody knows
	end     atomic.Int64                               // nanoseconds since 1970: when the token ends, by our clock; 0: nobody knows
	forced  atomic.Int64                               // nanoseconds since 1970: the last Renew
	service atomic.Pointer[gophercloud.ServiceClient]  // nil: not looked for yet
}

// New reads the files that the section names. It asks nobody yet. An error names the option.
func New(l Login, o Options) (*Client, error) {
	if err := l.Check(o.Section); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{login: l, o: o, clock: time.Now}
	return c, c.transport()
}

// Close ends connections that are kept.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// CA is what certificates are checked with, as PEM; "" means this host's.
func (c *Client) CA() string { return c.ca }

// Provider is the library's client with a token that lives for a while; without one if this server does not log in.
func (c *Client) Provider(ctx context.Context) (*gophercloud.ProviderClient, error) {
	if p := c.now.Load(); p != nil && !c.old() {
		return p, nil
	}
	had := c.now.Load()
	waits := ctx
	if c.clock().Add(renewPatience).UnixNano() >= c.end.Load() {
		had = nil // it is nearly over, or nobody knows
	}
	if had != nil {
		var enough context.CancelFunc
		waits, enough = context.WithTimeout(ctx, renewPatience)
		defer enough()
	}
	p, err := c.once(waits, "log in", func(ctx context.Context) error {
		p := c.now.Load()
		switch {
		case p == nil:
			return c.logIn(ctx)
		case !c.old(): // somebody was faster
			return nil
		}
		if err := p.Reauthenticate(ctx, p.Token()); err != nil {
			c.renew.Store(c.clock().Add(renewAgain).UnixNano())
			c.o.Log.Warn("this server's token at keystone could not be renewed ahead of its end", "section", c.o.Section, "reason", reason(err))
		}
		return nil
	})
	if err != nil && had != nil && ctx.Err() == nil {
		return had, nil // the renewal goes on without us
	}
	return p, err
}

// Token is a token for a request of this server's own. It is "" if this server does not log in.
func (c *Client) Token(ctx context.Context) (string, error) {
	p, err := c.Provider(ctx)
	if err != nil {
		return "", err
	}
	return p.Token(), nil
}

// Renew gets another token in place of one that was refused. Nothing happens if that is done already. It fails at once within a few
// seconds of the last time: who refuses a new token refuses the next one, too.
func (c *Client) Renew(ctx context.Context, refused string) error {
	if c.login.None() {
		return fault.New(fault.Unavailable, "This server does not log in: [%s] auth_type is none.", c.o.Section)
	}
	_, err := c.once(ctx, "renew", func(ctx context.Context) error {
		p := c.now.Load()
		if p == nil {
			return c.logIn(ctx)
		}
		if p.Token() != refused {
			return nil
		}
		now := c.clock()
		if now.Sub(time.Unix(0, c.forced.Load())) < renewPause {
			return fault.New(fault.Unavailable, "A new token of this server's was refused, too: see the roles of its user in [%s].", c.o.Section)
		}
		c.forced.Store(now.UnixNano())
		return p.Reauthenticate(ctx, refused)
	})
	return err
}

// once logs in for all who wait. It outlives the request that began it: others wait for it too. The time limit of requests and the
// number of retries bound it.
func (c *Client) once(ctx context.Context, what string, do func(context.Context) error) (*gophercloud.ProviderClient, error) {
	flight := c.flights.DoChan(what, func() (any, error) { return nil, do(context.WithoutCancel(ctx)) })
	select {
	case r := <-flight:
		return c.now.Load(), r.Err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// old tells whether it is time to renew the token.
func (c *Client) old() bool {
	at := c.renew.Load()
	return at != 0 && c.clock().UnixNano() >= at
}

func (c *Client) logIn(ctx context.Context) error {
	p, err := openstack.NewClient(c.login.V3())
	if err != nil {
		return fault.Wrap(fault.Unavailable, errors.New("it is no URL"), "[%s] auth_url cannot be used.", c.o.Section)
	}
	p.HTTPClient, p.RetryFunc = *c.http, c.retry
	if c.login.None() {
		c.now.Store(p)
		return nil
	}
	began := c.clock()
	if err := openstack.AuthenticateV3(ctx, p, c.login.options(), gophercloud.EndpointOpts{}); err != nil {
		return c.refused(err)
	}
	if p.Token() == "" {
		return c.refused(errors.New("keystone's answer has no token"))
	}
	c.note(p, began)
	again := p.ReauthFunc
	p.ReauthFunc = func(ctx context.Context) error {
		began := c.clock()
		if err := again(ctx); err != nil {
			return c.refused(err)
		}
		c.note(p, began)
		return nil
	}
	c.now.Store(p)
	return nil
}

// note finds out when a token that was asked for at a time is to be renewed. Both ends of its life are of Keystone's clock, which may
// not be ours.
func (c *Client) note(p *gophercloud.ProviderClient, began time.Time) {
	var life struct {
		From time.Time `json:"issued_at"`
		To   time.Time `json:"expires_at"`
	}
	made, ok := p.GetAuthResult().(tokens.CreateResult)
	if !ok || made.ExtractInto(&life) != nil || life.From.IsZero() || !life.To.After(life.From) {
		c.renew.Store(0) // whoever refuses it tells when
		c.end.Store(0)
		return
	}
	lasts := life.To.Sub(life.From)
	c.end.Store(began.Add(lasts).UnixNano())
	c.renew.Store(began.Add(lasts - min(renewAhead, lasts/2)).UnixNano())
}

// Find is the section's service: where the configuration or Keystone's catalogue says. version ends its URL: "v2". open is the library's.
func (c *Client) Find(ctx context.Context, e Endpoint, kind, version string, open func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)) (*gophercloud.ServiceClient, error) {
	p, err := c.Provider(ctx)
	if err != nil {
		return nil, err
	}
	if s := c.service.Load(); s != nil {
		return s, nil
	}
	s, err := c.find(p, e, kind, version, open)
	if err == nil {
		c.service.Store(s)
	}
	return s, err
}

func (c *Client) find(p *gophercloud.ProviderClient, e Endpoint, kind, version string, open func(*gophercloud.ProviderClient, gophercloud.EndpointOpts) (*gophercloud.ServiceClient, error)) (*gophercloud.ServiceClient, error) {
	base := func(at string) string { return strings.TrimSuffix(strings.TrimRight(at, "/"), "/"+version) + "/" }
	if at := e.EndpointOverride; at != "" {
		return &gophercloud.ServiceClient{ProviderClient: p, Endpoint: base(at), ResourceBase: base(at) + version + "/", Type: kind}, nil
	}
	var last error
	for _, one := range e.ValidInterfaces {
		s, err := open(p, gophercloud.EndpointOpts{Region: e.RegionName, Availability: interfaces[one]})
		if err == nil {
			s.ResourceBase = base(s.Endpoint) + version + "/"
			return s, nil
		}
		last = err
	}
	return nil, fault.Wrap(fault.Unavailable, last, "Keystone's catalogue has no %s service in region %q for the interfaces %s: see [%s] region_name and valid_interfaces, or set endpoint_override.",
		kind, e.RegionName, strings.Join(e.ValidInterfaces, ", "), c.o.Section)
}

// refused makes a fault of a log-in that failed. What Keystone answered is in neither half of it.
func (c *Client) refused(err error) error {
	cause := errors.New(reason(err))
	if gophercloud.ResponseCodeIs(err, http.StatusUnauthorized) {
		return fault.Wrap(fault.Unavailable, cause, "Keystone does not take what this server logs in with: see user, password, domains and project in [%s].", c.o.Section)
	}
	return fault.Wrap(fault.Unavailable, cause, "This server cannot log in to Keystone: see [%s] auth_url.", c.o.Section)
}

// reason is why a call failed, without what was sent or answered.
func reason(err error) string {
	if own := (*fault.Error)(nil); errors.As(err, &own) && own.Cause != nil {
		return own.Cause.Error()
	}
	var code gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &code) {
		return strings.TrimSpace("keystone answered " + http.StatusText(code.Actual))
	}
	return err.Error()
}
