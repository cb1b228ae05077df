package bmc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net"
	"time"
)

// NewCertificate makes a key and a self-signed certificate for the given addresses and names, as BMCs
// leave the factory with. It is valid for ten years and from a day ago: clocks of racks differ.
func NewCertificate(hosts []string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Ingot lab"}, CommonName: hosts[0]},
		NotBefore:    now.Add(-24 * time.Hour),
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, // so that a client can also be given it as its CA
	}
	t.BasicConstraintsValid = true
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// Fingerprint is the SHA-256 of the BMC's certificate, 64 lower-case hex digits.
func (b *BMC) Fingerprint() string {
	sum := sha256.Sum256(b.cert.Certificate[0])
	return hex.EncodeToString(sum[:])
}

// CertificateDER is the BMC's certificate, to be trusted as a CA.
func (b *BMC) CertificateDER() []byte { return b.cert.Certificate[0] }

// LabName is the server name with which the lab's own clients ask: they see the true certificate whatever is planted.
const LabName = "lab.invalid"

// certificate chooses what a handshake is shown: another one while the BMC pretends to have a new key.
func (b *BMC) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName != LabName {
		if _, ok := b.faults.strike(NewKey); ok {
			fresh, err := NewCertificate(b.cfg.Hosts)
			return &fresh, err
		}
	}
	return &b.cert, nil
}
