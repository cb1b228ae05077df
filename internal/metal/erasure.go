package metal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// ErasureType is what the signed bytes of an erase certificate are. A change that old readers would misread gets another number.
const ErasureType = "application/vnd.ingot.erasure.v1+json"

// ErasureCertificate says that one device of a node was erased, and how that is known. It holds what the agent of one boot
// reported; the server that asked for it signs.
type ErasureCertificate struct {
	UUID      string `json:"uuid"`
	Node      string `json:"node"` // UUID
	NodeName  string `json:"node_name,omitempty"`
	Operation string `json:"operation"` // UUID
	Step      string `json:"step"`      // "deploy.erase_devices"

	Device ErasedDevice `json:"device"`
	// Method is a few words, of which "metadata only" means that the data itself was not erased; Partial says the same.
	Method  string `json:"method"`
	Partial bool   `json:"metadata_only"`
	How     string `json:"how"`
	Passes  int    `json:"passes"`

	Began  time.Time `json:"began"`  // by the machine's clock
	Ended  time.Time `json:"ended"`  // the same
	Issued time.Time `json:"issued"` // by the server's

	ReadBack ErasureReadBack `json:"read_back"`
	Agent    string          `json:"agent_version"`
	Server   string          `json:"server"` // by its host name
}

// ErasedDevice is what was erased; what a device does not tell of itself is "".
type ErasedDevice struct {
	Name   string `json:"name"`
	Serial string `json:"serial"`
	WWN    string `json:"wwn"`
	Model  string `json:"model"`
	Size   int64  `json:"size_bytes"`
}

// ErasureReadBack is what was found when the device was read again after the erase.
type ErasureReadBack struct {
	Whole   bool    `json:"whole"` // every byte that was to be erased was read as well
	Samples int     `json:"samples"`
	Length  int     `json:"sample_bytes"`
	Offsets []int64 `json:"offsets,omitempty"` // bytes
	Zero    int     `json:"zero_samples"`
	Result  string  `json:"result"`
}

// SignedErasure is a certificate with its signature: an envelope as DSSE has it (github.com/secure-systems-lab/dsse,
// envelope.md). What is signed are the bytes of Payload as they are, so that nobody has to write JSON in one way only.
type SignedErasure struct {
	PayloadType string             `json:"payloadType"`
	Payload     string             `json:"payload"` // base64
	Signatures  []ErasureSignature `json:"signatures"`
}

// ErasureSignature is one of an envelope.
type ErasureSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"` // base64, Ed25519
}

// ErasureRecord is a certificate as the API gives it: to read, and to verify. Verifying compares the two.
type ErasureRecord struct {
	Certificate *ErasureCertificate `json:"certificate,omitempty"`
	Envelope    SignedErasure       `json:"envelope"`
}

// SigningKey is the public half of a key that certificates are signed with.
type SigningKey struct {
	ID        string    `json:"keyid"`
	Public    string    `json:"public_key"` // PEM
	CreatedAt time.Time `json:"created_at"`
}

// KeyID names a public key: its SHA-256, hex.
func KeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:])
}

// PublicPEM writes a public key as every TLS tool reads it.
func PublicPEM(public ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil { // it is of a known kind
		panic("metal: write a public key: " + err.Error())
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// PublicKeys reads Ed25519 keys in PEM, one or several.
func PublicKeys(text []byte) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			break
		}
		text = rest
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("it holds a %q, and a PUBLIC KEY is needed", block.Type)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("it holds a public key that cannot be read")
		}
		public, ok := key.(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("it holds a key of another kind (%T): certificates are signed with Ed25519", key)
		}
		keys = append(keys, public)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no public key in PEM (-----BEGIN PUBLIC KEY-----)")
	}
	return keys, nil
}

// SignErasure makes the envelope of a certificate.
func SignErasure(c ErasureCertificate, key ed25519.PrivateKey) (SignedErasure, error) {
	payload, err := json.Marshal(c)
	if err != nil {
		return SignedErasure{}, err
	}
	public, _ := key.Public().(ed25519.PublicKey)
	return SignedErasure{PayloadType: ErasureType, Payload: base64.StdEncoding.EncodeToString(payload), Signatures: []ErasureSignature{
		{KeyID: KeyID(public), Sig: base64.StdEncoding.EncodeToString(ed25519.Sign(key, authenticated(ErasureType, payload)))}}}, nil
}

// authenticated is what DSSE signs: type and payload, each behind its length.
func authenticated(kind string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(kind), kind, len(payload), payload)
}

// What becomes of a certificate that is not to be trusted. The errors of VerifyErasure are of one of these.
var (
	ErrErasureForm    = errors.New("this is no erase certificate")
	ErrErasureForeign = errors.New("it was signed by somebody else")
	ErrErasureForged  = errors.New("its signature does not fit: it was changed, or never signed by this key")
	ErrErasureAltered = errors.New("the readable part was changed: it is not what was signed")
)

// maxErasure bounds the payload of one certificate, bytes.
const maxErasure = 256 << 10

// VerifyErasure gives the certificate in an envelope if one of the keys signed it, and nothing of it otherwise.
func VerifyErasure(r ErasureRecord, trusted []ed25519.PublicKey) (ErasureCertificate, error) {
	var c ErasureCertificate
	e := r.Envelope
	if e.PayloadType != ErasureType {
		return c, fmt.Errorf("%w: its payloadType is %.80q, not %s", ErrErasureForm, e.PayloadType, ErasureType)
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil || len(payload) > maxErasure {
		return c, fmt.Errorf("%w: its payload is not base64, or too long", ErrErasureForm)
	}
	if len(e.Signatures) == 0 {
		return c, fmt.Errorf("%w: it has no signature", ErrErasureForm)
	}
	if err := signedBy(e, payload, trusted); err != nil {
		return c, err
	}
	if err := strictly(payload, &c); err != nil {
		return ErasureCertificate{}, fmt.Errorf("%w: what was signed cannot be read: %w", ErrErasureForm, err)
	}
	if r.Certificate != nil {
		shown, err := json.Marshal(r.Certificate)
		if err != nil || !bytes.Equal(shown, payload) {
			return ErasureCertificate{}, ErrErasureAltered
		}
	}
	return c, nil
}

func signedBy(e SignedErasure, payload []byte, trusted []ed25519.PublicKey) error {
	err := fmt.Errorf("%w: no key that is trusted is named in it (it names %.80q)", ErrErasureForeign, e.Signatures[0].KeyID)
	for _, s := range e.Signatures[:min(len(e.Signatures), 8)] {
		sig, bad := base64.StdEncoding.Strict().DecodeString(s.Sig)
		for _, key := range trusted {
			if KeyID(key) != s.KeyID {
				continue
			}
			if bad == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, authenticated(e.PayloadType, payload), sig) {
				return nil
			}
			err = ErrErasureForged
		}
	}
	return err
}

// ParseErasures reads what `ingot node erasure -o json` writes, one of its records, or a bare envelope.
func ParseErasures(text []byte) ([]ErasureRecord, error) {
	var page struct {
		Certificates []ErasureRecord `json:"certificates"`
		Keys         []SigningKey    `json:"keys"` // what a file says of its own keys counts for nothing
	}
	if err := strictly(text, &page); err == nil && len(page.Certificates) > 0 {
		return page.Certificates, nil
	}
	var one ErasureRecord
	if err := strictly(text, &one); err == nil && one.Envelope.PayloadType != "" {
		return []ErasureRecord{one}, nil
	}
	var bare SignedErasure
	if err := strictly(text, &bare); err != nil || bare.PayloadType == "" {
		return nil, fmt.Errorf("%w: give what `ingot node erasure NODE -o json` wrote, or one envelope of it", ErrErasureForm)
	}
	return []ErasureRecord{{Envelope: bare}}, nil
}

// strictly decodes one JSON value that has no keys beyond those of v.
func strictly(text []byte, v any) error {
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more follows it")
	}
	return nil
}
