package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"ingot/internal/courier"
	"ingot/internal/secret"
)

// Config is what peer reads from the configuration.
type Config struct {
	// CertificateLife is how long a certificate of a server is good. Default 30 days.
	CertificateLife time.Duration
	// Look is how often the deny list is read and the own certificate's age looked at. Default 5s.
	Look time.Duration
}

// Defaults is the only place with default values.
func Defaults() Config { return Config{CertificateLife: 30 * 24 * time.Hour, Look: 5 * time.Second} }

// Server is one of ours as another reaches it.
type Server struct {
	Name string
	URL  string // https, of its peer listener
}

// Options are what a Peer is made of.
type Options struct {
	Config
	Dir  string        // the server's peer folder
	Seal secret.Secret // opens the authority's key, where it is; empty on servers that are not the issuer
	Log  *slog.Logger
	// Denied gives the servers that were revoked, and when: what was issued to them until then is refused.
	Denied func(context.Context) (map[string]time.Time, error)
	// Issuers are the servers that renew certificates, those to be asked first at the front.
	Issuers func(context.Context) ([]Server, error)
	Courier *courier.Courier // values that conductors may fetch here; nil: none
	Shelf   Shelf            // where conductors may push files; nil: nowhere
	Boots   Boots            // where conductors may push network boots; nil: nowhere
	Seeds   Seeds            // where conductors may push what instances read; nil: nowhere
	Leases  Leases           // of the DHCP server here, which conductors may ask; nil: nobody may
	BootURL string           // at which machines fetch them
	Carried bool             // this server asks nobody: conductors carry renewals and the deny list to it
}

// Peer is this server among ours. It is safe for many goroutines.
type Peer struct {
	o         Options
	authority *Authority // nil unless this is the issuer
	current   atomic.Pointer[credentials]
	denied    atomic.Pointer[map[string]time.Time]
	used      used
	next      pending
	now       func() time.Time
}

// Open reads the server's credentials; fs.ErrNotExist if it never joined.
func Open(o Options) (*Peer, error) {
	c, err := readCredentials(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	p := &Peer{o: o, now: time.Now, used: used{path: filepath.Join(o.Dir, usedName)}}
	p.current.Store(c)
	p.denied.Store(&map[string]time.Time{})
	if c.id.Is(Issuer) && !o.Seal.Empty() {
		p.authority, err = OpenAuthority(filepath.Join(o.Dir, authorityName), o.Seal, o.CertificateLife)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // kept offline, perhaps: then it issues nothing
			return nil, err
		}
	}
	return p, nil
}

// Identity is who this server is.
func (p *Peer) Identity() Identity { return p.current.Load().id }

// Issues tells whether this server has the authority's key.
func (p *Peer) Issues() bool { return p.authority != nil }

// Run keeps the deny list fresh and the certificate young until ctx ends. A list or an issuer that cannot be
// reached is tried again; the last list stays in force.
func (p *Peer) Run(ctx context.Context) error {
	tick := time.NewTicker(p.o.Look)
	defer tick.Stop()
	warned := ""
	for {
		err := errors.Join(p.readDenied(ctx), p.renewIfDue(ctx))
		if err != nil && ctx.Err() == nil && err.Error() != warned {
			p.o.Log.Warn("peer upkeep failed, to be tried again", "error", err, "certificate_until", p.Identity().Until)
			warned = err.Error()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (p *Peer) readDenied(ctx context.Context) error {
	list, err := p.askDenied(ctx)
	if err == nil && list != nil {
		p.denied.Store(&list)
	}
	return err
}

// askDenied gives the deny list as it is now; nil where there is none.
func (p *Peer) askDenied(ctx context.Context) (map[string]time.Time, error) {
	if p.o.Denied == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	list, err := p.o.Denied(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the list of revoked servers: %w", err)
	}
	return list, nil
}

func revoked(denied map[string]time.Time, id Identity) error {
	if at, ok := denied[id.Name]; ok && !id.Issued.After(at) {
		return fmt.Errorf("server %s was revoked", id.Name)
	}
	return nil
}

// check says whether a server that showed a good certificate may talk to this one now.
func (p *Peer) check(id Identity) error {
	if err := revoked(*p.denied.Load(), id); err != nil {
		return err
	}
	if p.now().After(id.Until) {
		return fmt.Errorf("the certificate of server %s expired", id.Name)
	}
	if id.Joins && p.authority == nil {
		return errors.New("an invitation is good at the issuing server only")
	}
	return nil
}

// verified is the last look of a handshake, after the chain was verified.
func (p *Peer) verified(s tls.ConnectionState) error {
	if len(s.VerifiedChains) == 0 {
		return errors.New("no verified certificate")
	}
	id, err := identityOf(s.PeerCertificates[0])
	if err != nil {
		return err
	}
	return p.check(id)
}

// listenTLS is the TLS of the peer listener. It is made for each connection, so that a renewed certificate and
// a new authority count at once.
func (p *Peer) listenTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c := p.current.Load()
			return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols, Certificates: []tls.Certificate{c.own},
				ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: c.pool, VerifyConnection: p.verified,
				SessionTicketsDisabled: true, Time: p.now}, nil
		}}
}

var protocols = []string{"h2", "http/1.1"}

// dialTLS is the TLS towards the server called name: its certificate must name it.
func dialTLS(c *credentials, name string, verified func(tls.ConnectionState) error, now func() time.Time) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols, Certificates: []tls.Certificate{c.own}, RootCAs: c.pool,
		ServerName: name, VerifyConnection: verified, SessionTicketsDisabled: true, Time: now}
}

// Trusted are the authorities this server accepts.
func (p *Peer) Trusted() []*x509.Certificate { return p.current.Load().trusted }
