package peer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// request asks for a certificate; what it says of names and roles counts for nothing.
type request struct {
	CSR []byte `json:"csr"` // PKCS 10, DER
}

// issued is a new certificate and whom to trust from now on.
type issued struct {
	Cert    []byte   `json:"cert"`
	Trusted [][]byte `json:"trusted"`
}

// Init makes the authority in the folder and enrols this server as its issuer, with these roles too. It gives
// the authority's fingerprint.
func Init(dir, name string, roles []Role, seal secret.Secret, life time.Duration) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, identityName)); !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("this server has joined already: its certificate is in %s", filepath.Join(dir, identityName))
	}
	a, err := MakeAuthority(filepath.Join(dir, authorityName), seal, life)
	if err != nil {
		return "", err
	}
	now := time.Now()
	c, err := a.selfSigned(Identity{Name: name, Roles: append([]Role{Issuer}, roles...)}, now)
	if err != nil {
		return "", err
	}
	return Fingerprint(a.Trusted(now)[0]), c.save(dir)
}

// selfSigned makes new credentials for the issuer itself.
func (a *Authority) selfSigned(id Identity, now time.Time) (*credentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := a.Sign(id, key.Public(), 0, now)
	if err != nil {
		return nil, err
	}
	return newCredentials(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, a.Trusted(now))
}

// Join uses an invitation: the server makes its key here, and the issuer at url, or at the token's own, signs it.
func Join(ctx context.Context, dir string, token secret.Secret, url string) (Identity, error) {
	in, err := ParseToken(token)
	if err != nil {
		return Identity{}, err
	}
	if err := in.expired(time.Now()); err != nil {
		return Identity{}, err
	}
	issuer := in.Issuer
	if url != "" {
		issuer.URL = url
	}
	if issuer.URL == "" {
		return Identity{}, errors.New("the join token names no issuer's URL: give it")
	}
	old, err := newCredentials(in.cert, in.trusted)
	if err != nil {
		return Identity{}, err
	}
	c, err := requestCertificate(ctx, old, issuer, "/v1/join", issuerOnly, time.Now)
	if err != nil {
		return Identity{}, err
	}
	return c.id, c.save(dir)
}

// issuerOnly refuses a server that is not the issuer: only that may be told of a new key.
func issuerOnly(s tls.ConnectionState) error {
	id, err := identityOf(s.PeerCertificates[0])
	if err == nil && !id.Is(Issuer) {
		err = fmt.Errorf("server %s does not issue certificates", id.Name)
	}
	return err
}

// requestCertificate makes a key and has it certified by the issuer, showing what the server has now.
func requestCertificate(ctx context.Context, now *credentials, issuer Server, path string, verified func(tls.ConnectionState) error, clock func() time.Time) (*credentials, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	var got issued
	if err := exchange(ctx, dialTLS(now, issuer.Name, verified, clock), issuer, http.MethodPost, path, request{csr}, &got); err != nil {
		return nil, err
	}
	return accept(now, key, got, clock)
}

// accept makes credentials of what the issuer has answered.
func accept(now *credentials, key *ecdsa.PrivateKey, got issued, clock func() time.Time) (*credentials, error) {
	leaf, err := x509.ParseCertificate(got.Cert)
	if err != nil || !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.Join(errors.New("the issuer's answer does not fit the request"), err)
	}
	var trusted []*x509.Certificate
	for _, der := range got.Trusted {
		t, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		trusted = append(trusted, t)
	}
	c, err := newCredentials(tls.Certificate{Certificate: [][]byte{got.Cert}, PrivateKey: key, Leaf: leaf}, trusted)
	if err != nil {
		return nil, err
	}
	if c.id.Name != now.id.Name || c.id.Joins {
		return nil, fmt.Errorf("the issuer's certificate names %s", c.id.Name)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: c.pool, CurrentTime: clock(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}); err != nil {
		return nil, err
	}
	return c, nil
}

// join answers an invitation, once.
func (c *call) join() (any, error) {
	key, err := c.wantedKey()
	if err != nil {
		return nil, err
	}
	now, err := c.entitled()
	if err != nil {
		return nil, err
	}
	serial := c.r.TLS.PeerCertificates[0].SerialNumber.Text(16)
	if err := c.used.take(serial, c.from.Until, now); err != nil {
		return nil, err
	}
	c.o.Log.Info("server joined", "peer", c.from.Name, "roles", c.from.Roles)
	return c.sign(Identity{Name: c.from.Name, Roles: c.from.Roles}, key, now)
}

// renew gives a server the same name and roles again.
func (c *call) renew() (any, error) {
	key, err := c.wantedKey()
	if err != nil {
		return nil, err
	}
	now, err := c.entitled()
	if err != nil {
		return nil, err
	}
	c.o.Log.Info("certificate renewed", "peer", c.from.Name, "roles", c.from.Roles)
	return c.sign(Identity{Name: c.from.Name, Roles: c.from.Roles}, key, now)
}

// entitled looks at the deny list itself, for the copy may be some seconds old, and what is signed after a revocation
// is good everywhere. now is from before the look: who is revoked after it was issued something before.
func (c *call) entitled() (now time.Time, err error) {
	now = c.now()
	denied, err := c.askDenied(c.r.Context())
	if err != nil {
		return now, fault.Wrap(fault.Unavailable, err, "The list of revoked servers cannot be read at the moment, so nothing is signed; please retry.")
	}
	if err := revoked(denied, c.from); err != nil {
		return now, fault.Wrap(fault.Forbidden, err, "This server's certificate is not accepted any more.")
	}
	return now, nil
}

func (c *call) wantedKey() (any, error) {
	var rq request
	if err := c.read(&rq); err != nil {
		return nil, err
	}
	return requestedKey(rq.CSR)
}

// requestedKey is the key that a certificate request is for.
func requestedKey(der []byte) (any, error) {
	csr, err := x509.ParseCertificateRequest(der)
	if err == nil {
		err = csr.CheckSignature()
	}
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The certificate request is not valid.")
	}
	if k, ok := csr.PublicKey.(*ecdsa.PublicKey); !ok || k.Curve != elliptic.P256() {
		return nil, fault.New(fault.Invalid, "The certificate request must be for a P-256 key.")
	}
	return csr.PublicKey, nil
}

func (c *call) sign(id Identity, key any, now time.Time) (any, error) {
	cert, err := c.authority.Sign(id, key, 0, now)
	if err != nil {
		return nil, err
	}
	out := issued{Cert: cert.Raw}
	for _, t := range c.authority.Trusted(now) {
		out.Trusted = append(out.Trusted, t.Raw)
	}
	return out, nil
}

// renewIfDue gets a new certificate in the second half of the old one's life.
func (p *Peer) renewIfDue(ctx context.Context) error {
	old := p.current.Load()
	if p.o.Carried || !p.due(old) {
		return nil
	}
	c, err := p.renewed(ctx, old)
	if err != nil {
		return fmt.Errorf("renew the certificate, which is good until %s: %w", old.id.Until.UTC().Format(time.RFC3339), err)
	}
	if err := c.save(p.o.Dir); err != nil {
		return err
	}
	p.current.Store(c)
	p.o.Log.Info("own certificate renewed", "certificate_until", c.id.Until)
	return nil
}

func (p *Peer) renewed(ctx context.Context, old *credentials) (*credentials, error) {
	if p.authority != nil {
		return p.authority.selfSigned(Identity{Name: old.id.Name, Roles: old.id.Roles}, p.now())
	}
	if p.o.Issuers == nil {
		return nil, errors.New("there is no issuer to ask")
	}
	issuers, err := p.o.Issuers(ctx)
	if err != nil {
		return nil, err
	}
	err = errors.New("no issuing server is known")
	for _, s := range issuers {
		verified := func(cs tls.ConnectionState) error { return errors.Join(p.verified(cs), issuerOnly(cs)) }
		var c *credentials
		if c, err = requestCertificate(ctx, old, s, "/v1/renew", verified, p.now); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// used remembers the invitations that were used, in a file, until they would have expired anyway.
type used struct {
	mu   sync.Mutex
	path string
}

func (u *used) take(serial string, until, now time.Time) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	text, err := os.ReadFile(u.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var kept bytes.Buffer
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		was, at, _ := strings.Cut(s.Text(), " ")
		if was == serial {
			return fault.New(fault.Conflict, "This join token was used already: make a new one with \"ingot peer invite\".")
		}
		if t, err := time.Parse(time.RFC3339, at); err != nil || now.Before(t) {
			fmt.Fprintln(&kept, s.Text())
		}
	}
	fmt.Fprintln(&kept, serial, until.UTC().Format(time.RFC3339))
	return writeFile(u.path, kept.Bytes())
}
