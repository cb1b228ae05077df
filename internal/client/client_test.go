package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// asked is what a test server was asked.
type asked struct {
	method, uri, version, body string
}

// server answers with the handler, records what came, and gives a client whose pauses are recorded.
func server(t *testing.T, h http.HandlerFunc) (*Client, *[]asked, *[]time.Duration) {
	t.Helper()
	var got []asked
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got = append(got, asked{r.Method, r.URL.RequestURI(), r.Header.Get(wire.HeaderVersion), string(b)})
		h(w, r)
	}))
	t.Cleanup(s.Close)
	var pauses []time.Duration
	c, err := New(s.URL+"/v1/", Options{Pause: func(_ context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return c, &got, &pauses
}

// refuse answers as the API does: a document inside a string inside a document.
func refuse(w http.ResponseWriter, status int, text string) {
	inner, _ := json.Marshal(map[string]any{"faultcode": "Client", "faultstring": text, "debuginfo": nil})
	w.Header().Set("OpenStack-Request-Id", "req-1")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error_message": string(inner)})
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		kind   fault.Kind
		public string
	}{
		{404, `{"error_message": "{\"faultcode\":\"Client\",\"faultstring\":\"Node x could not be found.\",\"debuginfo\":null}"}`, fault.NotFound, "Node x could not be found."},
		{404, `{"error_message": "{\"code\":404,\"title\":\"Not Found\",\"description\":\"no such path\"}"}`, fault.NotFound, "no such path"},
		{406, `{"error_message": {"faultstring": "not twice encoded"}}`, fault.NotAcceptable, "not twice encoded"},
		{400, `{"error_message": "just text"}`, fault.Invalid, "just text"},
		{400, `{"error_message": "{\"faultstring\":\"The requested action \\\"active\\\" can not be performed on node \\\"u\\\" while it is in state \\\"enroll\\\".\"}"}`, fault.BadState, `The requested action "active" can not be performed on node "u" while it is in state "enroll".`},
		{409, `{"error_message": "{\"faultstring\":\"A node with name n already exists.\"}"}`, fault.Conflict, "A node with name n already exists."},
		{413, `{"faultcode": "Client", "faultstring": "Request body is too large"}`, fault.TooLarge, "Request body is too large"},
		{401, `{"error": {"message": "Authorization required", "code": 401}}`, fault.Unauthenticated, "Authorization required"},
		{500, `<html>proxy</html>`, fault.Internal, "the server answered 500 Internal Server Error without saying why"},
		{400, "Client sent an HTTP request to an HTTPS server.\n", fault.Invalid, "the server speaks TLS: give an endpoint with https://"},
		{501, ``, fault.NotSupported, "the server answered 501 Not Implemented without saying why"},
	} {
		c, _, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		})
		_, err := c.CreateNode(t.Context(), NewNode{Driver: "d"})
		if got, _ := fault.PublicOf(err); fault.KindOf(err) != tc.kind || got != tc.public {
			t.Errorf("%d %s: got %v %q", tc.status, tc.body, fault.KindOf(err), got)
		}
		var r *Refusal
		if !errors.As(err, &r) || r.Status != tc.status {
			t.Errorf("%d: cause is %v", tc.status, errors.Unwrap(err))
		}
	}
}

// Each row: what the server answers first, and whether the client asks again.
func TestRetries(t *testing.T) {
	locked := func(w http.ResponseWriter) {
		refuse(w, 409, "Node n is locked by host h, please retry after the current operation is completed.")
	}
	busy := func(w http.ResponseWriter) { refuse(w, 503, "no free worker") }
	proxy := func(w http.ResponseWriter) { w.WriteHeader(502) }
	asksToWait := func(s string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.Header().Set("Retry-After", s); busy(w) }
	}
	hang := func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }
	get := func(c *Client) error { _, err := c.Node(t.Context(), "n"); return err }
	put := func(c *Client) error {
		return c.SetProvision(t.Context(), "n", Provision{Verb: metal.VerbManage})
	}
	for _, tc := range []struct {
		name  string
		first func(http.ResponseWriter)
		do    func(*Client) error
		want  []time.Duration
	}{
		{"locked, verb", locked, put, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}},
		{"busy, verb", busy, put, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}},
		{"busy, says when", asksToWait("3"), get, []time.Duration{3 * time.Second, 3 * time.Second, 3 * time.Second}},
		{"busy, says too late", asksToWait("60"), get, nil},
		{"proxy, read", proxy, get, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second}},
		{"proxy, verb: it may have been begun", proxy, put, nil},
		{"broken off, verb", hang, put, nil},
		{"conflict", func(w http.ResponseWriter) { refuse(w, 409, "taken") }, put, nil},
		{"not found", func(w http.ResponseWriter) { refuse(w, 404, "gone") }, get, nil},
	} {
		c, got, pauses := server(t, func(w http.ResponseWriter, _ *http.Request) { tc.first(w) })
		if err := tc.do(c); err == nil {
			t.Errorf("%s: no error", tc.name)
		}
		if !slices.Equal(*pauses, tc.want) || len(*got) != len(tc.want)+1 {
			t.Errorf("%s: asked %d times, pauses %v, want %v", tc.name, len(*got), *pauses, tc.want)
		}
	}
}

func TestRetrySucceeds(t *testing.T) {
	n := 0
	c, got, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n < 3 {
			refuse(w, 409, "Node n is locked by host h")
			return
		}
		w.WriteHeader(202)
	})
	if err := c.SetPower(t.Context(), "n", metal.PowerOn, 90*time.Second); err != nil {
		t.Fatal(err)
	}
	last := (*got)[2]
	if len(*got) != 3 || last.body != `{"target":"power on","timeout":90}`+"\n" || last.version != Microversion {
		t.Errorf("asked %+v", *got)
	}
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	endpoint := "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := New(endpoint, Options{Pause: func(context.Context, time.Duration) error {
		t.Error("tried again where nobody listens")
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Nodes(t.Context(), NodeQuery{})
	var u *Unreachable
	if !errors.As(err, &u) || u.Endpoint != endpoint {
		t.Errorf("got %v", err)
	}
}

func TestPages(t *testing.T) {
	c, got, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("marker") == "" {
			_, _ = io.WriteString(w, `{"nodes": [{"uuid": "a", "name": null, "new_field": 7}], "next": "http://elsewhere.example/prefix/v1/nodes?limit=1&marker=a"}`)
			return
		}
		_, _ = io.WriteString(w, `{"nodes": [{"uuid": "b", "name": "two"}]}`)
	})
	yes := true
	nodes, err := c.Nodes(t.Context(), NodeQuery{Maintenance: &yes, Fields: []string{"uuid", "name"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(nodes) != 2 || nodes[0].Label() != "a" || nodes[1].Label() != "two" || nodes[0].All["new_field"] != json.Number("7") {
		t.Errorf("got %+v", nodes)
	}
	if (*got)[0].uri != "/v1/nodes?fields=uuid%2Cname&maintenance=true" || (*got)[1].uri != "/v1/nodes?limit=1&marker=a" {
		t.Errorf("asked %+v", *got)
	}
	if one, err := c.Nodes(t.Context(), NodeQuery{Limit: 1}); err != nil || len(one) != 1 {
		t.Errorf("limit 1: %d nodes, %v", len(one), err)
	}
}

func TestPageLinkOutOfTheAPI(t *testing.T) {
	c, _, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"nodes": [], "next": "http://elsewhere.example/other"}`)
	})
	if _, err := c.Nodes(t.Context(), NodeQuery{}); err == nil {
		t.Error("followed a link out of the API")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	long := bytes.Repeat([]byte("a"), answerLimit)
	c, _, _ := server(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"uuid": "%s"}`, long)
	})
	if _, err := c.Node(t.Context(), "n"); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("got %v", err)
	}
}

func TestBoundedExactly(t *testing.T) {
	for _, tc := range []struct {
		left int64
		err  error
	}{{5, nil}, {4, nil}, {3, errTooLong}} {
		b, err := io.ReadAll(&bounded{r: strings.NewReader("abc"), left: tc.left})
		if !errors.Is(err, tc.err) || string(b) != "abc" {
			t.Errorf("left %d: %q, %v", tc.left, b, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	c, got, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://other.example/v1/nodes", http.StatusMovedPermanently)
	})
	_, err := c.CreateNode(t.Context(), NewNode{Driver: "d"})
	if text, _ := fault.PublicOf(err); !strings.Contains(text, "other.example") || len(*got) != 1 {
		t.Errorf("got %v, asked %d times", err, len(*got))
	}
}

func TestPathsAreEscaped(t *testing.T) {
	c, got, _ := server(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) })
	if _, err := c.Node(t.Context(), "../a/b?c"); err != nil {
		t.Fatal(err)
	}
	if uri := (*got)[0].uri; uri != "/v1/nodes/..%2Fa%2Fb%3Fc" {
		t.Errorf("asked %s", uri)
	}
	if _, err := c.Node(t.Context(), ""); fault.KindOf(err) != fault.Invalid {
		t.Errorf("empty name: %v", err)
	}
}

const canary = "canary-5f1d"

// A secret reaches the server and nothing else.
func TestSecrets(t *testing.T) {
	c, got, _ := server(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 400, "no") })
	info := secret.NewMap(map[string]any{"redfish_password": canary})
	_, err := c.CreateNode(t.Context(), NewNode{Driver: "redfish", DriverInfo: info})
	if !strings.Contains((*got)[0].body, canary) {
		t.Errorf("not sent: %s", (*got)[0].body)
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), canary) {
		t.Errorf("in the error: %+v", err)
	}
	_, err = c.UpdateNode(t.Context(), "n", []wire.PatchOp{Set("/driver_info/redfish_password", secret.New(canary)), Unset("/name")}, false)
	want := `[{"op":"add","path":"/driver_info/redfish_password","value":"canary-5f1d"},{"op":"remove","path":"/name"}]` + "\n"
	if (*got)[1].body != want || strings.Contains(fmt.Sprintf("%+v", err), canary) {
		t.Errorf("sent %s, error %+v", (*got)[1].body, err)
	}
}

// The server may cap pages below what is asked for: only an empty one is the end.
func TestEventsFollowPages(t *testing.T) {
	next := map[string]string{"": "a", "a": "b"}
	c, got, _ := server(t, func(w http.ResponseWriter, r *http.Request) {
		events := []metal.HistoryEvent{}
		if id, ok := next[r.URL.Query().Get("after")]; ok {
			events = append(events, metal.HistoryEvent{UUID: id})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"events": events})
	})
	events, err := c.Events(t.Context(), "n", "")
	if err != nil || len(events) != 2 || events[1].UUID != "b" || len(*got) != 3 || (*got)[2].uri != "/ingot/v1/nodes/n/events?after=b&limit=500" {
		t.Errorf("%+v, %v, asked %+v", events, err, *got)
	}
}

func TestEndpoints(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:6385", "ftp://h", "http://", "http://u:p@h"} {
		if _, err := New(bad, Options{}); fault.KindOf(err) != fault.Invalid || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	for in, want := range map[string]string{
		"http://h:1":              "http://h:1",
		"http://h:1/":             "http://h:1",
		"https://h/baremetal/v1/": "https://h/baremetal",
	} {
		c, err := New(in, Options{})
		if err != nil || c.Endpoint() != want {
			t.Errorf("%q: %v, %v", in, c, err)
		}
	}
}

func TestREQ12HiddenValuesGoByTLSOnly(t *testing.T) {
	hidden := secret.New("canary")
	for what, os := range map[string]*OSInstall{
		"a private value":          {Private: map[string]secret.Secret{"token": hidden}},
		"a secret one":             {Secret: map[string]secret.Secret{"token": hidden}},
		"credentials of a package": {User: hidden},
		"credentials of an export": {ImportPassword: hidden},
		"nothing of the kind":      {Public: map[string]string{"a": "1"}},
		"nothing":                  nil,
	} {
		for endpoint, safe := range map[string]bool{"http://bare.example.org:6385": false, "http://192.0.2.1:6385": false,
			"https://bare.example.org": true, "http://127.0.0.1:6385": true, "http://[::1]:6385": true, "http://localhost:6385": true} {
			asked := 0
			c, err := New(endpoint, Options{Tries: 1, HTTP: &http.Client{Transport: trip(func(*http.Request) (*http.Response, error) {
				asked++
				return &http.Response{StatusCode: http.StatusAccepted, Body: http.NoBody}, nil
			})}})
			if err != nil {
				t.Fatal(err)
			}
			err = c.SetProvision(t.Context(), "n", Provision{Verb: metal.VerbActive, OS: os})
			if sent := safe || !os.hides(); sent != (err == nil) || sent != (asked == 1) || !sent && !strings.Contains(err.Error(), "plain http") {
				t.Errorf("%s to %s: asked %d times, %v", what, endpoint, asked, err)
			}
		}
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
