package keystone

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"ingot/internal/fault"
	"ingot/internal/keystone/keystonetest"
	"ingot/internal/secret"
)

// cloud is a real Keystone behind a proxy that counts log-ins.
type cloud struct {
	*keystonetest.Cloud
	front   *httptest.Server
	to      atomic.Pointer[httputil.ReverseProxy] // nil: it does not answer
	logins  atomic.Int32
	waiting atomic.Pointer[chan struct{}] // when not nil: a log-in waits for it
}

func start(t *testing.T) *cloud {
	t.Helper()
	c := &cloud{Cloud: keystonetest.Start(t)}
	c.pass(c.URL)
	c.front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to := c.to.Load()
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/auth/tokens") {
			c.logins.Add(1)
			if w := c.waiting.Load(); w != nil {
				<-*w
			}
		}
		if to == nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(c.front.Close)
	c.Grant("ingot", "service", "service")
	return c
}

func (c *cloud) pass(to string) {
	u, err := url.Parse(to)
	if err != nil {
		c.T.Fatal(err)
	}
	c.to.Store(httputil.NewSingleHostReverseProxy(u))
}

func (c *cloud) client(t *testing.T, change func(*Login)) *Client {
	t.Helper()
	l := Defaults()
	l.AuthURL, l.Username, l.Password = c.front.URL, "ingot", secret.New(keystonetest.Password)
	if change != nil {
		change(&l)
	}
	k, err := New(l, Options{Section: "s", Timeout: 30 * time.Second, Answer: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

func token(t *testing.T, k *Client) string {
	t.Helper()
	got, err := k.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// Everything is one test: making a Keystone takes seconds.
func TestKeystone(t *testing.T) {
	t.Parallel()
	c := start(t)
	t.Run("forms", func(t *testing.T) { forms(t, c) })
	t.Run("once", func(t *testing.T) { once(t, c) })
	t.Run("ahead", func(t *testing.T) { ahead(t, c) })
	t.Run("refused", func(t *testing.T) { refusedToken(t, c) })
	t.Run("wrong", func(t *testing.T) { wrong(t, c) })
	t.Run("short", func(t *testing.T) { shortLife(t, c) })
}

// Each way to log in gives a token that Keystone takes.
func forms(t *testing.T, c *cloud) {
	c.Grant("ingot", "system", "reader")
	var made struct {
		Credential struct{ ID, Secret string } `json:"application_credential"`
	}
	c.CallAs(c.Token("ingot", "service"), http.MethodPost, c.URL+"/v3/users/"+c.Find("users", "ingot")+"/application_credentials",
		keystonetest.Object{"application_credential": keystonetest.Object{"name": "a"}}, &made)
	for name, change := range map[string]func(*Login){
		"by name": nil,
		"by id": func(l *Login) {
			l.UserDomainID, l.ProjectID, l.UserDomainName, l.ProjectName = "default", c.Project("service"), "", ""
		},
		"system":   func(l *Login) { l.SystemScope = "all" },
		"with /v3": func(l *Login) { l.AuthURL += "/v3/" },
		"application credential": func(l *Login) {
			*l = Login{AuthURL: l.AuthURL, AuthType: "v3applicationcredential", ApplicationCredentialID: made.Credential.ID, ApplicationCredentialSecret: secret.New(made.Credential.Secret)}
		},
	} {
		if got := token(t, c.client(t, change)); !c.Good(got) {
			t.Errorf("%s: Keystone does not take its own token", name)
		}
	}
	none := c.client(t, func(l *Login) { *l = Login{AuthType: "none"} })
	if got := token(t, none); got != "" {
		t.Error("a token without a log-in")
	}
	if err := none.Renew(t.Context(), ""); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("renewed without a log-in: %v", err)
	}
}

// Many who ask at once are one log-in; who gives up does not take the others with it.
func once(t *testing.T, c *cloud) {
	k := c.client(t, nil)
	hold := make(chan struct{})
	c.waiting.Store(&hold)
	defer c.waiting.Store(nil)
	before := c.logins.Load()
	first, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	left := make(chan error, 1)
	go func() {
		_, err := k.Token(first)
		left <- err
	}()
	for c.logins.Load() == before {
		time.Sleep(time.Millisecond)
	}
	cancel(gone)
	if err := <-left; !errors.Is(err, gone) {
		t.Errorf("who gave up: %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { token(t, k) })
	}
	close(hold)
	all.Wait()
	if n := c.logins.Load() - before; n != 1 {
		t.Errorf("20 who ask at once: %d log-ins", n)
	}
}

// A token is renewed ahead of its end. While that fails the old one is used, and it is tried again later.
func ahead(t *testing.T, c *cloud) {
	k := c.client(t, nil)
	now := time.Now()
	k.clock = func() time.Time { return now }
	first := token(t, k)
	now = now.Add(54 * time.Minute) // Keystone's tokens live for an hour
	if token(t, k) != first {
		t.Error("renewed too early")
	}
	now = now.Add(time.Minute)
	c.to.Store(nil)
	before := c.logins.Load()
	for range 3 {
		if token(t, k) != first {
			t.Error("not the old token while Keystone is away")
		}
	}
	if n := c.logins.Load() - before; n != 1 {
		t.Errorf("%d renewals while Keystone is away", n)
	}
	c.pass(c.URL)
	now = now.Add(renewAgain)
	hold := make(chan struct{})
	c.waiting.Store(&hold)
	if token(t, k) != first {
		t.Error("not the old token while Keystone is slow")
	}
	c.waiting.Store(nil)
	close(hold)
	second := first
	for limit := time.Now().Add(time.Minute); second == first && time.Now().Before(limit); {
		second = token(t, k)
	}
	if second == first || !c.Good(second) {
		t.Error("not renewed when Keystone is back")
	}
}

// A token that is revoked is replaced once, however many tell.
func refusedToken(t *testing.T, c *cloud) {
	k := c.client(t, nil)
	first := token(t, k)
	c.Revoke(first)
	before := c.logins.Load()
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := k.Renew(t.Context(), first); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if second := token(t, k); second == first || !c.Good(second) {
		t.Error("not renewed")
	}
	if n := c.logins.Load() - before; n != 1 {
		t.Errorf("%d log-ins for one refused token", n)
	}
	if err := k.Renew(t.Context(), token(t, k)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a new token that is refused at once: %v", err)
	}
	if n := c.logins.Load() - before; n != 1 {
		t.Errorf("%d log-ins where every token is refused", n)
	}
	// The library's own requests do the same by themselves.
	p, err := k.Provider(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Revoke(p.Token())
	if _, err := p.Request(t.Context(), http.MethodGet, k.login.V3()+"auth/projects", &gophercloud.RequestOpts{}); err != nil {
		t.Errorf("a request with a revoked token: %v", err)
	}
}

// What this server logs in with is refused: nobody learns what was sent or answered.
func wrong(t *testing.T, c *cloud) {
	_, err := c.client(t, func(l *Login) { l.Password = secret.New("hunter2") }).Token(t.Context())
	if public, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Unavailable || !strings.Contains(public, "[s]") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"echo": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			b := new(bytes.Buffer)
			_, _ = b.ReadFrom(r.Body)
			_, _ = w.Write(b.Bytes())
		},
		"echo, no JSON": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusCreated)
			b := new(bytes.Buffer)
			_, _ = b.ReadFrom(r.Body)
			_, _ = w.Write(b.Bytes())
		},
		"no token": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"token":{"catalog":[]}}`))
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, c.front.URL+r.URL.Path, http.StatusTemporaryRedirect)
		},
		"large": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusCreated)
			_, _ = fmt.Fprintf(w, `{"token":%s{"a":1}}`, strings.Repeat(" ", 2<<20))
		},
	} {
		s := httptest.NewServer(answer)
		before := c.logins.Load()
		got, err := c.client(t, func(l *Login) { l.AuthURL = s.URL }).Token(t.Context())
		if fault.KindOf(err) != fault.Unavailable || got != "" || strings.Contains(err.Error(), keystonetest.Password) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if c.logins.Load() != before {
			t.Errorf("%s: the password went elsewhere", name)
		}
		s.Close()
	}
}

// Tokens of a Keystone whose tokens live for seconds are good whenever they are asked for.
func shortLife(t *testing.T, c *cloud) {
	h := c.Hasty(4 * time.Second)
	defer h.Stop()
	c.pass(h.URL)
	defer c.pass(c.URL)
	k := c.client(t, nil)
	seen := map[string]bool{}
	for len(seen) < 3 {
		got := token(t, k)
		if !seen[got] && !c.Good(got) {
			t.Fatal("a new token is not good")
		}
		seen[got] = true
		time.Sleep(20 * time.Millisecond)
	}
}

// Files of a section are read at the start; one that checks no certificates is told to the log.
func TestFiles(t *testing.T) {
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	dir := t.TempDir()
	file := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := file("ca", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	nothing := file("nothing", []byte("nothing"))
	base := Defaults()
	base.AuthURL, base.Username, base.Password = s.URL, "u", secret.New("p")
	var said bytes.Buffer
	o := Options{Section: "s", Timeout: 30 * time.Second, Answer: 1 << 20, Log: slog.New(slog.NewTextHandler(&said, nil))}
	ask := func(l Login) error {
		t.Helper()
		k, err := New(l, o)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		_, err = k.Token(t.Context())
		return err
	}
	if err := ask(base); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a strange certificate: %v", err)
	}
	with := base
	with.CAFile = ca
	if err := ask(with); err == nil || !strings.Contains(err.Error(), "Not Found") {
		t.Errorf("with cafile: %v", err)
	}
	if said.Len() > 0 {
		t.Errorf("said %s", said.String())
	}
	with = base
	with.Insecure = true
	if err := ask(with); err == nil || !strings.Contains(err.Error(), "Not Found") || !strings.Contains(said.String(), "[s] insecure") {
		t.Errorf("insecure: %v, said %q", err, said.String())
	}
	for want, change := range map[string]func(*Login){
		"[s] cafile: there is no certificate": func(l *Login) { l.CAFile = nothing },
		"[s] cafile: open":                    func(l *Login) { l.CAFile = "/nonexistent" },
		"[s] certfile and keyfile: tls":       func(l *Login) { l.CertFile, l.KeyFile = ca, nothing },
	} {
		l := base
		change(&l)
		if _, err := New(l, o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
