package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"
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
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", fmt.Errorf("make agent key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, "", fmt.Errorf("make agent certificate: %w", err)
	}
	shape := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host},
		NotBefore:    now.Add(-certBackdate),
		NotAfter:     now.Add(certLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if addr.IsValid() {
		shape.IPAddresses = []net.IP{addr.Unmap().WithZone("").AsSlice()}
	}
	der, err := x509.CreateCertificate(rand.Reader, shape, shape, key.Public(), key)
	if err != nil {
		return nil, "", fmt.Errorf("make agent certificate: %w", err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(text), nil
}
