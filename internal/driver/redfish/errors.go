package redfish

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// maxMessage bounds what of a BMC's own words enters an error, in bytes.
const maxMessage = 300

// statusOf gives the HTTP status of a refusal, 0 for every other error and for nil.
func statusOf(err error) int {
	var e *schemas.Error
	if errors.As(err, &e) {
		return e.HTTPReturnedStatusCode
	}
	return 0
}

// sessionsFull tells whether a BMC makes no more sessions. Source: DMTF Base message registry,
// SessionLimitExceeded; bmcweb and others answer it with 503.
func sessionsFull(err error) bool {
	var e *schemas.Error
	return errors.As(err, &e) && slices.ContainsFunc(e.ExtendedInfos, func(i schemas.ErrExtendedInfo) bool {
		return strings.HasSuffix(i.MessageID, ".SessionLimitExceeded")
	})
}

// lost tells whether err came from the connection and not from an answer.
func lost(err error) bool {
	var u *url.Error
	return errors.As(err, &u) && !unparsed(err)
}

// unparsed tells whether err is about a link of the BMC's that makes no URL.
func unparsed(err error) bool {
	var u *url.Error
	return errors.As(err, &u) && u.Op == "parse"
}

// passing tells whether the same request may fare better in a moment: the BMC stumbled or dropped the
// connection. A timeout is not passing: it has used the patience there was.
func passing(err error) bool {
	switch s := statusOf(err); {
	case busyWhy(err) != "":
		return true
	case s == http.StatusConflict, s == http.StatusTooManyRequests: // busy, often in POST
		return true
	case s == http.StatusNotImplemented:
		return false
	case s >= 500:
		return true
	case s != 0:
		return false
	}
	var n net.Error
	if !lost(err) || errors.As(err, &n) && n.Timeout() || errors.Is(err, context.Canceled) {
		return false
	}
	return !untrusted(err) && !nonsense(err)
}

func untrusted(err error) bool {
	var pin *pinError
	var cert *tls.CertificateVerificationError
	return errors.As(err, &pin) || errors.As(err, &cert)
}

func nonsense(err error) bool {
	for _, e := range []error{errTooLarge, errTooDeep, errElsewhere, errTooMany, errNoTarget} {
		if errors.Is(err, e) {
			return true
		}
	}
	return unparsed(err)
}

// refused tells whether the BMC understood and said no to what was asked in this form.
func refused(err error) bool {
	if busyWhy(err) != "" {
		return false
	}
	s := statusOf(err)
	return s >= 400 && s < 500 && s != http.StatusUnauthorized && s != http.StatusForbidden &&
		s != http.StatusTooManyRequests && s != http.StatusConflict || s == http.StatusNotImplemented
}

// fault makes of whatever happened what the caller may see, and a cause for the log without a secret. A
// fault stays what it is.
func (c *call) fault(err error) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	cause := &cause{text: bounded(scrub(err.Error(), c.hide), 2*maxMessage)}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, known) {
			cause.known = known
		}
	}
	b, host := c.bmc, c.bmc.host
	var pin *pinError
	var cert *tls.CertificateVerificationError
	switch s := statusOf(err); {
	case busyWhy(err) != "":
		return fault.Wrap(fault.Locked, cause, "the BMC at %s refuses to %s for now, because %s%s: it will be asked again", host, c.doing, busyWhy(err), c.said(err))
	case s == http.StatusUnauthorized:
		return fault.Wrap(fault.Invalid, cause, "the BMC at %s refuses user %s: check %s and %s", host, scrub(b.user, c.hide), keyUser, keyPassword)
	case s == http.StatusForbidden:
		return fault.Wrap(fault.Invalid, cause, "the BMC at %s does not let user %s %s%s: give that user the right to, or set another %s",
			host, scrub(b.user, c.hide), c.doing, c.said(err), keyUser)
	case s == http.StatusConflict || s == http.StatusTooManyRequests:
		return fault.Wrap(fault.Unavailable, cause, "the BMC at %s is too busy to %s%s", host, c.doing, c.said(err))
	case s == http.StatusNotImplemented:
		return fault.Wrap(fault.NotSupported, cause, "the BMC at %s cannot %s%s", host, c.doing, c.said(err))
	case s >= 500:
		return fault.Wrap(fault.Unavailable, cause, "the BMC at %s answers with an error of its own (%d) when asked to %s%s", host, s, c.doing, c.said(err))
	case s != 0:
		return fault.Wrap(fault.Internal, cause, "the BMC at %s refuses to %s (%d)%s", host, c.doing, s, c.said(err))
	case errors.As(err, &pin):
		return fault.Wrap(fault.Invalid, cause, "the BMC at %s shows another certificate than the pinned one: found %s, pinned %s. "+
			"If the BMC's certificate was replaced on purpose, set %s to the found value; otherwise somebody may be between us and it",
			host, pin.found, pin.pinned, keyFingerprint)
	case errors.As(err, &cert):
		return c.unverified(cert, cause)
	case errors.Is(err, errNoTarget):
		return fault.Wrap(fault.NotSupported, cause, "the BMC at %s cannot %s: %s", host, c.doing, errNoTarget)
	case nonsense(err):
		return fault.Wrap(fault.Internal, cause, "the BMC at %s cannot be understood when asked to %s: the answer is unusable", host, c.doing)
	case errors.Is(err, context.Canceled):
		return fault.Wrap(fault.Unavailable, cause, "asking the BMC at %s to %s was interrupted", host, c.doing)
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, cause, "the BMC at %s did not answer in time when asked to %s", host, c.doing)
	case lost(err):
		return fault.Wrap(fault.Unavailable, cause, "the BMC at %s cannot be reached: %s", host, reason(err))
	case undecodable(err):
		return fault.Wrap(fault.Internal, cause, "the BMC at %s cannot be understood when asked to %s: the answer is not Redfish", host, c.doing)
	}
	return fault.Wrap(fault.Internal, cause, "the BMC at %s cannot %s", host, c.doing)
}

// unverified says what certificate was found and what to do about it.
func (c *call) unverified(cert *tls.CertificateVerificationError, cause error) error {
	found := "none"
	if len(cert.UnverifiedCertificates) > 0 {
		found = fingerprint(cert.UnverifiedCertificates[0].Raw)
	}
	return fault.Wrap(fault.Invalid, cause, "the certificate of the BMC at %s cannot be verified (%s). "+
		"Give its CA in %s, or, after comparing it with what the BMC itself shows, pin it: set %s to %s",
		c.bmc.host, bounded(cert.Err.Error(), maxMessage), keyVerifyCA, keyFingerprint, found)
}

// said is the BMC's own message as the end of a sentence: cleaned, shortened, secrets masked; "" for none.
func (c *call) said(err error) string {
	// Mask first, shorten then: half a password is one too many.
	if m := bounded(scrub(message(err), c.hide), maxMessage); m != "" {
		return ": the BMC says: " + m
	}
	return ""
}

// messageIDs are the names of the messages in a refusal.
func messageIDs(err error) []string {
	var e *schemas.Error
	if !errors.As(err, &e) {
		return nil
	}
	ids := []string{e.Code}
	for _, info := range e.ExtendedInfos {
		ids = append(ids, info.MessageID)
	}
	return ids
}

// message is what a refusal says in words: the extended messages if there are any, else the general one.
func message(err error) string {
	var e *schemas.Error
	if !errors.As(err, &e) {
		return ""
	}
	var parts []string
	for i, info := range e.ExtendedInfos {
		if info.Message != "" && i < 4 {
			parts = append(parts, info.Message)
		}
	}
	if len(parts) == 0 && !strings.HasPrefix(strings.TrimSpace(e.Message), "<") { // not a web page
		parts = append(parts, e.Message)
	}
	return strings.Join(parts, " ")
}

// reason is why a connection failed, in the operating system's words and without addresses.
func reason(err error) string {
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return "its name is not known"
	case errors.As(err, &op) && op.Timeout():
		return "it does not answer"
	case errors.As(err, &op) && op.Err != nil:
		var sys interface{ Unwrap() error }
		if errors.As(op.Err, &sys) && sys.Unwrap() != nil {
			return bounded(sys.Unwrap().Error(), maxMessage)
		}
		return bounded(op.Err.Error(), maxMessage)
	case timedOut(err):
		return "it takes the connection and does not answer"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends the connection without an answer"
	case strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return "it speaks http at that port, not https"
	}
	return "the connection failed"
}

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

func undecodable(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return errors.As(err, &syntax) || errors.As(err, &kind) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// cause is an error for the log that keeps nothing but text: the library's errors carry whole replies, and
// a reply may echo what we sent.
type cause struct {
	text  string
	known error // context.Canceled, context.DeadlineExceeded or nil
}

func (c *cause) Error() string { return c.text }
func (c *cause) Unwrap() error { return c.known }

// bounded makes a stranger's text fit for one line of ours: printable, at most limit bytes.
func bounded(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(s[:min(len(s), 4*limit)], func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == unicode.ReplacementChar
	}), " ")
	if len(s) <= limit {
		return s
	}
	cut := 0
	for i := range s {
		if i > limit-len("…") {
			break
		}
		cut = i
	}
	return s[:cut] + "…"
}

// hidden lists what no error about a BMC may show: the password in the forms in which a reply may echo it.
func hidden(a access) []string {
	p := a.password.Expose()
	if p == "" {
		return nil
	}
	quoted, _ := json.Marshal(p)
	return []string{
		base64.StdEncoding.EncodeToString([]byte(a.user + ":" + p)),
		strings.Trim(string(quoted), `"`), strings.Trim(strconv.Quote(p), `"`),
		html.EscapeString(p), url.QueryEscape(p), url.PathEscape(p), p,
	}
}

// scrub masks every hidden text in s.
func scrub(s string, hide []string) string {
	for _, h := range hide {
		if h != "" {
			s = strings.ReplaceAll(s, h, secret.Mask)
		}
	}
	return s
}
