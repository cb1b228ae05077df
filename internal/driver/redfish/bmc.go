package redfish

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stmcginnis/gofish"
	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
)

// sessionsPath is where sessions are made when the service root does not say.
// Source: DMTF DSP0266, "Redfish session login authentication".
const sessionsPath = "/redfish/v1/SessionService/Sessions"

// logoutLimit is how long Close and the eviction of an old session wait for one BMC to forget it.
const logoutLimit = 5 * time.Second

// bmc is one BMC with one credential: its connections, its session, its turn-taking.
type bmc struct {
	access
	cfg  Config
	http *http.Client

	// turn is held by the one who connects or logs in; a channel, so that waiting for it ends with a
	// context. It guards nothing that is read without mu.
	turn chan struct{}

	mu      sync.Mutex
	api     *gofish.APIClient // guarded by mu; nil before the first contact
	token   string            // guarded by mu; "" without a session
	session string            // guarded by mu; path of the session, to delete it
	basic   bool              // guarded by mu; the BMC has no sessions
	path    string            // guarded by mu; the only machine's path, once found
	used    time.Time         // guarded by Driver.mu
}

// bmc finds or makes the connection for a. It may log out of the one that was unused for longest.
func (d *Driver) bmc(a access) (*bmc, error) {
	name := d.name(a)
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		return nil, fault.New(fault.Unavailable, "the server is stopping")
	}
	b, ok := d.bmcs[name]
	var old *bmc
	if !ok {
		if len(d.bmcs) >= d.cfg.Sessions {
			old = d.evict()
		}
		scheme, host, _ := strings.Cut(a.base, "://")
		b = &bmc{access: a, cfg: d.cfg, turn: make(chan struct{}, 1), http: newHTTP(scheme, host, a.trust, d.share(a.base))}
		b.system = "" // its machines share the session
		d.bmcs[name] = b
	}
	b.used = time.Now()
	d.mu.Unlock()
	if old != nil {
		old.logout()
	}
	return b, nil
}

// evict takes out the BMC unused for longest. The caller holds d.mu.
func (d *Driver) evict() *bmc {
	var name string
	for n, b := range d.bmcs {
		if name == "" || b.used.Before(d.bmcs[name].used) {
			name = n
		}
	}
	old := d.bmcs[name]
	delete(d.bmcs, name)
	return old
}

// share gives how many requests an address gets at the same time, as a channel with one token for each under way,
// whoever asks: a BMC with many machines, or one whose password was just changed, is one BMC. It is kept for as long
// as the driver is, a hundred bytes for each address there ever was. The caller holds d.mu.
func (d *Driver) share(base string) chan struct{} {
	if d.places[base] == nil {
		d.places[base] = make(chan struct{}, d.cfg.Concurrency)
	}
	return d.places[base]
}

// name identifies a credential at a BMC without telling it: a changed password makes another name.
func (d *Driver) name(a access) string {
	h := hmac.New(sha256.New, d.salt)
	for _, s := range []string{a.base, a.user, a.password.Expose(), string(a.auth),
		hex.EncodeToString(a.trust.pin), a.trust.roots, fmt.Sprint(a.trust.unverified)} {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Close logs out everywhere, a few seconds at most per BMC and many at a time. Calls after it fail with
// fault.Unavailable.
func (d *Driver) Close() error {
	d.mu.Lock()
	d.closed = true
	all := d.bmcs
	d.bmcs = map[string]*bmc{}
	d.mu.Unlock()
	var wg sync.WaitGroup
	places := make(chan struct{}, 32)
	for _, b := range all {
		places <- struct{}{}
		wg.Go(func() {
			b.logout()
			<-places
		})
	}
	wg.Wait()
	return nil
}

// ready gives a client for ctx and the headers that prove who we are, connecting and logging in as needed.
func (b *bmc) ready(ctx context.Context) (*gofish.APIClient, map[string]string, error) {
	if api, proof, ok := b.proof(); ok {
		return api.WithContext(ctx), proof, nil
	}
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	if api, proof, ok := b.proof(); ok { // somebody else was here before
		return api.WithContext(ctx), proof, nil
	}
	if err := b.connect(ctx); err != nil {
		return nil, nil, err
	}
	if err := b.login(ctx); err != nil {
		return nil, nil, err
	}
	api, proof, _ := b.proof()
	return api.WithContext(ctx), proof, nil
}

// proof gives the client and the headers, if both exist already.
func (b *bmc) proof() (*gofish.APIClient, map[string]string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.api == nil:
		return nil, nil, false
	case b.auth == authNone:
		return b.api, nil, true
	case b.auth == authBasic || b.basic:
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(b.user, b.password.Expose())
		return b.api, map[string]string{"Authorization": r.Header.Get("Authorization")}, true
	case b.token != "":
		return b.api, map[string]string{"X-Auth-Token": b.token}, true
	}
	return nil, nil, false
}

// connect makes first contact: the service root, which needs no credentials (DSP0266, "Service root").
func (b *bmc) connect(ctx context.Context) error {
	b.mu.Lock()
	known := b.api != nil
	b.mu.Unlock()
	if known {
		return nil
	}
	api, err := gofish.ConnectContext(ctx, gofish.ClientConfig{Endpoint: b.base, HTTPClient: b.http,
		NoModifyTransport: true, ReuseConnections: true, MaxConcurrentRequests: maxRequests})
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.api = api
	b.mu.Unlock()
	return nil
}

// login makes a session, or finds that the BMC has none and basic authentication must do.
func (b *bmc) login(ctx context.Context) error {
	if b.auth == authNone || b.auth == authBasic {
		return nil
	}
	b.mu.Lock()
	api := b.api.WithContext(ctx)
	b.mu.Unlock()
	t, err := api.Service.CreateSession(b.user, b.password.Expose())
	if err != nil && statusOf(err) == 0 && !lost(err) { // the root names no place for sessions
		t, err = schemas.CreateSession(api, sessionsPath, b.user, b.password.Expose())
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch s := statusOf(err); {
	case err == nil && t.Token != "":
		b.token, b.session = t.Token, t.Session
		return nil
	case err == nil, s >= 400 && s < 500 && s != 401 && s != 403 && s != 429, s == http.StatusNotImplemented, sessionsFull(err):
		// No sessions here, or no more of them: their number is small on every BMC, and those of a server that
		// was killed are kept until they are idle for long, half an hour as a rule.
		if b.auth == authAuto {
			b.basic = true
			return nil
		}
		if err == nil {
			err = fault.New(fault.Internal, "the BMC at %s makes sessions without a token: set %s to basic", b.host, keyAuth)
		}
	}
	return err
}

// forget drops the session that used was made of, so that the next request logs in again. It tells whether
// that could help.
func (b *bmc) forget(used map[string]string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	token := used["X-Auth-Token"]
	if token == "" {
		return false
	}
	if b.token == token {
		b.token, b.session = "", ""
	}
	return true
}

// logout ends the session, if there is one and the BMC still answers. Nothing depends on it: a BMC ends
// idle sessions by itself.
func (b *bmc) logout() {
	b.mu.Lock()
	api, token, session := b.api, b.token, b.session
	b.token, b.session = "", ""
	b.mu.Unlock()
	defer b.http.CloseIdleConnections()
	if token == "" || !strings.HasPrefix(session, "/") {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), logoutLimit)
	defer cancel()
	resp, err := api.WithContext(ctx).DeleteWithHeaders(session, map[string]string{"X-Auth-Token": token})
	schemas.DeferredCleanupHTTPResponse(resp)
	if err != nil {
		b.cfg.Log.Debug("BMC session not ended", "bmc", b.host)
	}
}
