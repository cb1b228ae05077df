package vendordata

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A target of your own may copy this file: it needs nothing else of ours. docs/guides/vendordata.md says the same in words.

const (
	signatureHeader = "X-Ingot-Signature"
	signedWord      = "ingot-vendordata-1"
	// signatureWindow is how far a request's time may be from ours. So long nonces are remembered.
	signatureWindow = 5 * time.Minute
	// mostNonces are remembered. One who knows no key cannot fill it: only requests that are signed well are.
	mostNonces = 100_000
	keyLength  = 32
)

// Verifier tells whether a request was signed with a key that this target shares with the server that asks. It is safe for many
// goroutines. It forgets with its process: within the window a request may be sent once more to a target that was started anew.
type Verifier struct {
	keyfile string
	hosts   []string
	now     func() time.Time

	mu   sync.Mutex
	seen map[string]time.Time // guarded by mu; when a nonce may be forgotten
}

// NewVerifier reads keys from a file of lines NAME:BASE64, the same as the server's. All of them are good: so a key is replaced by
// adding the new one here, then there, in front of the old one, and taking away the old one at last. The file is read for each
// request. hosts are what this target is called in the servers' configuration, with the port where the URL has one: without them, one
// target could pass on to another what it was sent.
func NewVerifier(keyfile string, hosts ...string) (*Verifier, error) {
	if len(hosts) == 0 {
		return nil, errors.New("a target that checks signatures must know its own host")
	}
	v := &Verifier{keyfile: keyfile, now: time.Now, seen: map[string]time.Time{}}
	for _, h := range hosts {
		v.hosts = append(v.hosts, strings.ToLower(h))
	}
	_, err := v.keys()
	return v, err
}

// Check tells what is wrong with a request of this body: answer it with 401.
func (v *Verifier) Check(r *http.Request, body []byte) error {
	said := r.Header.Values(signatureHeader)
	if len(said) != 1 {
		return fmt.Errorf("want the header %s once", signatureHeader)
	}
	part := map[string]string{}
	for _, field := range strings.SplitN(said[0], ",", 6) {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		if _, twice := part[name]; twice {
			return errors.New("a field of the signature is there twice")
		}
		part[name] = value
	}
	if len(part) != 5 || part["version"] != "1" {
		return errors.New("the signature is none of version 1")
	}
	host := strings.ToLower(r.Host)
	if !slices.Contains(v.hosts, host) {
		return errors.New("the request is for another host")
	}
	keys, err := v.keys()
	if err != nil {
		return errors.New("the keys cannot be read")
	}
	key, known := keys[part["key"]]
	if !known {
		return errors.New("the key is not known")
	}
	sum := sha256.Sum256(body)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.Join([]string{signedWord, r.Method, host, r.RequestURI, part["time"], part["nonce"], hex.EncodeToString(sum[:])}, "\n")))
	given, err := hex.DecodeString(part["signature"])
	if err != nil || !hmac.Equal(given, mac.Sum(nil)) {
		return errors.New("the signature is wrong")
	}
	at, err := strconv.ParseInt(part["time"], 10, 64)
	if err != nil {
		return errors.New("the time is no number")
	}
	return v.once(time.Unix(at, 0), part["nonce"])
}

// once takes a nonce that was not seen before.
func (v *Verifier) once(at time.Time, nonce string) error {
	now := v.now()
	if age := now.Sub(at); age > signatureWindow || age < -signatureWindow {
		return errors.New("the request was signed at another time: is a clock wrong?")
	}
	if len(nonce) < 32 || len(nonce) > 64 {
		return errors.New("the nonce is too short or too long")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, again := v.seen[nonce]; again {
		return errors.New("the request was seen before")
	}
	if len(v.seen) >= mostNonces {
		for n, until := range v.seen {
			if now.After(until) {
				delete(v.seen, n)
			}
		}
	}
	if len(v.seen) >= mostNonces {
		return errors.New("too many requests came at once")
	}
	v.seen[nonce] = at.Add(signatureWindow)
	return nil
}

func (v *Verifier) keys() (map[string][]byte, error) {
	text, err := os.ReadFile(v.keyfile)
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		name, value, _ := strings.Cut(string(line), ":")
		key, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(key) < keyLength || name == "" {
			return nil, errors.New("a line of the key file is no NAME:BASE64 of at least 32 bytes")
		}
		out[name] = key
	}
	if len(out) == 0 {
		return nil, errors.New("the key file has no key")
	}
	return out, nil
}
