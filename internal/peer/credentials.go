package peer

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
)

// credentials are what a server shows and whom it trusts. They are replaced whole, never changed.
type credentials struct {
	own     tls.Certificate
	id      Identity
	trusted []*x509.Certificate
	pool    *x509.CertPool
}

func newCredentials(own tls.Certificate, trusted []*x509.Certificate) (*credentials, error) {
	id, err := identityOf(own.Leaf)
	if err != nil {
		return nil, err
	}
	c := &credentials{own: own, id: id, trusted: trusted, pool: x509.NewCertPool()}
	for _, t := range trusted {
		c.pool.AddCert(t)
	}
	return c, nil
}

// readCredentials reads a server's own file; fs.ErrNotExist if it has not joined.
func readCredentials(dir string) (*credentials, error) {
	path := filepath.Join(dir, identityName)
	text, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	c, err := parseCredentials(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseCredentials(text []byte) (*credentials, error) {
	var key *ecdsa.PrivateKey
	var certs []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			key, _ = k.(*ecdsa.PrivateKey)
		case "CERTIFICATE":
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, err
			}
			certs = append(certs, c)
		}
	}
	if key == nil || len(certs) < 2 || !key.PublicKey.Equal(certs[0].PublicKey) {
		return nil, errors.New("it does not hold a key, its certificate and an authority")
	}
	return newCredentials(tls.Certificate{Certificate: [][]byte{certs[0].Raw}, PrivateKey: key, Leaf: certs[0]}, certs[1:])
}

// save keeps the credentials in the folder, in one file, so that key and certificate always fit.
func (c *credentials) save(dir string) error {
	raw, err := x509.MarshalPKCS8PrivateKey(c.own.PrivateKey)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), certPEM(c.own.Leaf.Raw)...)
	for _, t := range c.trusted {
		text = append(text, certPEM(t.Raw)...)
	}
	return writeFile(filepath.Join(dir, identityName), text)
}
