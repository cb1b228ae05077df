package agentapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

func TestLookupAndHeartbeatOnTheWire(t *testing.T) {
	var asked []string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, `{"default_version":{"version":"1.115"}}`)
	})
	mux.HandleFunc("GET /v1/lookup", func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RawQuery+" "+r.Header.Get(versionHeader)+" "+r.Header.Get(TokenHeader))
		fmt.Fprint(w, `{"node":{"uuid":"N"},"config":{"heartbeat_timeout":300,"agent_token":"******","future":[1]}}`)
	})
	mux.HandleFunc("POST /v1/heartbeat/N", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, string(body)+" "+r.Header.Get(versionHeader))
		w.WriteHeader(http.StatusAccepted)
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	gone := httptest.NewServer(mux)
	gone.Close()

	c, err := NewCaller(gone.URL+", "+s.URL+"/", "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, when, err := c.Lookup(t.Context(), LookupQuery{NodeUUID: "N", Addresses: []string{"52:54:00:AA:bb:01", "52:54:00:aa:bb:02"}, Token: secret.New("T")})
	if err != nil || a.Node.UUID != "N" || when.IsZero() {
		t.Fatalf("%+v %v %v", a, when, err)
	}
	if err := c.Heartbeat(t.Context(), "N", Heartbeat{CallbackURL: "https://192.0.2.1:9999", AgentToken: "T", AgentVersion: "1", AgentVerifyCA: "P"}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"addresses=52%3A54%3A00%3Aaa%3Abb%3A01%2C52%3A54%3A00%3Aaa%3Abb%3A02&node_uuid=N 1.62 T",
		`{"agent_token":"T","agent_verify_ca":"P","agent_version":"1","callback_url":"https://192.0.2.1:9999"} 1.68`,
	}
	if fmt.Sprint(asked) != fmt.Sprint(want) {
		t.Errorf("got  %q\nwant %q", asked, want)
	}
	if c.Bases()[0].String() != s.URL {
		t.Errorf("the URL that works is not preferred: %v", c.Bases())
	}
}

func TestOldServerGetsNoNewFields(t *testing.T) {
	var body map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			fmt.Fprint(w, `{"default_version":{"version":"1.40"}}`)
			return
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer s.Close()
	c, err := NewCaller(s.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Heartbeat(t.Context(), "N", Heartbeat{CallbackURL: "u", AgentToken: "T", AgentVersion: "1", AgentVerifyCA: "P"}); err != nil {
		t.Fatal(err)
	}
	if len(body) != 2 || body["agent_version"] != "1" {
		t.Errorf("sent %v", body)
	}
}

func TestCallerFaults(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		kind   fault.Kind
		text   string
	}{
		{409, `{"error_message":"{\"faultstring\":\"Node N is locked\"}"}`, fault.Locked, "Node N is locked"},
		{404, `{"error_message":{"faultstring":"not there"}}`, fault.NotFound, "not there"},
		{400, `{"error_message":{"title":"wrong"}}`, fault.Invalid, "wrong"},
		{503, ``, fault.Unavailable, "503"},
		{500, `[]`, fault.Internal, "500"},
		{200, `{"node":{}}`, fault.Internal, "names no node"},
		{200, `[`, fault.Internal, "not the protocol"},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(c.status)
			fmt.Fprint(w, c.body)
		}))
		caller, err := NewCaller(s.URL, "")
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = caller.Lookup(t.Context(), LookupQuery{NodeUUID: "N"})
		if fault.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.text) || errors.Is(err, ErrLocked) != (c.status == 409) {
			t.Errorf("%d %s: %v (%v)", c.status, c.body, err, fault.KindOf(err))
		}
		s.Close()
	}
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	caller, err := NewCaller(dead.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := caller.Heartbeat(t.Context(), "N", Heartbeat{AgentToken: token}); fault.KindOf(err) != fault.Unavailable || strings.Contains(err.Error(), token) {
		t.Errorf("%v", err)
	}
}
