package server

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"ingot/internal/agentapi"
	"ingot/internal/secret"
)

const (
	// headerLimit and bodyLimit are how long a client may take to send; the network is a local one.
	headerLimit = 20 * time.Second
	bodyLimit   = 2 * time.Minute
	// stopLimit is how long the answers under way may take when the server stops.
	stopLimit = 2 * time.Second
)

// Config is what a Server is made of.
type Config struct {
	Token    secret.Secret      // callers must show it; empty: every command is refused
	Version  string             // of the agent, for GET /v1/status
	Commands map[string]Command // by "<extension>.<command>"
	// Ended is called after every asynchronous command, whatever became of it. May be nil.
	Ended func()
	// Client, if there is one, is the certificate that every caller must show.
	Client *agentapi.Certificate
	// Final is called once, when a command that is the last was done. May be nil.
	Final func()
	// Linger is how long lists are answered after one with the last command's result was fetched; 0: 10 s.
	Linger time.Duration
	Log    *slog.Logger
}

// Server runs commands. Make it with New.
type Server struct {
	token    secret.Secret
	version  string
	commands map[string]Command
	ended    func()
	client   *agentapi.Certificate
	log      *slog.Logger
	started  time.Time
	instance string // of this start of the agent, and of no other

	final, fetched       chan struct{} // closed: the last command was done; its result was fetched
	finish, markSeen     func()
	seenWait, unseenWait time.Duration // as the constants, but in tests

	work  context.Context // of commands; ends with the agent
	stop  context.CancelFunc
	tasks sync.WaitGroup
	gate  chan struct{} // holds one token: who has it may look whether the agent is busy, and start

	mu      sync.Mutex
	records []*record
	holder  agentapi.Holder // the newest that was heard of
}

// New makes a server that has run nothing yet. ctx is what commands run under.
func New(ctx context.Context, c Config) *Server {
	s := &Server{token: c.Token, version: c.Version, commands: c.Commands, ended: c.Ended, client: c.Client, log: c.Log,
		started: time.Now(), instance: uuid.NewString(), gate: make(chan struct{}, 1),
		final: make(chan struct{}), fetched: make(chan struct{}), seenWait: cmp.Or(c.Linger, seenWait), unseenWait: unseenWait}
	s.markSeen = sync.OnceFunc(func() { close(s.fetched) })
	s.finish = sync.OnceFunc(func() {
		close(s.final)
		if c.Final != nil {
			c.Final()
		}
	})
	s.work, s.stop = context.WithCancel(ctx)
	return s
}

// Serve answers on l with TLS 1.3 (plain HTTP if cert is nil, which no client certificate can be asked for over) until
// ctx ends, or a last command was done and its result fetched; answers under way are then given 2 s. It waits for commands under way, which see their context end.
func (s *Server) Serve(ctx context.Context, l net.Listener, cert *tls.Certificate) error {
	hs := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: headerLimit, ReadTimeout: bodyLimit,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	switch {
	case cert != nil:
		hs.TLSConfig = secure(*cert, s.client, s.log)
	case s.client != nil:
		return errors.Join(errors.New("a client certificate can only be asked for over TLS"), l.Close())
	}
	last, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() { s.linger(last); close(over) }()
	ended := make(chan error, 1)
	go func() {
		if cert != nil {
			ended <- hs.ServeTLS(l, "", "")
		} else {
			ended <- hs.Serve(l)
		}
	}()
	var err error
	select {
	case err = <-ended:
	case <-over: // ctx ended, or the last command did
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
		defer cancel()
		if err = hs.Shutdown(late); err != nil {
			err = hs.Close()
		}
		<-ended
	}
	cancel()
	<-over
	s.stop()
	s.tasks.Wait()
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve agent API: %w", err)
	}
	return nil
}

// Handler is the API by itself, for Serve and for tests.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.route) }

// route is the table of the reference's §6. It is by hand because the protocol gives every unknown URL
// its own error body, and a 308 to every URL that lacks its slash.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	switch path {
	case "/v1", "/v1/commands", "/commands":
		to := path + "/"
		if r.URL.RawQuery != "" {
			to += "?" + r.URL.RawQuery
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	case "/":
		s.only(w, r, http.MethodGet, s.getRoot)
		return
	case "/v1/":
		s.only(w, r, http.MethodGet, s.getV1)
		return
	}
	path = strings.TrimPrefix(path, "/v1")
	id, command := strings.CutPrefix(path, "/commands/")
	switch {
	case path == "/status":
		s.only(w, r, http.MethodGet, s.getStatus)
	case !command || strings.Contains(id, "/"):
		s.refuse(w, http.StatusNotFound, "Not found: no such URL")
	case !s.authorised(r) && !s.vouched(r):
		s.unauthorised(w)
	case !s.meant(r):
		s.startedAnew(w)
	case !s.hear(r):
		s.superseded(w)
	case id != "":
		s.only(w, r, http.MethodGet, func(w http.ResponseWriter, r *http.Request) { s.getCommand(w, r, id) })
	case r.Method == http.MethodPost:
		s.postCommand(w, r)
	default:
		s.only(w, r, http.MethodGet, s.getCommands)
	}
}

func (s *Server) only(w http.ResponseWriter, r *http.Request, method string, h http.HandlerFunc) {
	if r.Method != method && !(method == http.MethodGet && r.Method == http.MethodHead) {
		s.refuse(w, http.StatusMethodNotAllowed, "405 Method Not Allowed: The method is not allowed for the requested URL.")
		return
	}
	h(w, r)
}

func (s *Server) authorised(r *http.Request) bool {
	return !s.token.Empty() && s.token.Equal(r.URL.Query().Get("agent_token"))
}

// vouched tells whether the caller may ask for a command that is Open: it showed its certificate, and no token, because
// it does not know yet whether this is the machine the token is for.
func (s *Server) vouched(r *http.Request) bool {
	return s.client != nil && r.TLS != nil && s.client.Verify(*r.TLS) == nil && r.Method == http.MethodPost && !r.URL.Query().Has("agent_token")
}

func (s *Server) unauthorised(w http.ResponseWriter) {
	s.refuse(w, http.StatusUnauthorized, "401 Unauthorized: Token invalid.")
}

// getCommands lists; with wait=true once no command runs, or after timeout seconds.
func (s *Server) getCommands(w http.ResponseWriter, r *http.Request) {
	if last := s.last(); waits(r) && last != nil && last.running() {
		ctx, cancel := context.WithTimeout(r.Context(), patience(r))
		defer cancel()
		await(ctx, w, last)
		if r.Context().Err() != nil {
			return
		}
	}
	list := s.list()
	s.answer(w, map[string]any{"commands": list})
	if n := len(list); n > 0 && list[n-1].CommandStatus == agentapi.Succeeded {
		s.seen()
	}
}

// patience is how long a list may be waited for.
func patience(r *http.Request) time.Duration {
	seconds, err := strconv.Atoi(r.URL.Query().Get("timeout"))
	if err != nil || seconds < 1 {
		return agentapi.AwaitLimit
	}
	return time.Duration(min(seconds, int(agentapi.LongestAwait/time.Second))) * time.Second
}

func (s *Server) getCommand(w http.ResponseWriter, r *http.Request, id string) {
	rec := s.byID(id)
	if rec == nil {
		s.refuse(w, http.StatusNotFound, fmt.Sprintf("Not found: Command Result with id %s not found.", id))
		return
	}
	if waits(r) && !await(r.Context(), w, rec) {
		return
	}
	got := rec.snapshot()
	s.answer(w, got)
	if got.CommandStatus == agentapi.Succeeded {
		s.seen()
	}
}

func (s *Server) postCommand(w http.ResponseWriter, r *http.Request) {
	var c agentapi.Command
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, agentapi.MaxBody))
	if err := dec.Decode(&c); err != nil || c.Name == "" || !isObject(c.Params) {
		s.refuse(w, http.StatusBadRequest, "Invalid request body: Missing or invalid name or params")
		return
	}
	cmd, short, wrong := s.find(c.Name)
	if wrong != nil {
		s.refuse(w, wrong.Code, faultText(wrong))
		return
	}
	if !cmd.Open && !s.authorised(r) {
		s.unauthorised(w)
		return
	}
	// One command at a time: whoever comes during a synchronous one waits for its end.
	select {
	case s.gate <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	open := sync.OnceFunc(func() { <-s.gate })
	defer open()
	if !s.hear(r) { // a newer holder may have come while this one waited
		s.superseded(w)
		return
	}
	key := r.Header.Get(agentapi.KeyHeader)
	if !agentapi.ValidKey(key) {
		s.refuse(w, http.StatusBadRequest, "Invalid request body: "+agentapi.KeyHeader+" is not a key")
		return
	}
	if seen := s.byKey(key); seen != nil { // sent before: its answer was lost, or another process goes on
		open()
		if !waits(r) || await(r.Context(), w, seen) {
			s.answer(w, seen.snapshot())
			s.seen()
		}
		return
	}
	if s.Finished() {
		s.refuse(w, http.StatusForbidden, "403 Forbidden: The agent has done its last command and stops.")
		return
	}
	if last := s.last(); last != nil && last.running() {
		s.refuse(w, http.StatusConflict, "Agent is busy: executing command "+last.snapshot().CommandName)
		return
	}
	rec := s.add(short, key, r)
	if rec == nil {
		s.superseded(w)
		return
	}
	s.log.Info("command starts", "command", c.Name)
	s.begin(w, r, cmd, rec, c.Params, open)
}

// begin starts a command that is on record, and answers. open lets the next request in.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, cmd Command, rec *record, params json.RawMessage, open func()) {
	if !cmd.Async {
		failure := s.execute(s.work, cmd, rec, params)
		if failure != nil && refusals[failure.Type] {
			s.drop(rec)
			s.refuse(w, failure.Code, faultText(failure))
			return
		}
		s.answer(w, rec.snapshot())
		return
	}
	open()
	start := func() { s.tasks.Go(func() { s.execute(s.work, cmd, rec, params) }) }
	if !waits(r) {
		// The answer goes first: the command may be the one that powers the machine off.
		s.answer(w, rec.snapshot())
		_ = http.NewResponseController(w).Flush() // a caller that is gone does not stop the command
		start()
		return
	}
	start()
	if await(r.Context(), w, rec) {
		s.answer(w, rec.snapshot())
	}
}

// waits tells whether the caller wants the end: only the exact word true counts, in any case.
func waits(r *http.Request) bool { return strings.EqualFold(r.URL.Query().Get("wait"), "true") }

// await gives false if the caller went away first.
func await(ctx context.Context, w http.ResponseWriter, rec *record) bool {
	// The limit on sending a request would end the connection of a caller that only waits.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // a recorder in tests has none
	select {
	case <-rec.done:
		return true
	case <-ctx.Done():
		return false
	}
}

func isObject(raw json.RawMessage) bool { return bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) }

func (s *Server) answer(w http.ResponseWriter, v any) { s.write(w, http.StatusOK, v) }

func (s *Server) refuse(w http.ResponseWriter, status int, text string) {
	code := "Client"
	if status >= 500 {
		code = "Server"
	}
	s.write(w, status, agentapi.Fault{FaultCode: code, FaultString: text})
}

func (s *Server) write(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		s.log.Error("answer does not marshal", "error", err)
		status, body = http.StatusInternalServerError, []byte(`{"faultcode":"Server","faultstring":"the agent's own defect"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	// With its length an answer is whole once it is flushed: power_off leaves no time for the end of a chunked one.
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the caller is gone: nobody is left to tell
}
