package vendordata

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxQuestion = 2 << 20
	remembered  = 1000 // requests
)

// Config says what a target is. The zero value answers everybody, without TLS.
type Config struct {
	// Token is what X-Auth-Token must be; "" takes everybody.
	Token string
	// Accept looks at who asks; its error is answered with 401. nil takes everybody.
	Accept func(r *http.Request, body []byte) error
	// Certificate is the server's; nil: no TLS. ClientCAs, where there are any, must have signed that of every client.
	Certificate *tls.Certificate
	ClientCAs   *x509.CertPool
	// Caching is how answers may be kept.
	Caching Caching
	// Told is told of each request when it was answered; nil: nobody.
	Told func(Request)
}

// Caching is what answers say of how long they hold.
type Caching struct {
	// CacheControl is that header; "" sends none.
	CacheControl string `json:"cache_control"`
	// ETag sends one, and answers 304 to those who have it. It is the same until Revision is another.
	ETag bool `json:"etag"`
	// Headers are further headers, such as Expires.
	Headers map[string]string `json:"headers,omitempty"`
	// Revision is that of the answers.
	Revision int `json:"revision"`
}

// Request is one that was received.
type Request struct {
	Method   string      `json:"method"`
	Path     string      `json:"path"`
	Header   http.Header `json:"header"`
	Body     string      `json:"body"`
	Question Question    `json:"question"`
	Status   int         `json:"status"` // 0: it has no answer yet, or got none
	Fault    string      `json:"fault,omitempty"`
}

// Server is an http.Handler; Start serves it.
type Server struct {
	config Config
	faults faults
	mux    *http.ServeMux
	life   context.Context // until Close; for handlers that wait
	end    context.CancelFunc

	mu       sync.Mutex // guards what follows
	caching  Caching
	requests []*Request
	dropped  int // of the oldest requests
	number   int // of answers
	arrived  chan struct{}
	fixed    map[string]json.RawMessage
	server   *http.Server
	addr     string
	work     sync.WaitGroup
}

// New makes a target that is not yet served.
func New(c Config) *Server {
	s := &Server{config: c, caching: c.Caching, arrived: make(chan struct{}), fixed: map[string]json.RawMessage{}}
	s.life, s.end = context.WithCancel(context.Background())
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("GET /lab/requests", func(w http.ResponseWriter, _ *http.Request) { show(w, s.Requests()) })
	s.mux.HandleFunc("GET /lab/faults", func(w http.ResponseWriter, _ *http.Request) { show(w, s.faults.list()) })
	s.mux.HandleFunc("PUT /lab/faults", func(w http.ResponseWriter, r *http.Request) {
		take(w, r, func(list []Fault) error { return s.SetFaults(list...) })
	})
	s.mux.HandleFunc("GET /lab/caching", func(w http.ResponseWriter, _ *http.Request) { show(w, s.Caching()) })
	s.mux.HandleFunc("PUT /lab/caching", func(w http.ResponseWriter, r *http.Request) {
		take(w, r, func(c Caching) error { s.SetCaching(c); return nil })
	})
	s.mux.HandleFunc("POST /", s.answer)
	return s
}

// Start serves on a TCP address and returns when it listens.
func (s *Server) Start(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the vendordata target: %w", err)
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, ErrorLog: log.New(io.Discard, "", 0)}
	if s.config.Certificate != nil {
		t := &tls.Config{GetCertificate: s.certificate, MinVersion: tls.VersionTLS12}
		if s.config.ClientCAs != nil {
			t.ClientCAs, t.ClientAuth = s.config.ClientCAs, tls.RequireAndVerifyClientCert
		}
		ln = tls.NewListener(ln, t)
	}
	s.mu.Lock()
	s.server, s.addr = srv, ln.Addr().String()
	s.mu.Unlock()
	s.work.Go(func() {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			panic("vendordata: serve: " + err.Error()) // the listener is nobody else's
		}
	})
	return nil
}

// URL is the base, "" before Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.addr == "":
		return ""
	case s.config.Certificate != nil:
		return "https://" + s.addr
	}
	return "http://" + s.addr
}

// Close ends the server, and every answer on its way.
func (s *Server) Close() error {
	s.end()
	s.mu.Lock()
	srv := s.server
	s.mu.Unlock()
	if srv == nil {
		return nil
	}
	err := srv.Close()
	s.work.Wait()
	return err
}

// SetFaults replaces what is planted; without arguments it clears.
func (s *Server) SetFaults(list ...Fault) error { return s.faults.set(list) }

// SetCaching says how answers from now on may be kept.
func (s *Server) SetCaching(c Caching) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.caching = c
}

// Caching is what SetCaching said.
func (s *Server) Caching() Caching {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.caching
}

// SetAnswer fixes the answer of a path; nil lets it be made of the question again.
func (s *Server) SetAnswer(path string, answer json.RawMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fixed[path] = answer
}

// Requests are those that were received, the oldest first.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Request, len(s.requests))
	for i, r := range s.requests {
		out[i] = *r
	}
	return out
}

// Count is how many requests there were.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped + len(s.requests)
}

// Wait returns when there were n requests.
func (s *Server) Wait(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		enough, arrived := s.dropped+len(s.requests) >= n, s.arrived
		s.mu.Unlock()
		if enough {
			return nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// received remembers a request.
func (s *Server) received(r *http.Request, body []byte, q Question) *Request {
	one := &Request{Method: r.Method, Path: r.URL.Path, Header: r.Header.Clone(), Body: string(body), Question: q}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests = append(s.requests, one); len(s.requests) > remembered {
		s.requests = s.requests[1:]
		s.dropped++
	}
	close(s.arrived)
	s.arrived = make(chan struct{})
	return one
}

// answer answers one question.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxQuestion))
	if err != nil {
		http.Error(w, "the question cannot be read", http.StatusBadRequest)
		return
	}
	var q Question
	wrong := json.Unmarshal(body, &q)
	one := s.received(r, body, q)
	watched := &status{ResponseWriter: w}
	defer func() {
		s.mu.Lock()
		one.Status = watched.code
		told := *one
		s.mu.Unlock()
		if s.config.Told != nil {
			s.config.Told(told)
		}
	}()
	if f, ok := s.faults.strike(r.URL.Path, false); ok {
		s.mu.Lock()
		one.Fault = f.Name
		s.mu.Unlock()
		if s.apply(f, watched, r) {
			return
		}
	}
	switch {
	case !s.knows(r, body):
		http.Error(watched, `{"error": "who are you?"}`, http.StatusUnauthorized)
	case wrong != nil:
		http.Error(watched, `{"error": "that is no question"}`, http.StatusBadRequest)
	default:
		s.say(watched, r, q)
	}
}

// knows tells whether who asks may.
func (s *Server) knows(r *http.Request, body []byte) bool {
	if t := s.config.Token; t != "" && subtle.ConstantTimeCompare([]byte(r.Header.Get("X-Auth-Token")), []byte(t)) != 1 {
		return false
	}
	return s.config.Accept == nil || s.config.Accept(r, body) == nil
}

// say gives the answer, or says that the one which is known still holds.
func (s *Server) say(w http.ResponseWriter, r *http.Request, q Question) {
	s.mu.Lock()
	c, fixed := s.caching, s.fixed[r.URL.Path]
	tag := fmt.Sprintf(`"r%d"`, c.Revision)
	same := c.ETag && strings.Contains(r.Header.Get("If-None-Match"), tag)
	if !same {
		s.number++
	}
	number := s.number
	s.mu.Unlock()
	if c.CacheControl != "" {
		w.Header().Set("Cache-Control", c.CacheControl)
	}
	for name, value := range c.Headers {
		w.Header().Set(name, value)
	}
	if c.ETag {
		w.Header().Set("ETag", tag)
	}
	if same {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	text := []byte(fixed)
	if fixed == nil {
		var err error
		if text, err = answer(r.URL.Path, q, number, c.Revision); err != nil {
			http.Error(w, "the answer cannot be made", http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // a client that is gone needs no answer
}

// status remembers what was answered.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Write(b []byte) (int, error) {
	if s.code == 0 {
		s.code = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController see the real one.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func show(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(body)
}

// take gives a request's body to set.
func take[T any](w http.ResponseWriter, r *http.Request, set func(T) error) {
	var v T
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&v)
	if err == nil {
		err = set(v)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
