package peer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"ingot/internal/secret"
)

// tokenMark is what a join token begins with, so that people and scanners know one.
const tokenMark = "ingot-join-1."

// maxToken bounds a token in bytes.
const maxToken = 16 << 10

// Invitation is a join token taken apart: who may join as what, where, until when, and whom to trust.
type Invitation struct {
	Identity
	Issuer  Server // whom to ask; its URL may be empty: then the operator gives one
	cert    tls.Certificate
	trusted []*x509.Certificate
}

type tokenText struct {
	Issuer  string   `json:"issuer"`
	URL     string   `json:"url,omitempty"`
	Key     []byte   `json:"key"`     // PKCS 8; good for joining, once, for an hour
	Cert    []byte   `json:"cert"`    // DER
	Trusted [][]byte `json:"trusted"` // DER
}

// Invite makes a token with which a server called name may join, once, with these roles, at the issuer.
func (a *Authority) Invite(name string, roles []Role, issuer Server, now time.Time) (secret.Secret, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return secret.Secret{}, err
	}
	cert, err := a.Sign(Identity{Name: name, Roles: roles, Joins: true}, key.Public(), invitationLife, now)
	if err != nil {
		return secret.Secret{}, err
	}
	t := tokenText{Issuer: issuer.Name, URL: issuer.URL, Cert: cert.Raw}
	if t.Key, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return secret.Secret{}, err
	}
	for _, c := range a.Trusted(now) {
		t.Trusted = append(t.Trusted, c.Raw)
	}
	text, err := json.Marshal(t)
	if err != nil {
		return secret.Secret{}, err
	}
	return secret.New(tokenMark + base64.RawURLEncoding.EncodeToString(text)), nil
}

var errToken = errors.New("this is no join token: \"ingot peer invite\" on the issuing server prints one")

// ParseToken reads a token. That it is still good is seen when it is used.
func ParseToken(token secret.Secret) (*Invitation, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(token.Expose()), tokenMark)
	if !ok || len(text) > maxToken {
		return nil, errToken
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, errToken
	}
	var t tokenText
	if json.Unmarshal(raw, &t) != nil || len(t.Trusted) == 0 {
		return nil, errToken
	}
	key, err := x509.ParsePKCS8PrivateKey(t.Key)
	if err != nil {
		return nil, errToken
	}
	own, ok := key.(*ecdsa.PrivateKey)
	leaf, err := x509.ParseCertificate(t.Cert)
	if err != nil || !ok || !own.PublicKey.Equal(leaf.PublicKey) || CheckName(t.Issuer) != nil {
		return nil, errToken
	}
	in := &Invitation{Issuer: Server{t.Issuer, t.URL}, cert: tls.Certificate{Certificate: [][]byte{t.Cert}, PrivateKey: own, Leaf: leaf}}
	if in.Identity, err = identityOf(leaf); err != nil || !in.Joins {
		return nil, errToken
	}
	if u, err := url.Parse(t.URL); t.URL != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return nil, errToken
	}
	for _, der := range t.Trusted {
		c, err := x509.ParseCertificate(der)
		if err != nil || !c.IsCA {
			return nil, errToken
		}
		in.trusted = append(in.trusted, c)
	}
	return in, nil
}

// expired says so before a connection is tried, for the refusal in a handshake tells little.
func (in *Invitation) expired(now time.Time) error {
	if now.After(in.Until) {
		return fmt.Errorf("the join token for %s expired at %s: make a new one with \"ingot peer invite\"", in.Name, in.Until.UTC().Format(time.RFC3339))
	}
	return nil
}
