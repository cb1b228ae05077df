package peer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"ingot/internal/fault"
)

// A boot host connects to nobody, so conductors carry what others fetch: its renewals and the deny list. They are
// messengers: what they carry is signed at both ends, by the key that the boot host has now and by the issuer's.

// signed is a text and who vouches for it.
type signed struct {
	Text []byte `json:"text"`
	Cert []byte `json:"cert"` // of who signed, DER
	Sig  []byte `json:"sig"`
}

// digest is what is signed; use keeps one kind of text from being taken for another.
func digest(use string, text []byte) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "ingot %s %d\x00", use, len(text))
	h.Write(text)
	return h.Sum(nil)
}

func (c *credentials) sign(use string, text []byte) (signed, error) {
	key, ok := c.own.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return signed{}, errors.New("this server's key is of another kind")
	}
	sig, err := ecdsa.SignASN1(rand.Reader, key, digest(use, text))
	return signed{text, c.own.Leaf.Raw, sig}, err
}

// vouched says who signed a text, if that is a server of ours that is not revoked.
func (p *Peer) vouched(use string, s signed) (Identity, error) {
	cert, err := x509.ParseCertificate(s.Cert)
	if err != nil {
		return Identity{}, err
	}
	_, err = cert.Verify(x509.VerifyOptions{Roots: p.current.Load().pool, CurrentTime: p.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return Identity{}, err
	}
	id, err := identityOf(cert)
	if err == nil {
		err = p.check(id)
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if err == nil && (!ok || !ecdsa.VerifyASN1(key, digest(use, s.Text), s.Sig)) {
		err = errors.New("the signature does not fit")
	}
	return id, err
}

// What is signed.
const (
	useRenewal = "renewal" // a certificate request, by the server it is for
	useIssued  = "issued"  // answers to it, by the issuer
)

// pending is the key that a boot host's next certificate is for.
type pending struct {
	mu  sync.Mutex
	key *ecdsa.PrivateKey // nil: none was asked for
}

// due tells whether the certificate is in the second half of its life.
func (p *Peer) due(c *credentials) bool {
	return !p.now().Before(c.id.Issued.Add(c.id.Until.Sub(c.id.Issued) / 2))
}

// offerRenewal gives a request for the next certificate when it is time, else one without a text.
func (c *call) offerRenewal() (any, error) {
	now := c.current.Load()
	if !c.due(now) {
		return signed{}, nil
	}
	c.next.mu.Lock()
	defer c.next.mu.Unlock()
	if c.next.key == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, err
		}
		c.next.key = key
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, c.next.key)
	if err != nil {
		return nil, err
	}
	return now.sign(useRenewal, csr)
}

// takeRenewal takes the next certificate from a messenger.
func (c *call) takeRenewal() (any, error) {
	var s signed
	if err := c.read(&s); err != nil {
		return nil, err
	}
	c.next.mu.Lock()
	defer c.next.mu.Unlock()
	if c.next.key == nil {
		return nil, fault.New(fault.BadState, "This server has asked for no certificate.")
	}
	by, err := c.vouched(useIssued, s)
	if err == nil && !by.Is(Issuer) {
		err = fmt.Errorf("server %s does not issue certificates", by.Name)
	}
	var got issued
	if err == nil {
		err = json.Unmarshal(s.Text, &got)
	}
	var next *credentials
	if err == nil {
		next, err = accept(c.current.Load(), c.next.key, got, c.now)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "What was carried here is no certificate for this server.")
	}
	if err := next.save(c.o.Dir); err != nil {
		return nil, err
	}
	c.current.Store(next)
	c.next.key = nil
	c.o.Log.Info("own certificate renewed", "carried_by", c.from.Name, "certificate_until", next.id.Until)
	return struct{}{}, nil
}

// renewFor signs the request of a boot host that a conductor carries.
func (c *call) renewFor() (any, error) {
	var s signed
	if err := c.read(&s); err != nil {
		return nil, err
	}
	return c.certify(c.r.Context(), s)
}

// certify is the issuer's answer to a carried request. It gives boot hosts what they had; other servers ask themselves.
func (p *Peer) certify(ctx context.Context, s signed) (signed, error) {
	now := p.now()
	denied, err := p.askDenied(ctx)
	if err != nil {
		return signed{}, fault.Wrap(fault.Unavailable, err, "The list of revoked servers cannot be read at the moment, so nothing is signed; please retry.")
	}
	id, err := p.vouched(useRenewal, s)
	if err == nil {
		err = revoked(denied, id)
	}
	if err == nil && !(id.Is(Boot) && len(id.Roles) == 1) {
		err = fmt.Errorf("server %s is no boot host", id.Name)
	}
	if err != nil {
		return signed{}, fault.Wrap(fault.Forbidden, err, "The request that was carried here is not accepted.")
	}
	key, err := requestedKey(s.Text)
	if err != nil {
		return signed{}, err
	}
	cert, err := p.authority.Sign(Identity{Name: id.Name, Roles: id.Roles}, key, 0, now)
	if err != nil {
		return signed{}, err
	}
	out := issued{Cert: cert.Raw}
	for _, t := range p.authority.Trusted(now) {
		out.Trusted = append(out.Trusted, t.Raw)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return signed{}, err
	}
	p.o.Log.Info("certificate renewed", "peer", id.Name, "roles", id.Roles)
	return p.current.Load().sign(useIssued, text)
}

// takeDenied adds to the deny list what a conductor knows. Nothing is taken off it.
func (c *call) takeDenied() (any, error) {
	var told map[string]time.Time
	if err := c.read(&told); err != nil {
		return nil, err
	}
	c.next.mu.Lock()
	defer c.next.mu.Unlock()
	list := maps.Clone(*c.denied.Load())
	for name, at := range told {
		if at.After(list[name]) {
			list[name] = at
		}
	}
	c.denied.Store(&list)
	return struct{}{}, nil
}

// Carry brings a boot host the deny list and, when it is time, its next certificate.
func (p *Peer) Carry(ctx context.Context, to Server) error {
	if err := p.ask(ctx, to, http.MethodPut, "/v1/denied", *p.denied.Load(), nil); err != nil {
		return err
	}
	var wanted, got signed
	if err := p.ask(ctx, to, http.MethodGet, "/v1/renewal", nil, &wanted); err != nil || len(wanted.Text) == 0 {
		return err
	}
	got, err := p.certified(ctx, wanted)
	if err != nil {
		return err
	}
	return p.ask(ctx, to, http.MethodPut, "/v1/renewal", got, nil)
}

// certified has a request answered by an issuer.
func (p *Peer) certified(ctx context.Context, wanted signed) (got signed, err error) {
	if p.authority != nil {
		return p.certify(ctx, wanted)
	}
	if p.o.Issuers == nil {
		return got, errors.New("there is no issuer to ask")
	}
	issuers, err := p.o.Issuers(ctx)
	if err != nil {
		return got, err
	}
	err = errors.New("no issuing server is known")
	for _, s := range issuers {
		if err = p.ask(ctx, s, http.MethodPost, "/v1/renew-for", wanted, &got); err == nil && !bytes.Equal(got.Text, nil) {
			return got, nil
		}
	}
	return got, err
}
