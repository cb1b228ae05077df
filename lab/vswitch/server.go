package vswitch

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
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Network is one logical network.
type Network struct {
	Name   string `json:"name"`
	Tenant bool   `json:"tenant"`
}

// Fabric is what carries the frames.
type Fabric interface {
	// Connect puts a port on a network, and nowhere for "". Done twice it is done once.
	Connect(ctx context.Context, switchID, portID, network string) error
}

// Config says what a switch is. Fabric and Token are required.
type Config struct {
	Networks []Network
	// Ports are [switch_id, port_id]. They begin isolated and as nobody's.
	Ports  [][2]string
	Token  string
	Fabric Fabric
	// Certificate is the server's; ClientCAs, where there are any, must have signed that of every client.
	Certificate tls.Certificate
	ClientCAs   *x509.CertPool
	Log         *slog.Logger // nil: nothing is logged
}

// Switch is an http.Handler; Start serves it over TLS.
type Switch struct {
	config Config
	log    *slog.Logger
	mux    *http.ServeMux
	faults faults

	mu       sync.Mutex // guards what follows, and keeps changes in order
	ports    []*port
	counters map[string]int
	server   *http.Server
	addr     string
	work     sync.WaitGroup
}

// New makes a switch that is not yet served, with every port isolated.
func New(ctx context.Context, c Config) (*Switch, error) {
	if c.Fabric == nil || c.Token == "" {
		return nil, errors.New("a switch needs a fabric and a token")
	}
	s := &Switch{config: c, log: c.Log, counters: map[string]int{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	for _, p := range c.Ports {
		if err := c.Fabric.Connect(ctx, p[0], p[1], ""); err != nil {
			return nil, fmt.Errorf("isolate port %s of %s: %w", p[1], p[0], err)
		}
		s.ports = append(s.ports, &port{Switch: p[0], Port: p[1], version: 1})
	}
	s.mux = http.NewServeMux()
	s.mux.HandleFunc("GET /v1/networks", s.showNetworks)
	s.mux.HandleFunc("GET /v1/port", s.showPort)
	s.mux.HandleFunc("PUT /v1/port", s.setPort)
	s.mux.HandleFunc("POST /v1/changes", s.setPorts)
	s.mux.HandleFunc("GET /lab/ports", s.showPorts)
	s.mux.HandleFunc("GET /lab/counters", s.showCounters)
	s.mux.HandleFunc("GET /lab/faults", s.showFaults)
	s.mux.HandleFunc("PUT /lab/faults", s.plantFaults)
	return s, nil
}

// Start serves on a TCP address over TLS and returns when it listens.
func (s *Switch) Start(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the switch: %w", err)
	}
	t := &tls.Config{Certificates: []tls.Certificate{s.config.Certificate}, MinVersion: tls.VersionTLS12}
	if s.config.ClientCAs != nil {
		t.ClientCAs, t.ClientAuth = s.config.ClientCAs, tls.RequireAndVerifyClientCert
	}
	srv := &http.Server{Handler: s, TLSConfig: t, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog: log.New(io.Discard, "", 0)}
	s.mu.Lock()
	s.server, s.addr = srv, ln.Addr().String()
	s.mu.Unlock()
	s.work.Go(func() {
		if err := srv.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
			s.log.Warn("the switch's server ended", "err", err)
		}
	})
	return nil
}

// URL is the base of the API, "" before Start.
func (s *Switch) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == "" {
		return ""
	}
	return "https://" + s.addr + "/v1"
}

// Close ends the server. The fabric is left as it is.
func (s *Switch) Close() error {
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
func (s *Switch) SetFaults(list ...Fault) error { return s.faults.set(list) }

// ServeHTTP implements http.Handler.
func (s *Switch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	want := "Bearer " + s.config.Token
	if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), []byte(want)) != 1 {
		refuse(w, http.StatusUnauthorized, "unauthenticated", "a bearer token is needed")
		return
	}
	if len(r.URL.Path) < 5 || r.URL.Path[:5] != "/lab/" {
		s.count(r.Method)
		if s.disturb(w, r) {
			return
		}
	}
	s.mux.ServeHTTP(w, r)
}

func (s *Switch) count(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counters[name]++
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	answer(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}

func (s *Switch) showCounters(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer(w, http.StatusOK, s.counters)
}

func (s *Switch) showFaults(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.faults.list())
}

func (s *Switch) plantFaults(w http.ResponseWriter, r *http.Request) {
	var list []Fault
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		refuse(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	if err := s.faults.set(list); err != nil {
		refuse(w, http.StatusBadRequest, "invalid", err.Error())
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
