package peer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"ingot/internal/fault"
)

// maxJSON bounds what is read of a request or an answer in JSON: 64 values of 64 KiB in base64, and a bit.
const maxJSON = 8 << 20

// call is one request of another server, whose certificate was verified.
type call struct {
	*Peer
	r    *http.Request
	w    http.ResponseWriter
	from Identity
}

// route is one thing that servers may ask; may says which of them.
type route struct {
	pattern string
	may     func(Identity) bool
	do      func(*call) (any, error)
}

func anyone(id Identity) bool    { return !id.Joins }
func joiner(id Identity) bool    { return id.Joins }
func conducts(i Identity) bool   { return i.Is(Conductor) }
func identifies(i Identity) bool { return i.Is(Conductor) || i.Is(Metadata) }
func fetches(i Identity) bool    { return i.Is(Conductor) || i.Is(Metadata) } // a metadata service not every value: see fetch

// routes is everything that is served to other servers.
func (p *Peer) routes() []route {
	all := []route{{"GET /v1/hello", anyone, (*call).hello}}
	if p.authority != nil {
		all = append(all, route{"POST /v1/join", joiner, (*call).join}, route{"POST /v1/renew", anyone, (*call).renew},
			route{"POST /v1/renew-for", conducts, (*call).renewFor})
	}
	if p.o.Courier != nil {
		all = append(all, route{"POST /v1/secrets/fetch", fetches, (*call).fetch}, route{"POST /v1/secrets/release", conducts, (*call).release})
	}
	if p.o.Shelf != nil {
		all = append(all, route{"GET /v1/files", conducts, (*call).listFiles}, route{"PUT /v1/files/{name}", conducts, (*call).putFile},
			route{"DELETE /v1/files/{name}", conducts, (*call).removeFile}, route{"PUT /v1/holders/{holder}/{name}", conducts, (*call).holdFile},
			route{"DELETE /v1/holders/{holder}", conducts, (*call).releaseFiles})
	}
	if p.o.Boots != nil {
		all = append(all, route{"PUT /v1/boots/{holder}", conducts, (*call).putBoot}, route{"GET /v1/boots/{holder}", conducts, (*call).bootStory},
			route{"DELETE /v1/boots/{holder}/{generation}", conducts, (*call).removeBoot})
	}
	if p.o.Leases != nil {
		all = append(all, route{"GET /v1/leases/{mac}", conducts, (*call).leases}, route{"GET /v1/lease-holders/{address}", identifies, (*call).leaseHolder})
	}
	if p.o.Seeds != nil {
		all = append(all, route{"PUT /v1/seeds", conducts, (*call).putSeeds}, route{"GET /v1/seeds", conducts, (*call).listSeeds},
			route{"DELETE /v1/seeds/{node}", conducts, (*call).removeSeed}, route{"POST /v1/seeds/told", conducts, (*call).toldSeeds})
	}
	if p.o.Carried {
		all = append(all, route{"GET /v1/renewal", conducts, (*call).offerRenewal}, route{"PUT /v1/renewal", conducts, (*call).takeRenewal},
			route{"PUT /v1/denied", conducts, (*call).takeDenied})
	}
	return all
}

// Serve serves other servers on l until ctx ends.
func (p *Peer) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	for _, rt := range p.routes() {
		mux.Handle(rt.pattern, p.guarded(rt))
	}
	s := &http.Server{Handler: mux, TLSConfig: p.listenTLS(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(p.o.Log.Handler(), slog.LevelInfo)} // refused handshakes
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if s.Shutdown(end) != nil {
			_ = s.Close() // whoever still talks was given five seconds
		}
	}()
	err := s.ServeTLS(newBounded(l), "", "")
	if errors.Is(err, http.ErrServerClosed) {
		<-ended
		return nil
	}
	return err
}

// guarded looks at who asks before anything of the request is looked at.
func (p *Peer) guarded(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &call{Peer: p, r: r, w: w}
		answer, err := c.serve(rt)
		if err != nil {
			kind := fault.KindOf(err)
			text, ok := fault.PublicOf(err)
			if !ok {
				text = "The server met an internal error; its log has the cause."
			}
			p.o.Log.Warn("peer request refused", "peer", c.from.Name, "route", rt.pattern, "error", err) // a path may hold a file's name
			c.send(status(kind), problem{Kind: kind.String(), Error: text})
			return
		}
		c.send(http.StatusOK, answer)
	})
}

func (c *call) serve(rt route) (any, error) {
	if c.r.TLS == nil || len(c.r.TLS.VerifiedChains) == 0 {
		return nil, fault.New(fault.Forbidden, "No certificate was verified.")
	}
	id, err := identityOf(c.r.TLS.PeerCertificates[0])
	if err == nil {
		err = c.check(id)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Forbidden, err, "This server's certificate is not accepted any more.")
	}
	c.from = id
	if !rt.may(id) {
		return nil, fault.New(fault.Forbidden, "Server %s has not the role for this.", id.Name)
	}
	return rt.do(c)
}

// problem is what a refused request is answered with.
type problem struct {
	Kind  string `json:"kind"`
	Error string `json:"error"`
}

// statuses of the faults that have one; others are 500. The client goes by the kind in the body.
func status(k fault.Kind) int {
	switch k {
	case fault.Invalid, fault.BadState:
		return http.StatusBadRequest
	case fault.Forbidden:
		return http.StatusForbidden
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Conflict, fault.Locked:
		return http.StatusConflict
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge
	case fault.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

func (c *call) send(code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		c.o.Log.Error("peer answer cannot be written", "error", err)
		code, body = http.StatusInternalServerError, []byte(`{"kind":"internal","error":"The answer could not be written."}`)
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.WriteHeader(code)
	_, _ = c.w.Write(body) // whoever asked may be gone
}

// read decodes the request's JSON.
func (c *call) read(into any) error { return c.readAtMost(into, maxJSON) }

func (c *call) readAtMost(into any, limit int64) error {
	_ = http.NewResponseController(c.w).SetReadDeadline(c.now().Add(30 * time.Second)) // a connection that is gone fails when read
	raw, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, limit))
	if err != nil {
		return fault.Wrap(fault.TooLarge, err, "The request could not be read, or is too large.")
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return fault.Wrap(fault.Invalid, err, "The request is not valid JSON.")
	}
	return nil
}

// Hello is what a server says of itself.
type Hello struct {
	Name  string    `json:"name"`
	Roles []Role    `json:"roles"`
	Until time.Time `json:"certificate_until"`
	// BootURL is where machines fetch what was pushed to a boot host.
	BootURL string `json:"boot_url,omitempty"`
	// Metadata tells that a boot host serves what instances read.
	Metadata bool `json:"metadata,omitempty"`
}

func (c *call) hello() (any, error) {
	id := c.Identity()
	return Hello{id.Name, id.Roles, id.Until, c.o.BootURL, c.o.Seeds != nil}, nil
}
