package agentapi

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// An agent that is only polled, and who commands it, know each other by certificates that are compared whole: neither
// a host name (the machine's address is found out, not agreed), nor a date (its clock may be anywhere), nor a CA says
// anything.

// What a caller of a pinned client can test for with errors.Is, beside ErrConnection.
var (
	// ErrCertificate: whoever answers there is not the agent of this boot (fault.Forbidden). Nothing was sent to it.
	ErrCertificate = errors.New("the certificate is not the one of this boot")
	// ErrRefused: the agent takes commands from the holder of another certificate (fault.Forbidden).
	ErrRefused = errors.New("the agent refuses this client's certificate")
	// errNone is for whoever shows nothing.
	errNone = errors.New("no certificate was shown")
)

// maxCertificate bounds a certificate, bytes of PEM.
const maxCertificate = 16 << 10

// Certificate is one certificate that a peer must show.
type Certificate struct{ der []byte }

// ParseCertificate reads a PEM text with one certificate in it. Errors are fault.Invalid.
func ParseCertificate(text string) (Certificate, error) {
	if len(text) > maxCertificate {
		return Certificate{}, fault.New(fault.Invalid, "a certificate of %d bytes is too large", len(text))
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
		return Certificate{}, fault.New(fault.Invalid, "a certificate in PEM is needed, and nothing beside it")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return Certificate{}, fault.Wrap(fault.Invalid, err, "a certificate in PEM does not hold one")
	}
	return Certificate{block.Bytes}, nil
}

// Verify is for tls.Config.VerifyConnection: the peer must show this certificate. Errors: ErrCertificate.
func (c Certificate) Verify(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return errors.Join(ErrCertificate, errNone)
	}
	if len(c.der) == 0 || subtle.ConstantTimeCompare(s.PeerCertificates[0].Raw, c.der) != 1 {
		return ErrCertificate
	}
	return nil
}

// Pin is whom a client speaks to, and as whom.
type Pin struct {
	Agent  string           // PEM: the certificate that the agent must show
	Client *tls.Certificate // shown to the agent; nil: none
}

// NewPinnedClient makes a client of the agent at base, which must be https. Errors are fault.Invalid. No connection is
// made yet.
func NewPinnedClient(base string, token secret.Secret, pin Pin) (*Client, error) {
	agent, err := ParseCertificate(pin.Agent)
	if err != nil {
		return nil, err
	}
	u, transport, err := endpoint(base, "")
	if err != nil {
		return nil, err
	}
	if u.Scheme != "https" {
		return nil, fault.New(fault.Invalid, "the agent at %s is to be known by its certificate: its URL must be https", u.Host)
	}
	transport.TLSClientConfig = pinned(pin.Client, agent.Verify)
	return &Client{base: u, token: token, http: thin(transport), limit: answerLimit, most: MaxBody}, nil
}

// pinned is TLS 1.3 with a check of our own in place of chains and names.
func pinned(client *tls.Certificate, verify func(tls.ConnectionState) error) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, VerifyConnection: verify}
	if client != nil {
		// Not Certificates: those are only shown to a server that names an issuer they have.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return client, nil }
	}
	return c
}

// ShownCertificate shakes hands with whoever answers at base and gives the certificate it shows, as PEM. Nothing is sent
// to it: no token and no request. What it shows proves only that it holds the key. Errors: ErrConnection.
func ShownCertificate(ctx context.Context, base string, client *tls.Certificate) (string, error) {
	u, _, err := endpoint(base, "")
	if err != nil {
		return "", err
	}
	if u.Scheme != "https" {
		return "", fault.New(fault.Invalid, "%s has no certificate: its URL must be https", u.Host)
	}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), "443")
	}
	d := tls.Dialer{Config: pinned(client, nil)}
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return "", unanswered(u.Host, err)
	}
	shown := conn.(*tls.Conn).ConnectionState().PeerCertificates
	_ = conn.Close() // it was only looked at
	if len(shown) == 0 {
		return "", unanswered(u.Host, errNone)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: shown[0].Raw})), nil
}

// unanswered says why a request had no answer: nobody there, or somebody who is not whom we mean, or does not mean us.
func unanswered(host string, err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, ErrCertificate):
		return fault.Wrap(fault.Forbidden, errors.Join(ErrConnection, err), "%s answers with a certificate that is not the one of this boot's agent", host)
	case errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate"):
		// The peer's TLS alert, by its only mark: bad_certificate or certificate_required.
		return fault.Wrap(fault.Forbidden, errors.Join(ErrConnection, ErrRefused, err), "the agent at %s takes commands from the holder of another certificate", host)
	}
	return fault.Wrap(fault.Unavailable, errors.Join(ErrConnection, err), "the agent at %s does not answer", host)
}
