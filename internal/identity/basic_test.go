package identity

import (
	"context"
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"ingot/internal/fault"
)

// hash is a quick bcrypt hash.
func hash(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// from is a request with credentials.
func from(user, password string) *http.Request {
	r := httptest.NewRequest("GET", "/v1/nodes", nil)
	r.SetBasicAuth(user, password)
	return r
}

func is(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	if err == nil || fault.KindOf(err) != want {
		t.Errorf("got %v, want an error of kind %v", err, want)
	}
}

func TestHtpasswd(t *testing.T) {
	name := filepath.Join(t.TempDir(), "htpasswd")
	y := "$2y" + hash(t, "one")[3:] // as Apache's htpasswd writes it
	write(t, name, "# people\n\nada:"+y+"\nbob:"+hash(t, "two")+"\n")
	d, err := NewHtpasswd(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	d.checker.compared = func() { compared++ }
	for range 3 {
		c, err := d.Identify(t.Context(), from("ada", "one"))
		if err != nil || !c.Trusted || c.UserID != "ada" {
			t.Fatalf("%+v, %v", c, err)
		}
	}
	if compared != 1 {
		t.Errorf("three log-ins took %d comparisons", compared)
	}
	for range 2 {
		for _, r := range []*http.Request{from("ada", "two"), from("ada", ""), from("nobody", "one"), from("", "")} {
			_, err := d.Identify(t.Context(), r)
			is(t, err, fault.Unauthenticated)
		}
	}
	if compared != 5 {
		t.Errorf("%d comparisons: a user who does not exist must cost one as well, and a wrong password only the first time", compared)
	}

	// A changed password counts with the next request, whatever is remembered.
	write(t, name+".new", "ada:"+hash(t, "three")+"\n")
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	_, err = d.Identify(t.Context(), from("ada", "one"))
	is(t, err, fault.Unauthenticated)
	_, err = d.Identify(t.Context(), from("bob", "two"))
	is(t, err, fault.Unauthenticated)
	if _, err := d.Identify(t.Context(), from("ada", "three")); err != nil {
		t.Error(err)
	}
}

func TestBrokenFileKeepsTheOld(t *testing.T) {
	name := filepath.Join(t.TempDir(), "htpasswd")
	write(t, name, "ada:"+hash(t, "one"))
	var said lines
	d, err := NewHtpasswd(name, slog.New(slog.NewTextHandler(&said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	write(t, name, "ada:canary-5 not a hash\n")
	for range 3 {
		if _, err := d.Identify(t.Context(), from("ada", "one")); err != nil {
			t.Fatal(err)
		}
	}
	if n := said.count("stays in force"); n != 1 || !strings.Contains(said.text(), "line 1") || strings.Contains(said.text(), "canary") {
		t.Errorf("told %d times:\n%s", n, said.text())
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Identify(t.Context(), from("ada", "one")); err != nil {
		t.Error(err)
	}
	write(t, name, "bob:"+hash(t, "two"))
	if _, err := d.Identify(t.Context(), from("bob", "two")); err != nil {
		t.Error(err)
	}
}

func TestHtpasswdRefusals(t *testing.T) {
	good := hash(t, "x")
	for _, x := range []struct{ text, want string }{
		{"ada", "line 1: there is no colon"},
		{"ada:" + good + "\nbob:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=", "line 2: the password is hashed by another method"},
		{"ada:$apr1$abc$def", "only bcrypt"},
		{"ada:secret", "line 1: the password is not a bcrypt hash"},
		{"ada:" + good[:50], "damaged"},
		{"ada:" + good[:59] + "!", "damaged"},
		{"ada:$2y$31$" + good[7:], "cost of 31"},
		{"ada:" + good + "\nada:" + good, `line 2: the user "ada" is there already`},
		{"a b:" + good, "has a space"},
		{":" + good, "a name is empty"},
	} {
		_, err := parseHtpasswd([]byte(x.text))
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%q: got %v, want %s", x.text, err, x.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats what may be a password: %v", err)
		}
	}
}

func TestHeaders(t *testing.T) {
	b := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, x := range []struct {
		header string
		want   fault.Kind
	}{
		{"Bearer abc", fault.Invalid}, {"Basic", fault.Invalid}, {"Basic !!!", fault.Invalid}, {"Basic " + b("no colon"), fault.Invalid},
		{"Basic " + b("a:\xff"), fault.Invalid}, {"Basic a b", fault.Invalid}, {"", fault.Invalid}, {"Basic " + strings.Repeat("A", 1<<15), fault.Invalid},
	} {
		_, _, err := credentials(http.Header{"Authorization": {x.header}})
		is(t, err, x.want)
	}
	_, _, err := credentials(http.Header{})
	is(t, err, fault.Unauthenticated)
	_, _, err = credentials(http.Header{"Authorization": {"Basic " + b("a:b"), "Basic " + b("c:d")}})
	is(t, err, fault.Invalid)
	u, p, err := credentials(http.Header{"Authorization": {"bAsIc " + b("ada:a:b c")}})
	if u != "ada" || p != "a:b c" || err != nil {
		t.Errorf("%q %q %v", u, p, err)
	}
}

// The decoy must cost what a user's hash costs: bcrypt must take it for a hash.
func TestDecoy(t *testing.T) {
	for _, costs := range []map[int]int{nil, {5: 2, 11: 1}, {11: 1}} {
		d := decoy(costs)
		if _, err := checkHash(d); err != nil {
			t.Errorf("%s: %v", d, err)
		}
		if err := bcrypt.CompareHashAndPassword([]byte(d), []byte("x")); costs[11] != 1 && err != bcrypt.ErrMismatchedHashAndPassword {
			t.Errorf("%s: %v", d, err)
		}
	}
	if !strings.HasPrefix(decoy(map[int]int{5: 2, 11: 1}), "$2b$05$") {
		t.Error("the decoy is not of the cost that most users have")
	}
}

// One address that guesses gets one slot: another's log-in goes past its queue.
func TestGateIsFair(t *testing.T) {
	g := newGate(2, 3, 10)
	bad, good := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	leaveBad, err := g.enter(t.Context(), bad)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			if leave, err := g.enter(ctx, bad); err == nil {
				leave()
				t.Error("a second check of one address went on")
			}
		})
	}
	for !full(g, bad) {
		time.Sleep(time.Millisecond)
	}
	if _, err := g.enter(t.Context(), bad); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the queue has no end: %v", err)
	}
	leave, err := g.enter(t.Context(), good)
	if err != nil {
		t.Fatal(err)
	}
	leave()
	stop()
	waiting.Wait()
	leaveBad()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) != 0 || len(g.slots) != 0 {
		t.Errorf("left behind: %v, %d", g.waiting, len(g.slots))
	}
}

func full(g *gate, a netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting[a].here > g.queue
}

// Many requests with the same password are one comparison, and none is turned away.
func TestOneComparisonForAll(t *testing.T) {
	c := newChecker()
	h := hash(t, "one")
	var compared atomic.Int32
	hold := make(chan struct{})
	c.compared = func() { compared.Add(1); <-hold }
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if ok, err := c.right(t.Context(), netip.Addr{}, "ada", "one", h, true); !ok || err != nil {
				t.Errorf("%v, %v", ok, err)
			}
		})
	}
	for compared.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	close(hold)
	all.Wait()
	if n := compared.Load(); n != 1 {
		t.Errorf("%d comparisons", n)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m, d := newMemory[int](100), newDigester()
	now := time.Unix(1, 0)
	m.clock = func() time.Time { return now }
	for i := range 1000 {
		m.put(d.of("k", string(rune(i))), i, now.Add(time.Minute))
	}
	if n := m.len(); n > 100 {
		t.Errorf("%d are kept", n)
	}
	k := d.of("a", "b")
	m.put(k, 7, now.Add(time.Minute))
	if v, ok := m.get(k); !ok || v != 7 {
		t.Error("what was just put is gone")
	}
	now = now.Add(time.Minute)
	if _, ok := m.get(k); ok {
		t.Error("it outlives its time")
	}
	if d.of("a", "b") == d.of("ab", "") {
		t.Error("another division of the text gives the same digest")
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add("Basic YTpi")
	f.Add("basic \x00")
	f.Fuzz(func(t *testing.T, h string) {
		user, _, err := credentials(http.Header{"Authorization": {h}})
		if err == nil && strings.Contains(user, ":") {
			t.Error("a user with a colon")
		}
		if err != nil && fault.KindOf(err) == fault.Internal {
			t.Error(err)
		}
	})
}

func FuzzHtpasswd(f *testing.F) {
	f.Add("a:$2y$04$abcdefghijklmnopqrstuuZJNFZ5cJPSeJ6iJkYsDXh.ozoWcaGzO\n#\n")
	f.Fuzz(func(t *testing.T, text string) {
		in, err := parseHtpasswd([]byte(text))
		for u, h := range in.hashes {
			if cost, e := bcrypt.Cost([]byte(h)); err == nil && (e != nil || cost > MaxCost) {
				t.Errorf("%q: %v", u, e)
			}
		}
	})
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) count(s string) int { return strings.Count(l.text(), s) }
