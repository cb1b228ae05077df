package bmc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Config says what a BMC is. User, Password and Machine are required.
type Config struct {
	User     string
	Password string
	Machine  Machine
	// Name is the system's name as it is shown. Default "machine".
	Name string
	// MediaDir is where images are kept while they are in the drive; it is emptied at start. "": nothing is
	// fetched, and the machine gets the URL.
	MediaDir string
	// MediaLimit is how large an image may be, in bytes. Default 4 GiB.
	MediaLimit int64
	// SessionTimeout is how long a session lives without a request. Default 30 minutes.
	SessionTimeout time.Duration
	// SoftLimit is how long the guest may take to go down after the power button. Default 5 minutes.
	SoftLimit time.Duration
	// Hosts are the addresses and names that the certificate is for. Default 127.0.0.1 and localhost.
	Hosts []string
	// Certificate is used instead of a new self-signed one if it has a chain.
	Certificate tls.Certificate
	Log         *slog.Logger // nil: nothing is logged
}

// BMC is one emulated BMC. It is an http.Handler; Start serves it over TLS.
type BMC struct {
	cfg      Config
	log      *slog.Logger
	fetch    *http.Client
	mux      *http.ServeMux
	cert     tls.Certificate
	counters counters
	faults   faults
	sessions sessions
	factory  *KeyStore // the keys that the machine comes with; never changed

	ctx  context.Context // ends with Close; only for work that outlives a request
	stop context.CancelFunc
	work sync.WaitGroup

	mu            sync.Mutex // guards what follows
	boot          override
	legacy        setting    // the boot mode is Legacy
	secure        setting    // Secure Boot is enforced
	keys          keySetting // what it goes by
	drive         drive
	firm          firmware
	hostIfClosed  bool
	setupPassword string
	busy          bool               // a reset is under way
	endSoft       context.CancelFunc // ends the wait for the guest to go down; nil when there is none
	server        *http.Server
	pings         net.PacketConn // nil: there was no room for it
	addr          string
}

// New makes a BMC that is not yet served. Its machine is left as it is.
func New(c Config) (*BMC, error) {
	if c.User == "" || c.Password == "" || c.Machine == nil {
		return nil, errors.New("a BMC needs a user, a password and a machine")
	}
	if c.Name == "" {
		c.Name = "machine"
	}
	if c.MediaLimit == 0 {
		c.MediaLimit = 4 << 30
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = 30 * time.Minute
	}
	if c.SoftLimit == 0 {
		c.SoftLimit = 5 * time.Minute
	}
	if len(c.Hosts) == 0 {
		c.Hosts = []string{"127.0.0.1", "localhost"}
	}
	b := &BMC{cfg: c, log: c.Log, cert: c.Certificate, boot: noOverride, firm: newFirmware(), fetch: mediaClient()}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if len(b.cert.Certificate) == 0 {
		cert, err := NewCertificate(c.Hosts)
		if err != nil {
			return nil, fmt.Errorf("make the BMC's certificate: %w", err)
		}
		b.cert = cert
	}
	if err := b.emptyMediaDir(); err != nil {
		return nil, err
	}
	b.sessions.limit = c.SessionTimeout
	factory := c.Machine.Inventory()
	b.legacy = settled(factory.Legacy && factory.StartsLegacy)
	b.secure = settled(factory.SecureBoot && !b.legacy.now)
	b.factory = &KeyStore{}
	if factory.SecureBoot {
		b.factory = &factory.Keys
	}
	b.keys = keySetting{b.factory, b.factory}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.mux = b.routes()
	return b, nil
}

// Start serves on a TCP address ("127.0.0.1:0") over TLS and returns when it listens.
func (b *BMC) Start(addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listen for the BMC: %w", err)
	}
	srv := &http.Server{
		Handler:           b,
		TLSConfig:         &tls.Config{GetCertificate: b.certificate, MinVersion: tls.VersionTLS12},
		ReadHeaderTimeout: 10 * time.Second, // a client that says nothing must not hold a connection for ever
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		// BMCs speak HTTP/1.1, and a connection that is closed must take one request with it, not many.
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ErrorLog:     log.New(io.Discard, "", 0), // handshakes of strangers are no news here
	}
	pings, err := listenPings(ln.Addr().String())
	if err != nil {
		b.log.Warn("the BMC does not answer pings", "bmc", b.cfg.Name, "err", err)
	}
	b.mu.Lock()
	b.server, b.addr, b.pings = srv, ln.Addr().String(), pings
	b.mu.Unlock()
	if pings != nil {
		b.work.Go(func() { b.answerPings(pings) })
	}
	b.work.Go(func() {
		if err := srv.ServeTLS(ln, "", ""); !errors.Is(err, http.ErrServerClosed) {
			b.log.Warn("the BMC's server ended", "bmc", b.cfg.Name, "err", err)
		}
	})
	return nil
}

// URL is where the BMC is served, "https://127.0.0.1:34567"; "" before Start.
func (b *BMC) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.addr == "" {
		return ""
	}
	return "https://" + strings.TrimSuffix(b.addr, ":443")
}

// Close ends the server and everything the BMC does. The machine is left as it is.
func (b *BMC) Close() error {
	b.stop()
	b.mu.Lock()
	srv, pings := b.server, b.pings
	b.mu.Unlock()
	if pings != nil {
		pings.Close()
	}
	var err error
	if srv != nil {
		err = srv.Close()
	}
	b.work.Wait()
	b.fetch.CloseIdleConnections()
	return err
}

// ServeHTTP implements http.Handler.
func (b *BMC) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Redfish resources may be asked for with a slash at the end (DSP0266 §6.5: clients do both).
	if p := strings.TrimRight(r.URL.Path, "/"); p != r.URL.Path && p != "" {
		r.URL.Path, r.URL.RawPath = p, ""
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	w.Header().Set("OData-Version", "4.0")
	w.Header().Set("Cache-Control", "no-cache")
	if !strings.HasPrefix(r.URL.Path, "/lab/") {
		b.counters.add(r.Method)
		if b.disturb(w, r) {
			return
		}
	}
	b.mux.ServeHTTP(w, r)
}
