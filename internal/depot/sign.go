package depot

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ingot/internal/secret"
)

// MinKeyLength is the shortest key an address may be signed with, in bytes.
const MinKeyLength = 32

var (
	errExpired   = errors.New("expired")
	errSignature = errors.New("signature does not fit")
)

// signer makes and checks the unforgeable parts of an address. Each use has a key of its own, derived
// from the caller's.
type signer struct {
	sign  []byte      // of HMAC-SHA256 over what is offered
	nonce []byte      // of HMAC-SHA256 over a path, to seal it
	seal  cipher.AEAD // hides paths of this server from those who fetch
	who   string      // public name of the key, for healthz
}

func newSigner(key secret.Secret) (*signer, error) {
	if len(key.Expose()) < MinKeyLength {
		return nil, fmt.Errorf("the key that signs addresses has %d bytes; at least %d are needed", len(key.Expose()), MinKeyLength)
	}
	derive := func(use string) []byte { return mac([]byte(key.Expose()), "ingot depot", use) }
	block, err := aes.NewCipher(derive("seal"))
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	who := base64.RawURLEncoding.EncodeToString(derive("who")[:9])
	return &signer{sign: derive("sign"), nonce: derive("nonce"), seal: aead, who: who}, nil
}

// mac is HMAC-SHA256 over the parts, each with its length before it, so that no two lists are alike.
func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

func (s *signer) signature(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(mac(s.sign, parts...))
}

func (s *signer) fits(signature string, parts ...string) bool {
	return subtle.ConstantTimeCompare([]byte(signature), []byte(s.signature(parts...))) == 1
}

// hide turns a path into an opaque id, always the same one for the same path.
func (s *signer) hide(path string) string {
	nonce := mac(s.nonce, path)[:s.seal.NonceSize()]
	return base64.RawURLEncoding.EncodeToString(s.seal.Seal(nonce, nonce, []byte(path), nil))
}

func (s *signer) find(id string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(b) < s.seal.NonceSize() {
		return "", errSignature
	}
	n := s.seal.NonceSize()
	path, err := s.seal.Open(nil, b[:n], b[n:], nil)
	if err != nil {
		return "", errSignature
	}
	return string(path), nil
}

// terms are the limits of an offer, as one segment of its address: "<unix seconds>-<fetches>".
type terms struct {
	expires time.Time
	fetches int // 0: no limit
}

func (t terms) String() string { return fmt.Sprintf("%d-%d", t.expires.Unix(), t.fetches) }

// parseTerms reads a segment whose signature was checked, and refuses one that is over.
func parseTerms(segment string, now time.Time) (terms, error) {
	unix, fetches, ok := strings.Cut(segment, "-")
	at, err1 := strconv.ParseInt(unix, 10, 64)
	n, err2 := strconv.Atoi(fetches)
	if !ok || err1 != nil || err2 != nil || n < 0 {
		return terms{}, errSignature
	}
	t := terms{expires: time.Unix(at, 0), fetches: n}
	if !now.Before(t.expires) {
		return terms{}, errExpired
	}
	return t, nil
}
