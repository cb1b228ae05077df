package vendordata

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/secret"
)

const (
	// SignatureHeader has a request's signature:
	//
	//	version=1, key=NAME, time=SECONDS, nonce=HEX, signature=HEX
	//
	// The signature is HMAC-SHA256, with the key of that name, of these lines, divided by one newline (0x0a) each: the word
	// "ingot-vendordata-1", the method, the host as the header Host has it in lower case, the path and query as the request line has
	// them, time, nonce, and the SHA-256 of the body in lower-case hex. time is of Unix, nonce 16 bytes that no other request has. A
	// target refuses what is older or younger than five minutes by its clock, a nonce that it has seen within them, and a host that is
	// not its own: then nobody who saw a request can send it again, there or elsewhere.
	SignatureHeader = "X-Ingot-Signature"

	signedWord   = "ingot-vendordata-1"
	keyfileSize  = 64 << 10
	keyLength    = 32 // bytes, at least
	keyNameLimit = 64
	nonceLength  = 16
)

// signingKey is a key that this server shares with targets.
type signingKey struct {
	name   string
	secret secret.Secret
}

// parseKeys reads a file of keys. Its errors have numbers of lines, and nothing that is in them.
func parseKeys(text []byte) ([]signingKey, error) {
	var out []signingKey
	for n, line := range bytes.Split(text, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(string(line), ":")
		raw, err := base64.StdEncoding.DecodeString(value)
		switch {
		case !found || err != nil:
			return nil, fmt.Errorf("line %d is no NAME:BASE64", n+1)
		case len(raw) < keyLength:
			return nil, fmt.Errorf("line %d: the key has less than %d bytes", n+1, keyLength)
		case name == "" || len(name) > keyNameLimit || !nameable(name):
			return nil, fmt.Errorf("line %d: a key's name has 1 to %d letters, digits and . _ -", n+1, keyNameLimit)
		case slices.ContainsFunc(out, func(k signingKey) bool { return k.name == name }):
			return nil, fmt.Errorf("line %d: the name of its key is used before", n+1)
		}
		out = append(out, signingKey{name, secret.New(string(raw))})
	}
	if len(out) == 0 {
		return nil, errors.New("there is no key in it: write lines of NAME:BASE64, such as of: openssl rand -base64 32")
	}
	return out, nil
}

// sign signs a request that carries body.
func (k signingKey) sign(r *http.Request, body []byte, now time.Time) {
	random := make([]byte, nonceLength)
	_, _ = rand.Read(random) // it never fails
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	at, nonce, sum := strconv.FormatInt(now.Unix(), 10), hex.EncodeToString(random), sha256.Sum256(body)
	mac := hmac.New(sha256.New, []byte(k.secret.Expose()))
	mac.Write([]byte(strings.Join([]string{signedWord, r.Method, strings.ToLower(host), r.URL.RequestURI(), at, nonce, hex.EncodeToString(sum[:])}, "\n")))
	r.Header.Set(SignatureHeader, fmt.Sprintf("version=1, key=%s, time=%s, nonce=%s, signature=%s", k.name, at, nonce, hex.EncodeToString(mac.Sum(nil))))
}
