package netboot

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
)

const (
	headerLimit = 10 * time.Second
	idleLimit   = 30 * time.Second
	maxHeader   = 16 << 10
	maxHTTP     = 512 // connections of the own listener
	// maxHTTPOfAddress is how many of them one address may have: those that say nothing are kept for headerLimit, too.
	maxHTTPOfAddress = 32
)

// headers say that nothing here is a page, or to be kept.
var headers = map[string]string{"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
	"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store"}

// Handler serves /netboot/KEY/NAME and the names that GRUB has built in. It is mounted as it is, before any mux: shim
// doubles a slash and follows no redirect.
func (s *Service) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range headers {
			w.Header().Set(name, value)
		}
		outcome := s.serveFile(w, r)
		s.count("http", outcome)
	})
}

// Owns tells whether a request is for Handler, where another handler shares a listener with it.
func Owns(r *http.Request) bool {
	p := clean(r.URL.Path)
	return strings.HasPrefix(p, "/netboot/") || strings.HasPrefix(p, "/grub/")
}

func (s *Service) serveFile(w http.ResponseWriter, r *http.Request) (outcome string) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Only GET and HEAD are possible here.", http.StatusMethodNotAllowed)
		return "no such file"
	}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	from := remote.Addr().Unmap()
	leave, free := s.enter(from)
	if !free {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "Too many transfers run; try again.", http.StatusServiceUnavailable)
		return "busy"
	}
	defer leave()
	ctx, cancel := context.WithTimeout(r.Context(), transferLimit)
	defer cancel()
	log := s.log.With("protocol", "http", "from", from)
	name := strings.TrimPrefix(clean(r.URL.Path), "/netboot")
	asked, ok := parseName(name)
	if !ok {
		log.Debug("not served", "reason", "a name that is in no table", "name", masked(name))
		http.NotFound(w, r)
		return "no such file"
	}
	f, err := s.openFor(ctx, asked, from, localOf(r))
	var quiet silence
	switch {
	case errors.As(err, &quiet):
		log.Debug("not served", "file", asked.name, "reason", err.Error())
		http.NotFound(w, r)
		return quiet.reason
	case err != nil:
		log.Warn("not served", "file", asked.name, "error", err)
		http.Error(w, "The file cannot be served now.", http.StatusServiceUnavailable)
		return "error"
	}
	defer f.Close()
	if r.Method == http.MethodGet {
		if err := s.give(ctx, f, from); err != nil {
			http.NotFound(w, r)
			return reasonOf(err)
		}
	}
	w.Header().Set("Content-Type", typeOf(asked.name))
	w.Header().Set("Cache-Control", "no-store")
	_ = http.NewResponseController(w).SetWriteDeadline(s.now().Add(transferLimit)) // not every writer has one
	http.ServeContent(w, r, "", f.Time, f)
	log.Info("file served", "file", asked.name, "node", f.boot.NodeUUID, "method", r.Method)
	return "served"
}

// typeOf is what firmware is told a file is: UEFI tells an EFI program from an image by it. Source: UEFI specification 24.7.3.
func typeOf(name string) string {
	switch {
	case strings.HasSuffix(name, ".efi"):
		return "application/efi"
	case strings.HasSuffix(name, ".iso"):
		return "application/vnd.efi-iso"
	case name == FileScript || name == FileGrub:
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// localOf is the address of this host at which a request came in.
func localOf(r *http.Request) netip.Addr {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return netip.Addr{}
	}
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// serveHTTP runs the own listener.
func (s *Service) serveHTTP(ctx context.Context) error {
	server := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: headerLimit, ReadTimeout: headerLimit, IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	err := server.Serve(&few{Listener: s.http, of: map[netip.Addr]int{}})
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// few is a listener with a bounded number of connections at a time, and of each address.
type few struct {
	net.Listener

	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

func (l *few) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _ := netip.ParseAddrPort(c.RemoteAddr().String())
		if leave, ok := l.enter(from.Addr().Unmap()); ok {
			return &counted{Conn: c, leave: leave}, nil
		}
		c.Close() // the machine tries again
	}
}

// enter takes a place for a connection of an address; false if there is none for it.
func (l *few) enter(from netip.Addr) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxHTTP || l.of[from] >= maxHTTPOfAddress {
		return nil, false
	}
	l.all++
	l.of[from]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		if l.of[from]--; l.of[from] == 0 {
			delete(l.of, from)
		}
	}, true
}

type counted struct {
	net.Conn

	leave func()
}

func (c *counted) Close() error {
	err := c.Conn.Close()
	if !errors.Is(err, net.ErrClosed) {
		c.leave()
	}
	return err
}
