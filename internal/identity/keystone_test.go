package identity

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/keystone/keystonetest"
	"ingot/internal/policy"
	"ingot/internal/secret"
)

// cloud is a real Keystone of Debian's package behind a proxy that counts. It has users of the system (root, watch) and of the
// project blue (boss, worker, guest), and "ingot", the user of our own with the role service.
type cloud struct {
	*keystonetest.Cloud
	url       string
	validated atomic.Int32 // questions about a token
	hold      atomic.Pointer[chan struct{}]
}

// startKeystone starts one, or skips.
func startKeystone(t *testing.T) *cloud {
	t.Helper()
	k := &cloud{Cloud: keystonetest.Start(t)}
	for _, u := range []struct{ name, where, role string }{{"watch", "system", "reader"}, {"boss", "blue", "admin"}, {"worker", "blue", "member"}, {"guest", "blue", "reader"}, {"ingot", "service", "service"}} {
		k.Grant(u.name, u.where, u.role)
	}
	to, err := url.Parse(k.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/auth/tokens") {
			k.validated.Add(1)
			if h := k.hold.Load(); h != nil {
				<-*h
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	k.url = s.URL
	return k
}

// door is ours to this Keystone.
func (k *cloud) door(change func(*KeystoneConfig)) *Keystone {
	k.T.Helper()
	c := DefaultKeystone()
	c.AuthURL, c.Username, c.Password = k.url, "ingot", secret.New(keystonetest.Password)
	if change != nil {
		change(&c)
	}
	d, err := NewKeystone(c, nil)
	if err != nil {
		k.T.Fatal(err)
	}
	return d
}

// with is a request that carries tokens.
func with(token string, service ...string) *http.Request {
	r := httptest.NewRequest("GET", "/v1/nodes", nil)
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	for _, s := range service {
		r.Header.Set("X-Service-Token", s)
	}
	return r
}

// Everything is one test: making a Keystone takes seconds.
func TestKeystone(t *testing.T) {
	t.Parallel()
	k := startKeystone(t)
	t.Run("who", func(t *testing.T) { keystoneWho(t, k) })
	t.Run("refused", func(t *testing.T) { keystoneRefused(t, k) })
	t.Run("cache", func(t *testing.T) { keystoneCache(t, k) })
	t.Run("revoked", func(t *testing.T) { keystoneRevoked(t, k) })
	t.Run("service", func(t *testing.T) { keystoneService(t, k) })
	t.Run("foreign", func(t *testing.T) { keystoneForeign(t, k) })
	t.Run("expired", func(t *testing.T) { keystoneExpired(t, k) })
	t.Run("at once", func(t *testing.T) { keystoneAtOnce(t, k) })
	t.Run("wrong login", func(t *testing.T) {
		d := k.door(func(c *KeystoneConfig) { c.Password = secret.New("wrong") })
		_, err := d.Identify(t.Context(), with(k.Token("boss", "blue")))
		is(t, err, fault.Unavailable)
	})
	t.Run("down", func(t *testing.T) { keystoneDown(t, k) }) // last: it ends the server
}

func keystoneWho(t *testing.T, k *cloud) {
	d := k.door(nil)
	for _, x := range []struct {
		user, scope, project string
		roles                []string
	}{
		{"root", "system", "", []string{"admin", "member", "reader"}}, {"watch", "system", "", []string{"reader"}},
		{"boss", "blue", "blue", []string{"admin", "member", "reader"}}, {"worker", "blue", "blue", []string{"member", "reader"}}, {"guest", "blue", "blue", []string{"reader"}},
	} {
		c, err := d.Identify(t.Context(), with(k.Token(x.user, x.scope)))
		roles := slices.DeleteFunc(slices.Clone(c.Roles), func(r string) bool { return r == "manager" }) // newer ones have it
		slices.Sort(roles)
		if err != nil || c.UserName != x.user || c.UserID == "" || c.UserDomainID != "default" || c.ProjectName != x.project || (c.ProjectID == "") != (x.project == "") ||
			(c.SystemScope == "all") != (x.scope == "system") || !slices.Equal(roles, x.roles) || c.Trusted {
			t.Errorf("%s: %+v, %v", x.user, c, err)
		}
		want := map[policy.Rule]bool{"node:create": x.user == "root", "driver:get": x.scope == "system"}
		for rule, may := range want {
			if got := policy.BuiltIn().For(c).Allows(rule, policy.Target{}); got != may {
				t.Errorf("%s may %s: %v, want %v", x.user, rule, got, may)
			}
		}
	}
}

func keystoneRefused(t *testing.T, k *cloud) {
	d := k.door(nil)
	good := k.Token("boss", "blue")
	forged := good[:len(good)-6] + strings.Repeat("A", 6)
	asked := k.validated.Load()
	for _, bad := range []string{"", "nonsense", forged, "gAAAAABn" + strings.Repeat("x", 200)} {
		for range 3 {
			_, err := d.Identify(t.Context(), with(bad))
			is(t, err, fault.Unauthenticated)
		}
	}
	if n := k.validated.Load() - asked; n != 3 {
		t.Errorf("three bad tokens, thrice each, were asked about %d times", n)
	}
	for _, never := range []string{strings.Repeat("x", tokenLimit+1), "a b", "a\x00b", "ä"} {
		_, err := d.Identify(t.Context(), with(never))
		is(t, err, fault.Unauthenticated)
	}
	if n := k.validated.Load() - asked; n != 3 {
		t.Error("what can be no token was asked about")
	}
	if want := `Keystone uri="` + k.url + `"`; d.Challenge() != want {
		t.Errorf("challenge %s, want %s", d.Challenge(), want)
	}
}

// What is remembered lives for the cache time, and never longer than the token.
func keystoneCache(t *testing.T, k *cloud) {
	d := k.door(func(c *KeystoneConfig) { c.TokenCacheTime = time.Minute })
	now := time.Now()
	d.clock = func() time.Time { return now }
	d.good.clock, d.bad.clock = d.clock, d.clock
	token := k.Token("boss", "blue")
	asks := func(want int32, why string) {
		t.Helper()
		before := k.validated.Load()
		if _, err := d.Identify(t.Context(), with(token)); err != nil {
			t.Error(err)
		}
		if n := k.validated.Load() - before; n != want {
			t.Errorf("%s: asked %d times, want %d", why, n, want)
		}
	}
	asks(1, "the first time")
	asks(0, "at once after")
	now = now.Add(59 * time.Second)
	asks(0, "within the cache time")
	now = now.Add(2 * time.Second)
	asks(1, "after the cache time")

	// A cache time longer than the token's life of an hour: its end counts, to the second.
	d = k.door(func(c *KeystoneConfig) { c.TokenCacheTime = 24 * time.Hour })
	d.clock = func() time.Time { return now }
	d.good.clock, d.bad.clock = d.clock, d.clock
	now = time.Now()
	asks(1, "the first time")
	now = now.Add(50 * time.Minute)
	asks(0, "within its life")
	now = now.Add(11 * time.Minute)
	_, err := d.Identify(t.Context(), with(token))
	is(t, err, fault.Unauthenticated)

	d = k.door(func(c *KeystoneConfig) { c.TokenCacheTime = 0 })
	asks(1, "without a cache")
	asks(1, "without a cache")
}

func keystoneRevoked(t *testing.T, k *cloud) {
	d := k.door(func(c *KeystoneConfig) { c.TokenCacheTime = time.Minute })
	now := time.Now()
	d.clock = func() time.Time { return now }
	d.good.clock = d.clock
	token := k.Token("boss", "blue")
	if _, err := d.Identify(t.Context(), with(token)); err != nil {
		t.Fatal(err)
	}
	k.Revoke(token)
	if _, err := d.Identify(t.Context(), with(token)); err != nil {
		t.Errorf("within the cache time: %v", err)
	}
	now = now.Add(time.Minute) // and no second more
	_, err := d.Identify(t.Context(), with(token))
	is(t, err, fault.Unauthenticated)
}

func keystoneService(t *testing.T, k *cloud) {
	d := k.door(nil)
	user, service := k.Token("worker", "blue"), k.Token("ingot", "service")
	c, err := d.Identify(t.Context(), with(user, service))
	if err != nil || c.UserName != "worker" || c.Service.ProjectName != "service" || !slices.Contains(c.Service.Roles, "service") {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = d.Identify(t.Context(), with(user, "nonsense"))
	is(t, err, fault.Unauthenticated)
	_, err = d.Identify(t.Context(), with(user, k.Token("guest", "blue"))) // no service
	is(t, err, fault.Unauthenticated)
	if c, err := d.Identify(t.Context(), with(user)); err != nil || c.Service.UserID != "" {
		t.Errorf("what a service showed is remembered for others: %+v, %v", c, err)
	}
}

// A token that another Keystone has made, of the same users, is as good as none: its keys are others.
func keystoneForeign(t *testing.T, k *cloud) {
	back := k.SwapKeys()
	foreign := k.Token("boss", "blue") // Keystone reads its keys anew for each token
	back()
	d := k.door(nil)
	_, err := d.Identify(t.Context(), with(foreign))
	is(t, err, fault.Unauthenticated)
	if _, err := d.Identify(t.Context(), with(k.Token("boss", "blue"))); err != nil {
		t.Errorf("a token of its own: %v", err)
	}
}

// A token that Keystone itself calls expired is refused, unless a service passes it on.
func keystoneExpired(t *testing.T, k *cloud) {
	hasty := k.Hasty(2 * time.Second)
	defer hasty.Stop()
	d := k.door(func(c *KeystoneConfig) { c.TokenCacheTime = 0 })
	service := k.Token("ingot", "service")
	token := hasty.Token("worker", "blue")
	var err error
	for err == nil {
		_, err = d.Identify(t.Context(), with(token))
	}
	is(t, err, fault.Unauthenticated)
	if c, err := d.Identify(t.Context(), with(token, service)); err != nil || c.UserName != "worker" {
		t.Errorf("passed on by a service: %+v, %v", c, err)
	}
}

func keystoneAtOnce(t *testing.T, k *cloud) {
	d := k.door(nil)
	token := k.Token("boss", "blue")
	if _, err := d.Identify(t.Context(), with(k.Token("guest", "blue"))); err != nil { // logs this server in
		t.Fatal(err)
	}
	before := k.validated.Load()
	hold := make(chan struct{})
	k.hold.Store(&hold)
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if _, err := d.Identify(t.Context(), with(token)); err != nil {
				t.Error(err)
			}
		})
	}
	for k.validated.Load() == before {
		time.Sleep(time.Millisecond)
	}
	k.hold.Store(nil)
	close(hold)
	all.Wait()
	if n := k.validated.Load() - before; n != 1 {
		t.Errorf("50 requests with one token: asked %d times", n)
	}
}

func keystoneDown(t *testing.T, k *cloud) {
	known, unknown := k.Token("boss", "blue"), k.Token("worker", "blue")
	d, fresh := k.door(nil), k.door(func(c *KeystoneConfig) { c.HTTPRequestMaxRetries = 0 })
	if _, err := d.Identify(t.Context(), with(known)); err != nil {
		t.Fatal(err)
	}
	k.Stop()
	if _, err := d.Identify(t.Context(), with(known)); err != nil {
		t.Errorf("a remembered token: %v", err)
	}
	for _, one := range []*Keystone{d, fresh} {
		_, err := one.Identify(t.Context(), with(unknown))
		is(t, err, fault.Unavailable)
		if text, _ := fault.PublicOf(err); strings.Contains(text, "127.0.0.1") {
			t.Errorf("the caller learns where Keystone is: %s", text)
		}
	}
}

// Without a Keystone: what is missing is told at the start, all at once and without the password.
func TestKeystoneConfig(t *testing.T) {
	c := DefaultKeystone()
	c.Username = "ingot"
	if _, err := NewKeystone(c, nil); err == nil || !strings.Contains(err.Error(), "auth_url, password: not set") {
		t.Error(err)
	}
	c.AuthType, c.AuthURL = "v3applicationcredential", "http://127.0.0.1:5000/v3/"
	if _, err := NewKeystone(c, nil); err == nil || !strings.Contains(err.Error(), "application_credential_id, application_credential_secret") {
		t.Error(err)
	}
	c.AuthType = "none"
	if _, err := NewKeystone(c, nil); err == nil || !strings.Contains(err.Error(), "auth_type") {
		t.Error(err)
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(`{"token":{"expires_at":"2026-11-27T03:09:05.000000Z","user":{"id":"a","domain":{"id":"default"}},"roles":[{"name":"admin"}],"system":{"all":true}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var a answer
		if json.Unmarshal([]byte(text), &a) != nil {
			return
		}
		if got, err := a.read(); err == nil && (got.who.UserID == "" || got.who.Trusted || got.expires.IsZero()) {
			t.Errorf("%+v", got)
		}
	})
}
