package peer

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ingot/internal/secret"
)

// authorityLife is how long an authority's certificate is good: it is replaced by rotation, not by age.
const authorityLife = 10 * 365 * 24 * time.Hour

// invitationLife is how long an invitation may be used.
const invitationLife = time.Hour

// Authority signs certificates. Its folder has one file per generation, certificate and sealed key; rotating
// adds one. A new generation is handed out as trusted at once and signs only when every server must have
// renewed meanwhile; the old one stays trusted until what it signed has expired.
type Authority struct {
	dir         string
	life        time.Duration // of the certificates it signs
	generations []generation  // oldest first
}

type generation struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// MakeAuthority makes the first generation in dir. One that is there already is an error.
func MakeAuthority(dir string, seal secret.Secret, life time.Duration) (*Authority, error) {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is a certificate authority in %s already: \"ingot peer rotate-ca\" replaces it without an outage", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	a := &Authority{dir: dir, life: life}
	return a, a.Rotate(seal, time.Now())
}

// OpenAuthority reads the authority in dir; fs.ErrNotExist if there is none.
func OpenAuthority(dir string, seal secret.Secret, life time.Duration) (*Authority, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.pem"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, fs.ErrNotExist)
	}
	a := &Authority{dir: dir, life: life}
	for _, name := range files {
		g, err := readGeneration(name, seal)
		if err != nil {
			return nil, fmt.Errorf("certificate authority %s: %w", name, err)
		}
		a.generations = append(a.generations, g)
	}
	slices.SortFunc(a.generations, func(x, y generation) int { return x.cert.NotBefore.Compare(y.cert.NotBefore) })
	return a, nil
}

// Rotate adds a generation.
func (a *Authority) Rotate(seal secret.Secret, now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: "ingot servers " + now.UTC().Format("2006-01-02")},
		NotBefore: now.Add(-skew), NotAfter: now.Add(authorityLife), KeyUsage: x509.KeyUsageCertSign, IsCA: true,
		BasicConstraintsValid: true, MaxPathLenZero: true}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	sealed, err := sealKey(raw, seal, der)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: sealedKey, Bytes: sealed}), certPEM(der)...)
	name := fmt.Sprintf("%s-%s.pem", now.UTC().Format("20060102T150405"), Fingerprint(cert)[:8])
	if err := writeFile(filepath.Join(a.dir, name), text); err != nil {
		return err
	}
	a.generations = append(a.generations, generation{cert, key})
	return nil
}

// signer is the newest generation that every server must know by now: one that is older than the life of a
// certificate, or the first.
func (a *Authority) signer(now time.Time) int {
	for i := len(a.generations) - 1; i > 0; i-- {
		if now.Sub(a.began(i)) > a.life {
			return i
		}
	}
	return 0
}

func (a *Authority) began(i int) time.Time { return a.generations[i].cert.NotBefore.Add(skew) }

// Trusted are the generations that servers must accept now: the one that signs, those to come, and the one
// before while something it signed may live.
func (a *Authority) Trusted(now time.Time) []*x509.Certificate {
	from := a.signer(now)
	if from > 0 && now.Sub(a.began(from)) <= 2*a.life {
		from--
	}
	var out []*x509.Certificate
	for _, g := range a.generations[from:] {
		out = append(out, g.cert)
	}
	return out
}

// Sign makes a certificate for a public key. life is the authority's own if it is zero.
func (a *Authority) Sign(id Identity, public any, life time.Duration, now time.Time) (*x509.Certificate, error) {
	if err := CheckName(id.Name); err != nil {
		return nil, err
	}
	if len(id.Roles) == 0 {
		return nil, errors.New("a certificate needs a role")
	}
	if life == 0 {
		life = a.life
	}
	g := a.generations[a.signer(now)]
	t := &x509.Certificate{SerialNumber: serial(), Subject: pkix.Name{CommonName: id.Name}, DNSNames: []string{id.Name}, URIs: id.uris(),
		NotBefore: now.Add(-skew), NotAfter: now.Add(life), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, t, g.cert, public, g.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// Fingerprint is the SHA-256 of a certificate in hex, as people compare it.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

func serial() *big.Int {
	raw := make([]byte, 16)
	rand.Read(raw)
	raw[0] = raw[0]&0x7f | 0x40 // positive, and always of one length
	return new(big.Int).SetBytes(raw)
}

// sealedKey is the type of a PEM block whose bytes are a nonce and an AES-GCM sealed PKCS 8 key, bound to its
// certificate.
const sealedKey = "INGOT SEALED PRIVATE KEY"

func sealer(seal secret.Secret) (cipher.AEAD, error) {
	sum := sha256.Sum256([]byte("ingot peer authority\x00" + seal.Expose()))
	block, err := aes.NewCipher(sum[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

func sealKey(raw []byte, seal secret.Secret, bound []byte) ([]byte, error) {
	aead, err := sealer(seal)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, raw, bound), nil
}

func readGeneration(name string, seal secret.Secret) (generation, error) {
	text, err := readPrivate(name)
	if err != nil {
		return generation{}, err
	}
	block, rest := pem.Decode(text)
	after, _ := pem.Decode(rest)
	if block == nil || after == nil || block.Type != sealedKey || after.Type != "CERTIFICATE" {
		return generation{}, errors.New("it does not hold a sealed key and a certificate")
	}
	cert, err := x509.ParseCertificate(after.Bytes)
	if err != nil {
		return generation{}, err
	}
	aead, err := sealer(seal)
	if err != nil {
		return generation{}, err
	}
	n := aead.NonceSize()
	if len(block.Bytes) < n {
		return generation{}, errors.New("its key is too short")
	}
	raw, err := aead.Open(nil, block.Bytes[:n], block.Bytes[n:], after.Bytes)
	if err != nil {
		return generation{}, errors.New("its key does not open: it was sealed with another key file, or altered")
	}
	key, err := x509.ParsePKCS8PrivateKey(raw)
	if err != nil {
		return generation{}, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return generation{}, errors.New("its key is of another kind")
	}
	return generation{cert, ec}, nil
}
