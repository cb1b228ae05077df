package agentapi

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
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// Pair is a certificate that vouches for itself, and its key, both PEM. The zero value is none.
type Pair struct {
	Certificate string
	Key         secret.Secret
}

// NewPair makes a pair of one boot, for either side of TLS. Whoever is shown the certificate compares it whole, so it names
// no host; name is for people who look at it.
func NewPair(name string, from, until time.Time) (Pair, error) {
	c, text, err := SelfSigned(&x509.Certificate{Subject: pkix.Name{CommonName: name}, NotBefore: from, NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return Pair{}, fmt.Errorf("make a boot's certificate: %w", err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return Pair{}, fmt.Errorf("make a boot's key: %w", err)
	}
	return Pair{Certificate: text, Key: secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))}, nil
}

// SelfSigned makes a certificate that vouches for itself, with a new P-256 key, and its PEM. shape says whose it is, for how long and
// for what; the serial number and what the key is for are filled in.
func SelfSigned(shape *x509.Certificate) (*tls.Certificate, string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, "", err
	}
	if shape.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, "", err
	}
	shape.KeyUsage = x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, shape, shape, key.Public(), key)
	if err != nil {
		return nil, "", err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(text), nil
}

// Empty tells whether there is none.
func (p Pair) Empty() bool { return p.Certificate == "" }

// TLS is the pair as TLS uses it; fault.Invalid if it is not one. The error holds nothing of the key.
func (p Pair) TLS() (tls.Certificate, error) {
	c, err := tls.X509KeyPair([]byte(p.Certificate), []byte(p.Key.Expose()))
	if err != nil {
		return tls.Certificate{}, fault.New(fault.Invalid, "the certificate and the key of this boot do not belong together, or are not PEM")
	}
	return c, nil
}
