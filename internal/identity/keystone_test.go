package identity

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "modernc.org/sqlite" // switches the database of Keystone to WAL

	"ingot/internal/fault"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/lab/ports"
)

// cloud is a real Keystone of Debian's package, on loopback and in a folder of its own, behind a proxy that counts.
type cloud struct {
	t         *testing.T
	url       string
	admin     string       // a token of the system's administrator
	validated atomic.Int32 // questions about a token
	hold      atomic.Pointer[chan struct{}]
	stop      func()
	dir       string
}

// keystone starts one, or skips. It makes users of the system (root, watch) and of the project blue (boss, worker, guest),
// all with the password "pw", and "ingot", the user of our own with the role service.
func keystone(t *testing.T) *cloud {
	t.Helper()
	for _, p := range []string{"keystone-manage", "keystone-wsgi-public"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skip("Keystone is not installed: scripts/prepare.sh installs it")
		}
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "keystone.conf")
	write(t, conf, fmt.Sprintf("[DEFAULT]\nlog_file = %[1]s/log\n[database]\nconnection = sqlite:///%[1]s/db\n[fernet_tokens]\nkey_repository = %[1]s/fernet\n"+
		"[credential]\nkey_repository = %[1]s/credential\n[token]\nprovider = fernet\nallow_expired_window = 3600\n[identity]\npassword_hash_rounds = 4\n", dir))
	newKeys(t, filepath.Join(dir, "fernet"))
	newKeys(t, filepath.Join(dir, "credential"))
	port := freePort(t)
	k := &cloud{t: t, url: "http://127.0.0.1:" + port, dir: dir}
	db, err := sql.Open("sqlite", filepath.Join(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "PRAGMA journal_mode = WAL"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	k.manage(conf, "db_sync")
	k.manage(conf, "bootstrap", "--bootstrap-username", "root", "--bootstrap-password", "pw", "--bootstrap-project-name", "service",
		"--bootstrap-public-url", k.url+"/v3/", "--bootstrap-admin-url", k.url+"/v3/", "--bootstrap-region-id", "r")
	k.start(conf, port)
	k.admin = k.token("root", "system")
	k.people()
	return k
}

// newKeys makes a folder with the next key and the one in use.
func newKeys(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"0", "1"} {
		key := make([]byte, 32)
		_, _ = rand.Read(key)
		write(t, filepath.Join(dir, name), base64.URLEncoding.EncodeToString(key))
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	a, err := ports.Free("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(a)
	return port
}

func (k *cloud) manage(conf string, args ...string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 3*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "keystone-manage", append([]string{"--config-file", conf}, args...)...).CombinedOutput(); err != nil {
		k.t.Fatalf("keystone-manage %v: %v\n%s", args, err, out)
	}
}

func (k *cloud) start(conf, port string) {
	k.t.Helper()
	c := exec.Command("keystone-wsgi-public", "--host", "127.0.0.1", "--port", port, "--", "--config-file", conf)
	var said lines
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.stop = sync.OnceFunc(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	k.t.Cleanup(k.stop)
	real := k.url
	for range 1200 {
		if resp, err := http.Get(real + "/v3/"); err == nil {
			resp.Body.Close()
			k.front(real)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	k.t.Fatalf("keystone does not answer:\n%s", said.text())
}

// front puts the proxy before it, which counts what is asked about tokens and can hold it back.
func (k *cloud) front(real string) {
	to, err := url.Parse(real)
	if err != nil {
		k.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.Transport = &http.Transport{DisableKeepAlives: true} // the server takes one connection at a time
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
	k.t.Cleanup(s.Close)
	k.url = s.URL
}

// call speaks to Keystone as an administrator would.
func (k *cloud) call(method, path, token string, body, out any) http.Header {
	k.t.Helper()
	var in io.Reader
	if body != nil && method != http.MethodDelete {
		j, err := json.Marshal(body)
		if err != nil {
			k.t.Fatal(err)
		}
		in = bytes.NewReader(j)
	}
	r, err := http.NewRequestWithContext(k.t.Context(), method, k.url+"/v3"+path, in)
	if err != nil {
		k.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("X-Auth-Token", token)
	}
	if method == http.MethodDelete {
		r.Header.Set("X-Subject-Token", fmt.Sprint(body))
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		k.t.Fatalf("%s %s: %s %s", method, path, resp.Status, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			k.t.Fatal(err)
		}
	}
	return resp.Header
}

type object = map[string]any

// token logs a user in to the system or to a project of the domain Default.
func (k *cloud) token(user, scope string) string {
	k.t.Helper()
	in := object{"system": object{"all": true}}
	if scope != "system" {
		in = object{"project": object{"name": scope, "domain": object{"name": "Default"}}}
	}
	return k.call("POST", "/auth/tokens", "", object{"auth": object{"scope": in, "identity": object{"methods": []string{"password"},
		"password": object{"user": object{"name": user, "domain": object{"name": "Default"}, "password": "pw"}}}}}, nil).Get("X-Subject-Token")
}

// id makes an object and gives its id.
func (k *cloud) id(path, kind string, what object) string {
	k.t.Helper()
	var out map[string]struct{ ID string }
	k.call("POST", path, k.admin, object{kind: what}, &out)
	return out[kind].ID
}

func (k *cloud) people() {
	k.t.Helper()
	var roles struct{ Roles []struct{ ID, Name string } }
	k.call("GET", "/roles", k.admin, nil, &roles)
	role := func(name string) string {
		i := slices.IndexFunc(roles.Roles, func(r struct{ ID, Name string }) bool { return r.Name == name })
		if i < 0 {
			return k.id("/roles", "role", object{"name": name})
		}
		return roles.Roles[i].ID
	}
	var projects struct{ Projects []struct{ ID, Name string } }
	k.call("GET", "/projects?name=service", k.admin, nil, &projects)
	blue := k.id("/projects", "project", object{"name": "blue", "domain_id": "default"})
	for _, u := range []struct{ name, where, role string }{{"watch", "/system", "reader"}, {"boss", "/projects/" + blue, "admin"},
		{"worker", "/projects/" + blue, "member"}, {"guest", "/projects/" + blue, "reader"}, {"ingot", "/projects/" + projects.Projects[0].ID, "service"}} {
		id := k.id("/users", "user", object{"name": u.name, "password": "pw", "domain_id": "default"})
		k.call("PUT", u.where+"/users/"+id+"/roles/"+role(u.role), k.admin, nil, nil)
	}
}

// door is ours to this Keystone.
func (k *cloud) door(change func(*KeystoneConfig)) *Keystone {
	k.t.Helper()
	c := DefaultKeystone()
	c.AuthURL, c.Username, c.Password = k.url, "ingot", secret.New("pw")
	if change != nil {
		change(&c)
	}
	d, err := NewKeystone(c, nil)
	if err != nil {
		k.t.Fatal(err)
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
	k := keystone(t)
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
		_, err := d.Identify(t.Context(), with(k.token("boss", "blue")))
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
		c, err := d.Identify(t.Context(), with(k.token(x.user, x.scope)))
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
	good := k.token("boss", "blue")
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
	token := k.token("boss", "blue")
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
	token := k.token("boss", "blue")
	if _, err := d.Identify(t.Context(), with(token)); err != nil {
		t.Fatal(err)
	}
	k.call("DELETE", "/auth/tokens", k.admin, token, nil)
	if _, err := d.Identify(t.Context(), with(token)); err != nil {
		t.Errorf("within the cache time: %v", err)
	}
	now = now.Add(time.Minute) // and no second more
	_, err := d.Identify(t.Context(), with(token))
	is(t, err, fault.Unauthenticated)
}

func keystoneService(t *testing.T, k *cloud) {
	d := k.door(nil)
	user, service := k.token("worker", "blue"), k.token("ingot", "service")
	c, err := d.Identify(t.Context(), with(user, service))
	if err != nil || c.UserName != "worker" || c.Service.ProjectName != "service" || !slices.Contains(c.Service.Roles, "service") {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = d.Identify(t.Context(), with(user, "nonsense"))
	is(t, err, fault.Unauthenticated)
	_, err = d.Identify(t.Context(), with(user, k.token("guest", "blue"))) // no service
	is(t, err, fault.Unauthenticated)
	if c, err := d.Identify(t.Context(), with(user)); err != nil || c.Service.UserID != "" {
		t.Errorf("what a service showed is remembered for others: %+v, %v", c, err)
	}
}

// A token that another Keystone has made, of the same users, is as good as none: its keys are others.
func keystoneForeign(t *testing.T, k *cloud) {
	keys, own := filepath.Join(k.dir, "fernet"), filepath.Join(k.dir, "own")
	swap := func(to, from string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	swap(own, keys)
	newKeys(t, keys)
	foreign := k.token("boss", "blue") // Keystone reads its keys anew for each token
	swap(filepath.Join(k.dir, "foreign"), keys)
	swap(keys, own)
	d := k.door(nil)
	_, err := d.Identify(t.Context(), with(foreign))
	is(t, err, fault.Unauthenticated)
	if _, err := d.Identify(t.Context(), with(k.token("boss", "blue"))); err != nil {
		t.Errorf("a token of its own: %v", err)
	}
}

// A token that Keystone itself calls expired is refused, unless a service passes it on.
func keystoneExpired(t *testing.T, k *cloud) {
	text, err := os.ReadFile(filepath.Join(k.dir, "keystone.conf"))
	if err != nil {
		t.Fatal(err)
	}
	conf, port := filepath.Join(k.dir, "hasty.conf"), freePort(t)
	write(t, conf, strings.Replace(string(text), "[token]\n", "[token]\nexpiration = 2\n", 1))
	hasty := &cloud{t: t, url: "http://127.0.0.1:" + port, dir: k.dir}
	hasty.start(conf, port) // on the same database and keys: its tokens live for two seconds
	defer hasty.stop()
	d := k.door(func(c *KeystoneConfig) { c.TokenCacheTime = 0 })
	service := k.token("ingot", "service")
	token := hasty.token("worker", "blue")
	for err = nil; err == nil; {
		_, err = d.Identify(t.Context(), with(token))
	}
	is(t, err, fault.Unauthenticated)
	if c, err := d.Identify(t.Context(), with(token, service)); err != nil || c.UserName != "worker" {
		t.Errorf("passed on by a service: %+v, %v", c, err)
	}
}

func keystoneAtOnce(t *testing.T, k *cloud) {
	d := k.door(nil)
	token := k.token("boss", "blue")
	if _, err := d.Identify(t.Context(), with(k.token("guest", "blue"))); err != nil { // logs this server in
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
	known, unknown := k.token("boss", "blue"), k.token("worker", "blue")
	d, fresh := k.door(nil), k.door(func(c *KeystoneConfig) { c.HTTPRequestMaxRetries = 0 })
	if _, err := d.Identify(t.Context(), with(known)); err != nil {
		t.Fatal(err)
	}
	k.stop()
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
	for in, want := range map[string]string{"http://k:5000": "http://k:5000/v3/", "http://k:5000/v3": "http://k:5000/v3/", "http://k/identity/": "http://k/identity/v3/", "http://k/identity/v3/": "http://k/identity/v3/"} {
		if got := (KeystoneConfig{AuthURL: in}).endpoint(); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
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
