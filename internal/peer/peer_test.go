package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"ingot/internal/courier"
	"ingot/internal/fault"
	"ingot/internal/secret"
)

var seal = secret.New("the sealing key of a test")

const life = 24 * time.Hour

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// cluster is an issuer, which also has the role api and a courier, on a real socket.
type cluster struct {
	t      *testing.T
	clock  *clock
	issuer *Peer
	at     Server
	values *courier.Courier

	mu     sync.Mutex
	denied map[string]time.Time
	away   error // why the list cannot be read
}

func (cl *cluster) deny(context.Context) (map[string]time.Time, error) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	return maps.Clone(cl.denied), cl.away
}

func (cl *cluster) revoke(name string, at time.Time) {
	cl.t.Helper()
	cl.mu.Lock()
	cl.denied[name] = at
	cl.mu.Unlock()
	if err := cl.issuer.readDenied(cl.t.Context()); err != nil {
		cl.t.Fatal(err)
	}
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	cl := &cluster{t: t, clock: &clock{at: time.Now()}, values: courier.New(courier.Defaults()), denied: map[string]time.Time{}}
	dir := t.TempDir()
	if _, err := Init(dir, "one", []Role{API}, seal, life); err != nil {
		t.Fatal(err)
	}
	cl.issuer = cl.open(dir, cl.values)
	cl.at = Server{"one", cl.serve(cl.issuer)}
	return cl
}

func (cl *cluster) open(dir string, values *courier.Courier) *Peer {
	cl.t.Helper()
	p, err := Open(Options{Config: Config{CertificateLife: life, Look: time.Hour}, Dir: dir, Seal: seal, Denied: cl.deny, Courier: values,
		Issuers: func(context.Context) ([]Server, error) { return []Server{cl.at}, nil }})
	if err != nil {
		cl.t.Fatal(err)
	}
	p.now = cl.clock.now
	return p
}

func (cl *cluster) serve(p *Peer) string {
	cl.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		cl.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(cl.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Serve(ctx, l) }()
	cl.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			cl.t.Error(err)
		}
	})
	return "https://" + l.Addr().String()
}

func (cl *cluster) invite(name string, roles ...Role) secret.Secret {
	cl.t.Helper()
	token, err := cl.issuer.authority.Invite(name, roles, cl.at, time.Now())
	if err != nil {
		cl.t.Fatal(err)
	}
	return token
}

// joined is another server, with a certificate of its own.
func (cl *cluster) joined(name string, roles ...Role) *Peer {
	cl.t.Helper()
	dir := cl.t.TempDir()
	id, err := Join(cl.t.Context(), dir, cl.invite(name, roles...), "")
	if err != nil || id.Name != name || id.Joins || len(id.Roles) != len(roles) {
		cl.t.Fatalf("joined as %+v, %v", id, err)
	}
	return cl.open(dir, nil)
}

func TestAConductorFetchesAndReleases(t *testing.T) {
	cl := newCluster(t)
	two := cl.joined("two", Conductor)
	value := "canary\x00\xff" + strings.Repeat("x", courier.MaxValue-8)
	h, err := cl.values.Keep("op-1", map[string]secret.Secret{"a": secret.New(value), "b": secret.New("")})
	if err != nil {
		t.Fatal(err)
	}
	got, err := two.Fetch(t.Context(), cl.at, h, "op-1", []string{"a", "b"})
	if err != nil || got["a"].Expose() != value || got["b"].Expose() != "" {
		t.Fatalf("%d values, %v", len(got), err)
	}
	if _, err := two.Fetch(t.Context(), cl.at, h, "op-2", []string{"a"}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("another operation: %v", err)
	}
	if err := two.Release(t.Context(), cl.at, "guessed", "op-1"); fault.KindOf(err) != fault.NotFound || len(cl.values.Operations()) != 1 {
		t.Errorf("release without the handle: %v, left %v", err, cl.values.Operations())
	}
	if err := two.Release(t.Context(), cl.at, h, "op-1"); err != nil || len(cl.values.Operations()) != 0 {
		t.Errorf("release: %v, left %v", err, cl.values.Operations())
	}
	if _, err := two.Fetch(t.Context(), cl.at, h, "op-1", []string{"a"}); fault.KindOf(err) != fault.NotFound {
		t.Errorf("after release: %v", err)
	}
}

func TestARoleIsNeeded(t *testing.T) {
	cl := newCluster(t)
	for _, role := range []Role{API, AgentAPI, Boot} {
		other := cl.joined("with-"+string(role), role)
		if _, err := other.Fetch(t.Context(), cl.at, "h", "op", nil); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("role %s: %v", role, err)
		}
		if h, err := other.Hello(t.Context(), cl.at); err != nil || h.Name != "one" {
			t.Errorf("hello to %s: %+v, %v", role, h, err)
		}
	}
}

func TestAMetadataServiceFetchesWhatGoesWithInstallations(t *testing.T) {
	cl := newCluster(t)
	service := cl.joined("three", Metadata)
	names := []string{"os_parameters_secret/root-key", "personalization/password", "rescue_password_hash", "os_parameters_secret"}
	values := map[string]secret.Secret{}
	for _, name := range names {
		values[name] = secret.New("canary of " + name)
	}
	h, err := cl.values.Keep("op-1", values)
	if err != nil {
		t.Fatal(err)
	}
	got, err := service.Fetch(t.Context(), cl.at, h, "op-1", names[:2])
	if err != nil || got[names[0]].Expose() != "canary of "+names[0] || got[names[1]].Expose() != "canary of "+names[1] {
		t.Errorf("%d values, %v", len(got), err)
	}
	for _, name := range names[2:] {
		if _, err := service.Fetch(t.Context(), cl.at, h, "op-1", []string{names[0], name}); fault.KindOf(err) != fault.Forbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := service.Release(t.Context(), cl.at, h, "op-1"); fault.KindOf(err) != fault.Forbidden || len(cl.values.Operations()) != 1 {
		t.Errorf("release: %v", err)
	}
}

// stranger is credentials of a kind that must not be accepted.
func (cl *cluster) stranger(a *Authority, id Identity, life time.Duration, now time.Time) tls.Certificate {
	cl.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		cl.t.Fatal(err)
	}
	cert, err := a.Sign(id, key.Public(), life, now)
	if err != nil {
		cl.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}
}

// TestStrangersGetNothing shows each kind of wrong certificate and looks at the bytes: not one of HTTP comes.
func TestStrangersGetNothing(t *testing.T) {
	cl := newCluster(t)
	other, err := MakeAuthority(filepath.Join(t.TempDir(), "authority"), seal, life)
	if err != nil {
		t.Fatal(err)
	}
	now, own := time.Now(), cl.issuer.authority
	conductor := Identity{Name: "two", Roles: []Role{Conductor}}
	self := cl.stranger(other, conductor, 0, now)
	root := tls.Certificate{Certificate: [][]byte{other.generations[0].cert.Raw}, PrivateKey: other.generations[0].key}
	revoked := cl.stranger(own, Identity{Name: "revoked", Roles: []Role{Conductor}}, 0, now)
	cl.revoke("revoked", now.Add(time.Second))
	good := cl.stranger(own, conductor, 0, now)
	for name, c := range map[string]struct {
		cert []tls.Certificate
		max  uint16
		ok   bool
	}{
		"good":                          {cert: []tls.Certificate{good}, ok: true},
		"none":                          {},
		"of another authority":          {cert: []tls.Certificate{self}},
		"self-signed":                   {cert: []tls.Certificate{root}},
		"expired":                       {cert: []tls.Certificate{cl.stranger(own, conductor, time.Hour, now.Add(-2*time.Hour))}},
		"not yet good":                  {cert: []tls.Certificate{cl.stranger(own, conductor, 0, now.Add(time.Hour))}},
		"revoked":                       {cert: []tls.Certificate{revoked}},
		"TLS 1.2":                       {cert: []tls.Certificate{good}, max: tls.VersionTLS12},
		"another's certificate, stolen": {cert: []tls.Certificate{{Certificate: good.Certificate, PrivateKey: self.PrivateKey}}},
	} {
		for _, path := range []string{"/v1/hello", "/", "/v1/secrets/fetch"} {
			answered, err := raw(cl.at.URL, &tls.Config{InsecureSkipVerify: true, MaxVersion: c.max, //nolint:gosec // a stranger takes anybody
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
					if len(c.cert) == 0 {
						return &tls.Certificate{}, nil
					}
					return &c.cert[0], nil
				}}, path)
			if (len(answered) > 0) != c.ok || (err == nil) != c.ok {
				t.Errorf("%s, %s: answered %q, %v", name, path, answered, err)
			}
		}
	}
	if plain := cleartext(t, cl.at.URL); plain != "" {
		t.Errorf("without TLS it said %q", plain)
	}
}

// raw asks over TLS and gives every byte that came as an answer.
func raw(url string, c *tls.Config, path string) ([]byte, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", strings.TrimPrefix(url, "https://"), c)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: one\r\nConnection: close\r\n\r\n", path); err != nil {
		return nil, err
	}
	return io.ReadAll(conn)
}

// cleartext speaks HTTP where TLS is spoken, and gives what came.
func cleartext(t *testing.T, url string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "https://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := fmt.Fprint(conn, "GET /v1/hello HTTP/1.1\r\nHost: one\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	all, _ := io.ReadAll(conn) // the connection may be reset
	return string(all)
}

// A client takes nobody else's word either.
func TestTheServerIsVerified(t *testing.T) {
	cl := newCluster(t)
	two, three := cl.joined("two", Conductor), cl.joined("three", API)
	url := cl.serve(three)
	if _, err := two.Hello(t.Context(), Server{"three", url}); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Hello(t.Context(), Server{"one", url}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("three answered for one: %v", err)
	}
	cl.mu.Lock()
	cl.denied["three"] = time.Now().Add(time.Minute)
	cl.mu.Unlock()
	if err := two.readDenied(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Hello(t.Context(), Server{"three", url}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("three was revoked: %v", err)
	}
	foreign := newCluster(t)
	if _, err := two.Hello(t.Context(), Server{"one", foreign.at.URL}); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("another cluster's one: %v", err)
	}
}

// A connection that is open does not outlive what it was opened with.
func TestRevocationReachesOpenConnections(t *testing.T) {
	cl := newCluster(t)
	cert := cl.stranger(cl.issuer.authority, Identity{Name: "two", Roles: []Role{Conductor}}, 0, time.Now())
	conn, err := tls.Dial("tcp", strings.TrimPrefix(cl.at.URL, "https://"), &tls.Config{RootCAs: cl.issuer.current.Load().pool, ServerName: "one",
		Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	ask := func() string {
		t.Helper()
		if _, err := fmt.Fprint(conn, "GET /v1/hello HTTP/1.1\r\nHost: one\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 12)
		if _, err := io.ReadFull(conn, b); err != nil {
			t.Fatal(err)
		}
		rest := make([]byte, 4096)
		if _, err := conn.Read(rest); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := ask(); got != "HTTP/1.1 200" {
		t.Fatal(got)
	}
	cl.revoke("two", time.Now().Add(time.Second))
	if got := ask(); got != "HTTP/1.1 403" {
		t.Errorf("after the revocation: %s", got)
	}
}

func TestARevokedServerCanBeInvitedAgain(t *testing.T) {
	cl := newCluster(t)
	two := cl.joined("two", Conductor)
	cl.revoke("two", time.Now())
	if _, err := two.Hello(t.Context(), cl.at); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("revoked: %v", err)
	}
	cl.revoke("two", time.Now().Add(-time.Minute)) // certificates tell whole seconds
	again := cl.joined("two", Conductor)
	if _, err := again.Hello(t.Context(), cl.at); err != nil {
		t.Errorf("invited again: %v", err)
	}
}

func TestAnInvitationWorksOnceAndOnlyForJoining(t *testing.T) {
	cl := newCluster(t)
	token := cl.invite("two", Conductor)
	in, err := ParseToken(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/hello", "/v1/renew", "/v1/secrets/fetch"} {
		answered, err := raw(cl.at.URL, &tls.Config{RootCAs: cl.issuer.current.Load().pool, ServerName: "one", Certificates: []tls.Certificate{in.cert}}, path)
		if err != nil || !strings.Contains(string(answered), " 403 ") && !strings.Contains(string(answered), " 405 ") {
			t.Errorf("%s: %q, %v", path, answered, err)
		}
	}
	if _, err := Join(t.Context(), t.TempDir(), token, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), t.TempDir(), token, ""); fault.KindOf(err) != fault.Conflict {
		t.Errorf("used twice: %v", err)
	}
	old, err := cl.issuer.authority.Invite("two", []Role{Conductor}, cl.at, time.Now().Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(t.Context(), t.TempDir(), old, ""); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("expired: %v", err)
	}
	three := cl.joined("three", API) // no issuer: an invitation is nothing to it
	if answered, err := raw(cl.serve(three), &tls.Config{RootCAs: three.current.Load().pool, ServerName: "three", Certificates: []tls.Certificate{in.cert}}, "/v1/join"); len(answered) > 0 || err == nil {
		t.Errorf("an invitation at another server: %q, %v", answered, err)
	}
}

// Certificates are renewed in the second half of their life, with a new key, while the server serves.
func TestRenewalWithoutARestart(t *testing.T) {
	cl := newCluster(t)
	two := cl.joined("two", Conductor)
	url := cl.serve(two)
	first := two.current.Load()
	if err := two.renewIfDue(t.Context()); err != nil || two.current.Load() != first {
		t.Fatalf("renewed too early: %v", err)
	}
	for range 5 { // far beyond the first certificate's life
		cl.clock.move(life * 6 / 10)
		if err := cl.issuer.renewIfDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := two.current.Load()
		if err := two.renewIfDue(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := two.current.Load()
		if after.own.Leaf.PublicKey.(*ecdsa.PublicKey).Equal(before.own.Leaf.PublicKey) || !after.id.Is(Conductor) || after.id.Name != "two" {
			t.Errorf("renewed as %+v", after.id)
		}
		if _, err := two.Hello(t.Context(), cl.at); err != nil {
			t.Error(err)
		}
		if _, err := cl.issuer.Hello(t.Context(), Server{"two", url}); err != nil {
			t.Error(err)
		}
	}
	read, err := readCredentials(two.o.Dir)
	if err != nil || !read.own.Leaf.Equal(two.current.Load().own.Leaf) {
		t.Errorf("the folder holds another certificate: %v", err)
	}
}

// The authority is replaced while every server goes on, and the old one is trusted no more at the end.
func TestTheAuthorityRotates(t *testing.T) {
	cl := newCluster(t)
	two := cl.joined("two", Conductor)
	old := cl.issuer.authority.generations[0].cert
	if err := cl.issuer.authority.Rotate(seal, cl.clock.now()); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		cl.clock.move(life * 6 / 10)
		for _, p := range []*Peer{cl.issuer, two} {
			if err := p.renewIfDue(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := two.Hello(t.Context(), cl.at); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []*Peer{cl.issuer, two} {
		for _, c := range p.Trusted() {
			if c.Equal(old) {
				t.Errorf("%s still trusts the old authority", p.Identity().Name)
			}
		}
		if len(p.Trusted()) != 1 {
			t.Errorf("%s trusts %d authorities", p.Identity().Name, len(p.Trusted()))
		}
	}
	if again, err := OpenAuthority(cl.issuer.authority.dir, seal, life); err != nil || len(again.generations) != 2 {
		t.Errorf("read again: %v", err)
	}
	if _, err := OpenAuthority(cl.issuer.authority.dir, secret.New("another"), life); err == nil {
		t.Error("it opens with another key")
	}
}

func TestNamesOfServers(t *testing.T) {
	for name, ok := range map[string]bool{"one": true, "rack-1.example.org": true, "a": true, "": false, "One": false, "10.0.0.1": false,
		"::1": false, "a/b": false, "-a": false, "a..b": false, "a b": false, strings.Repeat("a", 64): false} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestAWrongIdentityIsNone(t *testing.T) {
	cl := newCluster(t)
	for _, id := range []Identity{{Name: "a", Roles: []Role{"root"}}, {Name: "a", Roles: []Role{Issuer}, Joins: true}} {
		leaf := cl.stranger(cl.issuer.authority, id, 0, time.Now()).Leaf
		if got, err := identityOf(leaf); err == nil {
			t.Errorf("%+v was read as %+v", id, got)
		}
	}
	if got, err := identityOf(&x509.Certificate{}); err == nil {
		t.Errorf("nothing was read as %+v", got)
	}
}

func FuzzParseToken(f *testing.F) {
	a, err := MakeAuthority(filepath.Join(f.TempDir(), "authority"), seal, life)
	if err != nil {
		f.Fatal(err)
	}
	token, err := a.Invite("two", []Role{Conductor}, Server{"one", "https://192.0.2.1:6388"}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token.Expose())
	f.Add(tokenMark + "e30")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := ParseToken(secret.New(text))
		if err == nil && (CheckName(in.Name) != nil || len(in.Roles) == 0 || !in.Joins || len(in.trusted) == 0) {
			t.Errorf("accepted %+v", in.Identity)
		}
	})
}

func FuzzParseCredentials(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := parseCredentials(text); err == nil && CheckName(c.id.Name) != nil {
			t.Errorf("accepted %+v", c.id)
		}
	})
}
