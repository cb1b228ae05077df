package identity

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"golang.org/x/sync/singleflight"

	"ingot/internal/fault"
	"ingot/internal/keystone"
	"ingot/internal/policy"
)

const (
	atOnce     = 32   // questions to Keystone under way
	mayWait    = 1024 // and those that wait for them
	tokenLimit = 8 << 10
	answerSize = 1 << 20 // bytes of an answer of Keystone's
	tokensKept = 20_000
	badKept    = 5_000
	badFor     = 10 * time.Second // a token that was refused is not asked about again for so long
)

// Keystone is the door of OpenStack: who asks is what Keystone says of the token.
type Keystone struct {
	config KeystoneConfig
	login  *keystone.Client
	log    *slog.Logger
	clock  func() time.Time

	digests digester
	good    *memory[token]
	bad     *memory[struct{}]
	flights singleflight.Group
	slots   chan struct{} // held by who asks Keystone
	queue   chan struct{} // held by who asks or waits to
}

// NewKeystone makes the door. It does not ask Keystone yet: a server may start before it.
func NewKeystone(c KeystoneConfig, log *slog.Logger) (*Keystone, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	login, err := c.client(log)
	if err != nil {
		return nil, err
	}
	return &Keystone{config: c, login: login, log: log, clock: time.Now, digests: newDigester(), good: newMemory[token](tokensKept), bad: newMemory[struct{}](badKept),
		slots: make(chan struct{}, atOnce), queue: make(chan struct{}, atOnce+mayWait)}, nil
}

// Challenge is what a client without a good token is told.
func (k *Keystone) Challenge() string { return k.config.told() }

// Identify asks Keystone, or its own memory, about the tokens of a request. A user's token that has ended is good for a while
// in the hands of a service that shows its own: what takes hours must not fail half way.
// Source: keystonemiddleware's guide, "Service tokens" (allow_expired).
func (k *Keystone) Identify(ctx context.Context, r *http.Request) (policy.Caller, error) {
	text := strings.TrimSpace(r.Header.Get("X-Auth-Token"))
	if text == "" {
		return policy.Caller{}, fault.New(fault.Unauthenticated, "Log in: this server wants a token of Keystone's in the header X-Auth-Token.")
	}
	var service *token
	if s := strings.TrimSpace(r.Header.Get("X-Service-Token")); s != "" {
		t, err := k.validate(ctx, s, false)
		if err == nil && k.config.ServiceTokenRolesRequired && !t.hasOne(k.config.ServiceTokenRoles) {
			err = fault.New(fault.Unauthenticated, "The service token has none of the roles that services need here.")
		}
		if err != nil {
			return policy.Caller{}, err
		}
		service = &t
	}
	t, err := k.validate(ctx, text, service != nil)
	if err != nil {
		return policy.Caller{}, err
	}
	return t.caller(service), nil
}

func badToken() error {
	return fault.New(fault.Unauthenticated, "The token is not good, or no more: get a new one from Keystone.")
}

// validate tells what a token stands for. expired takes one that has ended not long ago.
func (k *Keystone) validate(ctx context.Context, text string, expired bool) (token, error) {
	if !plausible(text) {
		return token{}, badToken()
	}
	kind := "now"
	if expired {
		kind = "expired too"
	}
	d := k.digests.of(kind, text)
	if t, ok := k.good.get(d); ok {
		return t, nil
	}
	if _, ok := k.bad.get(d); ok {
		return token{}, badToken()
	}
	flight := k.flights.DoChan(string(d[:]), func() (any, error) {
		// The flight outlives the request that began it: others wait for it too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.patience())
		defer cancel()
		t, err := k.ask(ctx, text, expired)
		now := k.clock()
		switch {
		case fault.KindOf(err) == fault.Unauthenticated:
			k.bad.put(d, struct{}{}, now.Add(badFor))
		case err == nil && k.config.TokenCacheTime > 0:
			until := now.Add(k.config.TokenCacheTime)
			if !expired && t.expires.Before(until) {
				until = t.expires
			}
			k.good.put(d, t, until)
		}
		return t, err
	})
	select {
	case r := <-flight:
		t, _ := r.Val.(token)
		return t, r.Err
	case <-ctx.Done():
		return token{}, ctx.Err()
	}
}

// patience is for one token: all tries, each with its login.
func (k *Keystone) patience() time.Duration {
	return k.config.HTTPConnectTimeout * time.Duration(2*(1+k.config.HTTPRequestMaxRetries))
}

// plausible refuses what can be no token before anybody is asked.
func plausible(text string) bool {
	return len(text) <= tokenLimit && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// ask asks Keystone, as often as the configuration says.
func (k *Keystone) ask(ctx context.Context, text string, expired bool) (token, error) {
	select {
	case k.queue <- struct{}{}:
		defer func() { <-k.queue }()
	default:
		return token{}, fault.New(fault.Unavailable, "Too many tokens wait to be checked; try again in a few seconds.")
	}
	select {
	case k.slots <- struct{}{}:
		defer func() { <-k.slots }()
	case <-ctx.Done():
		return token{}, k.away(ctx.Err())
	}
	for try := 0; ; try++ {
		t, err := k.once(ctx, text, expired)
		if fault.KindOf(err) != fault.Unavailable || try >= k.config.HTTPRequestMaxRetries || ctx.Err() != nil {
			return t, err
		}
	}
}

func (k *Keystone) once(ctx context.Context, text string, expired bool) (token, error) {
	p, err := k.login.Provider(ctx)
	if err != nil {
		return token{}, k.away(err)
	}
	c := &gophercloud.ServiceClient{ProviderClient: p, Endpoint: k.config.V3()}
	at := c.Endpoint + "auth/tokens?nocatalog=1"
	if expired {
		at += "&allow_expired=1"
	}
	var a answer
	_, err = c.Get(ctx, at, &a, &gophercloud.RequestOpts{MoreHeaders: map[string]string{"X-Subject-Token": text}, OkCodes: []int{http.StatusOK}})
	var (
		odd      gophercloud.ErrUnexpectedResponseCode
		loggedIn *gophercloud.ErrUnableToReauthenticate
	)
	switch {
	case errors.As(err, &loggedIn): // this server's own login, not the token
		return token{}, k.away(err)
	case errors.As(err, &odd) && odd.Actual == http.StatusNotFound:
		return token{}, badToken()
	case err != nil:
		return token{}, k.away(err)
	}
	t, err := a.read()
	if err != nil {
		return token{}, k.away(err)
	}
	if !expired && !k.clock().Before(t.expires) {
		return token{}, badToken()
	}
	return t, nil
}

// away is the answer while nobody can say whether a token is good. The log has the reason, without what was sent.
func (k *Keystone) away(err error) error {
	reason := err.Error()
	var odd gophercloud.ErrUnexpectedResponseCode
	if errors.As(err, &odd) {
		reason = "keystone answered " + http.StatusText(odd.Actual) + " to this server"
		if odd.Actual == http.StatusUnauthorized || odd.Actual == http.StatusForbidden {
			reason += ": are user, password and roles in [keystone_authtoken] right?"
		}
	}
	k.log.Warn("keystone does not say who asks", "reason", reason)
	return fault.Wrap(fault.Unavailable, errors.New(reason), "The identity service cannot be asked who you are; try again later.")
}
