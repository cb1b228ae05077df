package redfish

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"ingot/internal/metal"
)

// What one reply may be. The largest real ones are pages of a console log, under 1 MiB; Redfish documents
// nest less than 10 deep.
const (
	maxReply    = 4 << 20
	maxDepth    = 32
	maxRequests = 200 // of one call
	maxHeader   = 64 << 10
	dialLimit   = 10 * time.Second // a BMC on a management network answers a SYN in milliseconds, or is off
)

// Answers that are not Redfish, whoever sent them.
var (
	errTooLarge  = fmt.Errorf("the reply is larger than %d bytes", maxReply)
	errTooDeep   = fmt.Errorf("the reply is nested deeper than %d", maxDepth)
	errElsewhere = errors.New("it points to another host")
	errTooMany   = fmt.Errorf("the answer takes more than %d requests to read", maxRequests)
	errNoTarget  = errors.New("it names no address for that")
)

// pinError says that the BMC showed another certificate than the pinned one.
type pinError struct{ found, pinned string }

func (e *pinError) Error() string {
	return fmt.Sprintf("certificate fingerprint is %s, pinned is %s", e.found, e.pinned)
}

// fingerprint is the SHA-256 of a certificate, in lower-case hex.
func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func (t trust) tlsConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: t.pool}
	if t.unverified {
		c.InsecureSkipVerify = true
	}
	if t.pin != nil {
		// The pin is the whole verification: BMCs' certificates are self-signed and name nothing useful.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error {
			sum := sha256.Sum256(s.PeerCertificates[0].Raw)
			if subtle.ConstantTimeCompare(sum[:], t.pin) != 1 {
				return &pinError{found: hex.EncodeToString(sum[:]), pinned: hex.EncodeToString(t.pin)}
			}
			return nil
		}
	}
	return c
}

// newHTTP makes the client for one BMC: its trust, its limits, its host and no other.
func newHTTP(scheme, host string, t trust, places chan struct{}) *http.Client {
	base := &http.Transport{
		// No proxy: BMCs are on the management network, and a proxy from the environment is for the other one.
		Proxy:                  nil,
		DialContext:            (&net.Dialer{Timeout: dialLimit}).DialContext,
		TLSClientConfig:        t.tlsConfig(),
		TLSHandshakeTimeout:    dialLimit,
		MaxIdleConnsPerHost:    cap(places),
		IdleConnTimeout:        time.Minute,
		MaxResponseHeaderBytes: maxHeader,
	}
	g := &guard{base: base, scheme: scheme, host: host, turn: places}
	return &http.Client{Transport: g, CheckRedirect: g.redirect}
}

// guard is the door between a BMC and the rest: it counts who is inside, and reads each reply whole, within
// limits, before anything parses it.
type guard struct {
	base         *http.Transport
	scheme, host string
	turn         chan struct{} // a place per request under way
}

// RoundTrip refuses every other host: the Redfish library joins the BMC's address and a link from the
// BMC's answer as text, so that the link "@evil.example/" leads elsewhere, with our session token.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != g.scheme || req.URL.Host != g.host || req.URL.User != nil {
		return nil, errElsewhere
	}
	select {
	case g.turn <- struct{}{}:
		defer func() { <-g.turn }()
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	if err := metal.Fence(req.Context()); err != nil {
		return nil, err
	}
	resp, err := g.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxReply {
		return nil, errTooLarge
	}
	if deeper(body, maxDepth) {
		return nil, errTooDeep
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return resp, nil
}

func (g *guard) redirect(req *http.Request, via []*http.Request) error {
	if req.URL.Host != g.host || req.URL.Scheme != g.scheme {
		return errElsewhere
	}
	if len(via) >= 3 {
		return errors.New("it redirects in circles")
	}
	return nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (g *guard) CloseIdleConnections() { g.base.CloseIdleConnections() }

// deeper tells whether a JSON text nests deeper than limit. It needs no valid JSON; of other texts (a
// login page in HTML) it says no.
func deeper(b []byte, limit int) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	if len(b) == 0 || (b[0] != '{' && b[0] != '[') {
		return false
	}
	depth, quoted := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > limit {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}
