package signing

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"

	"github.com/foxboron/go-uefi/pkcs7"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// What a WIN_CERTIFICATE says of itself.
const (
	revision   = 0x0200
	signedData = 0x0002 // WIN_CERT_TYPE_PKCS_SIGNED_DATA
)

// Sign gives the file with one more signature. Those that are there stay: a firmware takes a file that one of its keys signed.
func (i *Image) Sign(key crypto.Signer, cert *x509.Certificate) ([]byte, error) {
	if err := match(key, cert); err != nil {
		return nil, err
	}
	if i.entries >= maxCerts {
		return nil, wrong("the file has %d signatures already: no firmware looks at more", i.entries)
	}
	content, err := indirectData(i.Digest())
	if err != nil {
		return nil, err
	}
	sig, err := pkcs7.SignPKCS7(key, cert, oidIndirectData, content)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	start := i.padded()
	if len(i.raw) > i.end {
		start = i.end // a table that is there begins where it must
	}
	out := append(make([]byte, 0, len(i.raw)+len(sig)+32), i.raw...)
	out = append(out, make([]byte, -len(out)&(certPadding-1))...)
	out = le.AppendUint32(out, uint32(certHeader+len(sig)))
	out = le.AppendUint16(out, revision)
	out = le.AppendUint16(out, signedData)
	out = append(out, sig...)
	out = append(out, make([]byte, -len(out)&(certPadding-1))...)
	le.PutUint32(out[i.certDir:], uint32(start))
	le.PutUint32(out[i.certDir+4:], uint32(len(out)-start))
	return out, nil
}

// match sees that a certificate is the key's, and that firmware can use both.
func match(key crypto.Signer, cert *x509.Certificate) error {
	pub, ok := cert.PublicKey.(*rsa.PublicKey)
	if !ok {
		return wrong("the certificate's key is not RSA: firmware verifies RSA signatures only")
	}
	if n := pub.N.BitLen(); n < 2048 || n > 4096 {
		return wrong("the certificate's key has %d bits: firmware takes 2048, 3072 and 4096", n)
	}
	if !pub.Equal(key.Public()) {
		return wrong("the key is not the one that the certificate is for")
	}
	return nil
}

// ReadKey reads a private key, PEM. Nothing of it enters an error.
func ReadKey(text secret.Secret) (crypto.Signer, error) {
	for rest := []byte(text.Expose()); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, wrong("the key file holds no private key as PEM")
		}
		switch block.Type {
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, wrong("the key is encrypted: decrypt it first (openssl pkey -in KEY -out PLAIN), in memory or on an encrypted disk")
			}
			key, err := x509.ParsePKCS1PrivateKey(block.Bytes)
			if err != nil {
				return nil, wrong("the private key cannot be read")
			}
			return key, nil
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if signer, ok := key.(*rsa.PrivateKey); err == nil && ok {
				return signer, nil
			}
			return nil, wrong("the private key is not RSA: firmware verifies RSA signatures only")
		case "EC PRIVATE KEY":
			return nil, wrong("the private key is not RSA: firmware verifies RSA signatures only")
		case "ENCRYPTED PRIVATE KEY":
			return nil, wrong("the key is encrypted: decrypt it first (openssl pkey -in KEY -out PLAIN), in memory or on an encrypted disk")
		}
	}
}

// OnlyCertificates tells whether text is PEM of certificates and nothing else: no private key is in it by mistake.
func OnlyCertificates(text []byte) bool {
	some := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			return false
		}
		some = true
	}
	return some && bytes.Count(text, []byte("-----BEGIN ")) == bytes.Count(text, []byte("-----BEGIN CERTIFICATE-----"))
}

// ReadCert reads one certificate, PEM or DER.
func ReadCert(text []byte) (*x509.Certificate, error) {
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type == "CERTIFICATE" {
			text = block.Bytes
			break
		}
	}
	cert, err := x509.ParseCertificate(text)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "the certificate cannot be read: give one X.509 certificate, PEM or DER")
	}
	return cert, nil
}

// Signature says what one signature is worth.
type Signature struct {
	Signer string            // the subject of Cert
	Valid  bool              // it was made for these bytes, by the key of Cert
	Cert   *x509.Certificate // whose key made it; nil if the signature does not bring it
	Why    string            // why it is not valid
}

// Signatures tells of each signature in the order of the file.
func (i *Image) Signatures() []Signature {
	out := make([]Signature, len(i.certs))
	for n, raw := range i.certs {
		out[n] = i.judge(raw, nil)
	}
	return out
}

// SignedBy tells whether a valid signature was made by the key of cert.
func (i *Image) SignedBy(cert *x509.Certificate) bool {
	for _, raw := range i.certs {
		if s := i.judge(raw, cert); s.Valid {
			return true
		}
	}
	return false
}

// judge verifies a signature, with the certificate that it brings or with by. The library leaves one link of the chain to its
// callers: that the digest which was signed is that of the content.
func (i *Image) judge(raw []byte, by *x509.Certificate) Signature {
	p, err := pkcs7.ParsePKCS7(raw)
	if err != nil || len(p.SignerInfo) != 1 || !p.OID.Equal(oidIndirectData) {
		return Signature{Why: "it cannot be read"}
	}
	named, inner, ok := signedDigest(p.ContentInfo)
	if !ok {
		return Signature{Why: "it names no SHA-256"}
	}
	info, s := p.SignerInfo[0], Signature{}
	for _, c := range p.Certs {
		if bytes.Equal(c.RawIssuer, info.IssuerAndSerialnumber.RawIssuer) && c.SerialNumber.Cmp(info.IssuerAndSerialnumber.SerialNumber) == 0 {
			s.Cert, s.Signer = c, c.Subject.String()
		}
	}
	if by == nil {
		by = s.Cert
	}
	digest, content := i.Digest(), sha256.Sum256(inner)
	switch {
	case by == nil:
		s.Why = "it does not bring its certificate"
	case !bytes.Equal(named, digest[:]):
		s.Why = "it is for other bytes: the file was changed after it was signed"
	case info.AuthenticatedAttributes == nil || !bytes.Equal(info.AuthenticatedAttributes.MessageDigest, content[:]):
		s.Why = "what was signed is not what it says"
	default:
		ok, err := p.Verify(by)
		if s.Valid = ok && err == nil; !s.Valid {
			s.Why = "it was not made by the key of " + by.Subject.String()
		}
	}
	return s
}
