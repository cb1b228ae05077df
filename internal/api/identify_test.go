package api

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/policy"
)

// guard is a door with one user, "ada" of project "blue", and a reason to refuse everybody else.
type guard struct{ refusal error }

func (guard) Challenge() string { return `Basic realm="Baremetal API"` }

func (g guard) Identify(_ context.Context, r *http.Request) (policy.Caller, error) {
	if r.Header.Get("X-Ada") == "" {
		return policy.Caller{}, g.refusal
	}
	return policy.Caller{UserID: "ada", ProjectID: "blue", Roles: []string{"admin", "manager", "member", "reader"}}, nil
}

// visit sends one request and gives the answer with its body read.
func visit(t *testing.T, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func TestWhoIsAsked(t *testing.T) {
	r := newRig(t, func(o *Options) {
		o.Identity, o.AgentOnPublic = guard{fault.New(fault.Unauthenticated, "Log in.")}, true
	})
	for path, want := range map[string]int{
		"/": 200, "/v1": 200, "/v1/": 200,
		"/v1/nodes": 401, "/nodes": 401, "/v1/nothing": 401, "/v1/ports": 401, "/ingot/v1/servers": 401, "/v1/doctor": 401, "/v1//nodes": 401,
		"/v1/lookup?addresses=x": 404, "/lookup?addresses=x": 401, "/v1/heartbeat/Node.1": 401, "/v1/../v1/nodes": 401, "/v1/nodes/../lookup": 404,
	} {
		if resp, body := visit(t, http.DefaultClient, r.url+path); resp.StatusCode != want && !(want == 404 && resp.StatusCode < 401) {
			t.Errorf("%s: %d %s, want %d", path, resp.StatusCode, body, want)
		}
	}
	resp, body := visit(t, http.DefaultClient, r.url+"/v1/nodes")
	var doc struct {
		Error struct {
			Code           int
			Title, Message string
		}
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || doc.Error.Code != 401 || doc.Error.Message != "Log in." || doc.Error.Title != "Unauthorized" {
		t.Errorf("%v: %s", err, body)
	}
	if h := resp.Header.Get("WWW-Authenticate"); h != `Basic realm="Baremetal API"` {
		t.Errorf("challenge: %q", h)
	}
	if resp, body := visit(t, http.DefaultClient, r.url+"/v1/nodes", "X-Ada", "1"); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// Whoever cannot be asked now is not refused but put off; a header that cannot be read is the client's mistake.
func TestRefusalsHaveTheirStatus(t *testing.T) {
	for _, x := range []struct {
		kind fault.Kind
		want int
	}{{fault.Unavailable, 503}, {fault.Invalid, 400}, {fault.Internal, 500}} {
		r := newRig(t, func(o *Options) { o.Identity = guard{fault.New(x.kind, "Why.")} })
		resp, body := visit(t, http.DefaultClient, r.url+"/v1/nodes")
		if resp.StatusCode != x.want || resp.Header.Get("WWW-Authenticate") != "" || !strings.Contains(body, `{"error":{`) {
			t.Errorf("%v: %d %v %s", x.kind, resp.StatusCode, resp.Header, body)
		}
	}
}

// Events tell the user and the project; OpenStack's clients get them apart.
func TestCallerIsRemembered(t *testing.T) {
	for _, x := range []struct {
		c                   policy.Caller
		name, user, project string
	}{
		{policy.Caller{Trusted: true}, "operator", "operator", ""},
		{policy.Caller{UserID: "ada", SystemScope: "all"}, "ada", "ada", ""},
		{policy.Caller{UserID: "ada@example.org", ProjectID: "blue"}, "ada@example.org of blue", "ada@example.org", "blue"},
	} {
		c := call{who: x.c}
		if got := c.name(); got != x.name {
			t.Errorf("%q, want %q", got, x.name)
		}
		if u, p := userAndProject(c.name()); u != x.user || p != x.project {
			t.Errorf("%q %q", u, p)
		}
	}
}

func TestTrapNoLimitPerClient(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Rate, o.Burst = 1, 3 })
	counts := map[int]int{}
	for range 6 {
		resp, body := visit(t, http.DefaultClient, r.url+"/v1/nodes")
		counts[resp.StatusCode]++
		if resp.StatusCode == 429 && (resp.Header.Get("Retry-After") == "" || resp.Header.Get("Retry-After") == "0" || !strings.Contains(body, "too many requests")) {
			t.Errorf("%v %s", resp.Header, body)
		}
	}
	if counts[429] == 0 || counts[200] < 3 {
		t.Errorf("%v", counts)
	}
	if resp, _ := visit(t, http.DefaultClient, r.url+"/v1/nodes", "User-Agent", "python-ironicclient"); resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "" {
		t.Errorf("python-ironicclient breaks on this: %v", resp.Header)
	}
	l := newLimiter(1, 2)
	now := time.Unix(1000, 0)
	for i, want := range []bool{true, true, false, false} {
		if got := l.take("192.0.2.1:5", now) == 0; got != want {
			t.Errorf("request %d: %v", i, got)
		}
	}
	if l.take("192.0.2.2:5", now) != 0 {
		t.Error("another client pays for the first")
	}
	if l.take("192.0.2.1:6", now.Add(time.Second)) != 0 {
		t.Error("what was refused counted")
	}
	if l.take("[2001:db8::1]:1", now)+l.take("[2001:db8::2]:1", now) != 0 || l.take("[2001:db8::3]:1", now) == 0 {
		t.Error("a /64 is not one client")
	}
	for i := range 3 * clientsKept {
		l.take("10."+string(rune('0'+i%10))+".0.1:1", now)
		l.of(client(netipText(i)))
	}
	if n := len(l.now) + len(l.old); n > clientsKept {
		t.Errorf("%d clients are kept", n)
	}
}

func netipText(i int) string {
	return strings.Join([]string{"10", itoa(i >> 16 & 255), itoa(i >> 8 & 255), itoa(i & 255)}, ".") + ":80"
}

func itoa(i int) string { b, _ := json.Marshal(i); return string(b) }
