package server

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/netip"
	"time"

	"ingot/internal/agentapi"
)

const (
	// certBackdate allows the conductor's clock to be behind; certLife is as long as a held rescue may take.
	// Source: agent protocol reference §5.2.
	certBackdate = time.Hour
	certLife     = 30 * 24 * time.Hour
)

// Certificate makes a self-signed certificate for the address that the agent is reached by (none, if that is not known:
// whoever connects then compares the certificate whole), with a new P-256 key that never leaves memory, and its PEM for the heartbeat. now is the machine's clock, which
// should have been set by then.
func Certificate(addr netip.Addr, host string, now time.Time) (*tls.Certificate, string, error) {
	shape := &x509.Certificate{
		Subject:     pkix.Name{CommonName: host},
		NotBefore:   now.Add(-certBackdate),
		NotAfter:    now.Add(certLife),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if addr.IsValid() {
		shape.IPAddresses = []net.IP{addr.Unmap().WithZone("").AsSlice()}
	}
	cert, text, err := agentapi.SelfSigned(shape)
	if err != nil {
		return nil, "", fmt.Errorf("make agent certificate: %w", err)
	}
	return cert, text, nil
}
