package api

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// certificateLife is how long a certificate of the agents' door is good; it is renewed at a start in its
// last third. Ramdisks that run longer than what is left would lose their way back, and live hours.
const certificateLife = 3 * 365 * 24 * time.Hour

// AgentCertificate gives the certificate of the agents' door for host (a name or an IP address), kept in
// dir and made anew when it is missing, old or for another host, and its PEM, which boot media carry so
// that agents trust nobody else.
func AgentCertificate(dir, host string) (tls.Certificate, string, error) {
	certFile, keyFile := filepath.Join(dir, "agent-door.crt"), filepath.Join(dir, "agent-door.key")
	if cert, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil && goodFor(cert.Leaf, host) {
		return cert, pemOf(cert), nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("make the agents' door's key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("make the agents' door's certificate: %w", err)
	}
	now := time.Now()
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "ingot agent door"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: true, BasicConstraintsValid: true}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("make the agents' door's certificate: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("make the agents' door's key: %w", err)
	}
	err = errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600),
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("keep the agents' door's certificate: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	return cert, pemOf(cert), err
}

func goodFor(leaf *x509.Certificate, host string) bool {
	return leaf != nil && leaf.VerifyHostname(host) == nil && time.Until(leaf.NotAfter) > certificateLife/3
}

func pemOf(c tls.Certificate) string {
	if len(c.Certificate) == 0 {
		return ""
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
}
