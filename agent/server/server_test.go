package server

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

const token = "0123456789012345678901234567890123456789abc"

// running is a server over real TLS, with the means to drive it.
type running struct {
	*agentapi.Client
	url     string
	ended   chan struct{}
	release chan struct{} // each receive lets one "test.hold" end
	started chan struct{} // "test.hold" runs
	log     *strings.Builder
}

type echoParams struct {
	Text string `json:"text"`
}

// partly is a failure that has a result.
type partly struct{ *agentapi.CommandError }

func (p partly) Unwrap() error { return p.CommandError }
func (partly) Result() any     { return map[string]string{"done": "half"} }

func start(t *testing.T) *running {
	t.Helper()
	r := &running{ended: make(chan struct{}, 10), release: make(chan struct{}), started: make(chan struct{}, 10), log: &strings.Builder{}}
	hold := func(ctx context.Context, _ json.RawMessage, progress func(agentapi.Progress)) (any, error) {
		progress(agentapi.Progress{What: "holding", Done: 1, Total: 2, Unit: "bytes"})
		r.started <- struct{}{}
		select {
		case <-r.release:
			return "held", nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	echo := func(_ context.Context, raw json.RawMessage, _ func(agentapi.Progress)) (any, error) {
		var p echoParams
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, Error("InvalidCommandParamsError", "%v", err)
		}
		switch p.Text {
		case "panic":
			panic("a planted defect")
		case "plain":
			return nil, errors.New("a plain error")
		case "typed":
			return nil, fmt.Errorf("wrapped: %w", Error("ImageWriteError", "no room"))
		case "partial":
			return nil, fmt.Errorf("wrapped: %w", partly{Error("OSInstallError", "half")})
		case "version":
			return nil, Error("VersionMismatch", "old")
		case "big":
			return strings.Repeat("x", maxOld+1), nil
		case "unmarshallable":
			return make(chan int), nil
		}
		return p.Text, nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := New(ctx, Config{Token: secret.New(token), Version: "9.9", Ended: func() { r.ended <- struct{}{} },
		Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Commands: map[string]Command{
			"test.hold": {Async: true, Run: hold}, "test.sync": {Run: hold},
			"test.echo": {Run: echo}, "test.later": {Async: true, Run: echo},
		}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cert, pem, err := Certificate(netip.MustParseAddr("127.0.0.1"), "machine", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, cert) }()
	r.url = "https://" + l.Addr().String()
	if r.Client, err = agentapi.NewClient(r.url, secret.New(token), pem); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Client.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if strings.Contains(r.log.String(), token) {
			t.Error("the token is in the log")
		}
	})
	return r
}

func (r *running) run(t *testing.T, name, text string, wait bool) agentapi.Result {
	t.Helper()
	res, err := r.Run(t.Context(), name, echoParams{text}, wait)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func TestSynchronousCommand(t *testing.T) {
	r := start(t)
	for _, wait := range []bool{true, false} {
		res := r.run(t, "test.echo", "hello", wait)
		if res.CommandStatus != agentapi.Succeeded || string(res.CommandResult) != `{"result":"hello"}` || res.CommandName != "echo" || res.ID == "" {
			t.Errorf("%+v %s", res, res.CommandResult)
		}
	}
	if len(r.ended) != 0 {
		t.Error("a synchronous command forced a heartbeat")
	}
}

func TestAsynchronousCommand(t *testing.T) {
	r := start(t)
	res := r.run(t, "test.hold", "", false)
	if res.CommandStatus != agentapi.Running || res.CommandResult != nil && string(res.CommandResult) != "null" {
		t.Fatalf("%+v", res)
	}
	<-r.started
	list, err := r.Commands(t.Context())
	if err != nil || len(list) != 1 || list[0].CommandStatus != agentapi.Running || list[0].Progress == nil || list[0].Progress.Done != 1 {
		t.Fatalf("%+v %v", list, err)
	}
	_, err = r.Run(t.Context(), "test.echo", nil, true)
	if !errors.Is(err, agentapi.ErrBusy) || !strings.Contains(err.Error(), "Agent is busy: executing command hold") {
		t.Errorf("second command: %v", err)
	}
	r.release <- struct{}{}
	<-r.ended
	if list, err = r.Commands(t.Context()); err != nil || list[0].CommandStatus != agentapi.Succeeded || string(list[0].CommandResult) != `{"result":"hold: held"}` {
		t.Errorf("%+v %v", list, err)
	}
	if res := r.run(t, "test.later", "x", true); res.CommandStatus != agentapi.Succeeded || string(res.CommandResult) != `{"result":"later: x"}` {
		t.Errorf("%+v", res)
	}
	<-r.ended
}

func TestCommandsDuringASynchronousOneWait(t *testing.T) {
	r := start(t)
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := r.Run(t.Context(), "test.sync", nil, true); first <- err }()
	<-r.started
	go func() { _, err := r.Run(t.Context(), "test.echo", nil, true); second <- err }()
	if _, err := r.Commands(t.Context()); err != nil { // reading is not blocked
		t.Error(err)
	}
	r.release <- struct{}{}
	if err := errors.Join(<-first, <-second); err != nil {
		t.Error(err)
	}
	list, err := r.Commands(t.Context())
	if err != nil || len(list) != 2 || list[1].CommandName != "echo" {
		t.Errorf("%+v %v", list, err)
	}
}

func TestFailuresAreResults(t *testing.T) {
	r := start(t)
	for _, c := range []struct{ text, class, details, status string }{
		{"panic", "CommandExecutionError", "the agent's own defect: a planted defect", agentapi.Failed},
		{"plain", "CommandExecutionError", "a plain error", agentapi.Failed},
		{"typed", "ImageWriteError", "no room", agentapi.Failed},
		{"partial", "OSInstallError", "half", agentapi.Failed},
		{"version", "VersionMismatch", "old", agentapi.VersionMismatch},
		{"unmarshallable", "CommandExecutionError", "json: unsupported type: chan int", agentapi.Failed},
	} {
		for _, name := range []string{"test.echo", "test.later"} {
			res := r.run(t, name, c.text, true)
			if res.CommandStatus != c.status || res.CommandError == nil || res.CommandError.Type != c.class || res.CommandError.Details != c.details || res.CommandError.Message == "" || (c.text == "partial") != (string(res.CommandResult) == `{"done":"half"}`) {
				t.Errorf("%s %s: %+v %s", name, c.text, res.CommandError, res.CommandResult)
			}
		}
	}
	if list, err := r.Commands(t.Context()); err != nil || len(list) != 12 {
		t.Errorf("%d results, %v", len(list), err)
	}
}

func TestOldBigResultsAreDropped(t *testing.T) {
	r := start(t)
	if res := r.run(t, "test.echo", "big", true); len(res.CommandResult) < maxOld {
		t.Fatal("the result itself was cut")
	}
	r.run(t, "test.echo", "small", true)
	list, err := r.Commands(t.Context())
	if err != nil || len(list) != 2 || len(list[0].CommandResult) > 4 || list[0].CommandStatus != agentapi.Succeeded || len(list[1].CommandResult) == 0 {
		t.Errorf("%+v %v", list, err)
	}
}

// TestOnTheWire holds statuses and texts against the reference's table in §6.
func TestOnTheWire(t *testing.T) {
	r := start(t)
	r.run(t, "test.echo", "one", true)
	auth := "?agent_token=" + token
	for _, c := range []struct {
		method, path, body string
		status             int
		text               string
	}{
		{"GET", "/v1/commands/", "", 401, `{"faultcode":"Client","faultstring":"401 Unauthorized: Token invalid."}`},
		{"GET", "/v1/commands/?agent_token=wrong", "", 401, "Token invalid"},
		{"GET", "/v1/commands/?agent_token=", "", 401, "Token invalid"},
		{"POST", "/v1/commands/", `{"name":"test.echo","params":{}}`, 401, "Token invalid"},
		{"GET", "/v1/commands/nobody", "", 401, "Token invalid"},
		{"GET", "/v1/commands/nobody" + auth, "", 404, "Not found: Command Result with id nobody not found."},
		{"GET", "/commands/" + auth, "", 200, `"command_name":"echo"`},
		{"GET", "/v1/commands" + auth, "", 308, ""},
		{"GET", "/v1", "", 308, ""},
		{"POST", "/v1/commands/" + auth, `{"name":"test.echo"}`, 400, "Missing or invalid name or params"},
		{"POST", "/v1/commands/" + auth, `{"name":"test.echo","params":[]}`, 400, "Missing or invalid name or params"},
		{"POST", "/v1/commands/" + auth, `{"name":"test.echo","params":null}`, 400, "Missing or invalid name or params"},
		{"POST", "/v1/commands/" + auth, `{"params":{}}`, 400, "Missing or invalid name or params"},
		{"POST", "/v1/commands/" + auth, `{`, 400, "Missing or invalid name or params"},
		{"POST", "/v1/commands/" + auth, strings.Repeat(`{"params":`, 20000), 400, "Missing or invalid name or params"},
		{"POST", "/v1/commands/" + auth, `{"name":"nodot","params":{}}`, 400, "Invalid command: Command name must be of the form <extension>.<name>"},
		{"POST", "/v1/commands/" + auth, `{"name":"no.such","params":{}}`, 404, "Not found: Extension with id no not found."},
		{"POST", "/v1/commands/" + auth, `{"name":"test.such","params":{}}`, 400, "Invalid command: Unknown command: such"},
		{"POST", "/v1/commands/" + auth, `{"name":"test.echo","params":{"text":1}}`, 400, "Invalid command parameters: "},
		{"DELETE", "/v1/commands/" + auth, "", 405, "Method Not Allowed"},
		{"POST", "/v1/status", "", 405, "Method Not Allowed"},
		{"GET", "/v1/status", "", 200, `"version":"9.9"`},
		{"GET", "/status", "", 200, `"started_at":`},
		{"GET", "/v1/nothing", "", 404, `"faultcode":"Client"`},
		{"GET", "/v1/commands/a/b" + auth, "", 404, "no such URL"},
		{"GET", "/", "", 200, `"default_version":{"id":"v1"`},
		{"GET", "/v1/", "", 200, `{"href":"https://` + strings.TrimPrefix(r.url, "https://") + `/v1/commands","rel":"self"}`},
	} {
		status, location, body := r.raw(t, c.method, c.path, c.body)
		if status != c.status || !strings.Contains(unescape(body), c.text) {
			t.Errorf("%s %s %.60s: %d %s", c.method, c.path, c.body, status, body)
		}
		if status == 308 && !strings.HasPrefix(location, strings.SplitN(c.path, "?", 2)[0]+"/") {
			t.Errorf("%s: redirected to %q", c.path, location)
		}
	}
	if list, err := r.Commands(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("refused commands are listed: %+v %v", list, err)
	}
}

// unescape undoes what encoding/json does to < and >, as any client does.
func unescape(s string) string {
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">").Replace(s)
}

// raw asks without the client, which refuses to make most of these requests. It pins nothing: what is
// checked is the body.
func (r *running) raw(t *testing.T, method, path, body string) (int, string, string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.TLS.Version != tls.VersionTLS13 {
		t.Errorf("TLS version %x", resp.TLS.Version)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ContentLength != int64(len(text)) {
		t.Errorf("%s %s: the answer announces %d bytes and has %d: a machine that goes down sends no end of it", method, path, resp.ContentLength, len(text))
	}
	return resp.StatusCode, resp.Header.Get("Location"), string(text)
}

// TestAnswerIsWholeAtOnce: the command may be the one that powers the machine off.
func TestAnswerIsWholeAtOnce(t *testing.T) {
	r := start(t)
	status, _, text := r.raw(t, http.MethodPost, "/v1/commands/?agent_token="+token, `{"name":"test.hold","params":{}}`)
	if status != http.StatusOK || !strings.Contains(text, `"command_status":"RUNNING"`) {
		t.Errorf("%d %s", status, text)
	}
	r.release <- struct{}{}
}

func TestWaitingForAResultByID(t *testing.T) {
	r := start(t)
	res := r.run(t, "test.hold", "", false)
	<-r.started
	got := make(chan string, 1)
	go func() {
		_, _, body := r.raw(t, "GET", "/v1/commands/"+res.ID+"?wait=TRUE&agent_token="+token, "")
		got <- body
	}()
	r.release <- struct{}{}
	if body := <-got; !strings.Contains(body, `"command_status":"SUCCEEDED"`) {
		t.Error(body)
	}
}

func TestWithoutATokenNothingRuns(t *testing.T) {
	s := New(t.Context(), Config{Log: slog.New(slog.DiscardHandler)})
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/commands/?agent_token=", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestStoppingEndsACommand(t *testing.T) {
	r := start(t) // the cleanup of start stops the server while this one is held, and fails if that errs
	r.run(t, "test.hold", "", false)
	<-r.started
}

func FuzzCommandBody(f *testing.F) {
	f.Add(`{"name":"test.echo","params":{"text":"x"}}`)
	f.Add(`{"name":"test.","params":{}}`)
	f.Add(`{"name":".","params":{"a":[[[[]]]]}}`)
	echo := func(_ context.Context, p json.RawMessage, _ func(agentapi.Progress)) (any, error) { return p, nil }
	f.Fuzz(func(t *testing.T, body string) {
		s := New(t.Context(), Config{Token: secret.New(token), Log: slog.New(slog.DiscardHandler),
			Commands: map[string]Command{"test.echo": {Run: echo}}})
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, httptest.NewRequest("POST", "/v1/commands/?agent_token="+token, strings.NewReader(body)))
		if w.Code != 200 && w.Code != 400 && w.Code != 404 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
