package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/wire"
)

// Refusal is the cause of a fault that the server answered with. The sentence itself is the fault's Public.
type Refusal struct {
	Status     int
	RequestID  string        // what the server's log calls this request; "" if it did not say
	RetryAfter time.Duration // 0: it did not say
	spoken     bool          // the body was the API's own, not a proxy's: the request was not begun
}

func (r *Refusal) Error() string {
	if r.RequestID == "" {
		return fmt.Sprintf("HTTP %d", r.Status)
	}
	return fmt.Sprintf("HTTP %d, request %s", r.Status, r.RequestID)
}

// Unreachable is the cause of a fault when nobody answered: no name, no route, no listener, a broken
// connection or a certificate that is not trusted.
type Unreachable struct {
	Endpoint string
	Cause    error
}

func (u *Unreachable) Error() string { return u.Cause.Error() }
func (u *Unreachable) Unwrap() error { return u.Cause }

// refused turns an answer that is no success into a fault.
func refused(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorLimit))
	text := wire.ErrorText(body)
	r := &Refusal{
		Status:     resp.StatusCode,
		RequestID:  resp.Header.Get(wire.HeaderRequest),
		RetryAfter: after(resp.Header.Get("Retry-After")),
		spoken:     text != "",
	}
	if text == "" {
		text = fmt.Sprintf("the server answered %d %s without saying why", r.Status, http.StatusText(r.Status))
	}
	if bytes.Contains(body, []byte("HTTP request to an HTTPS server")) || bytes.Contains(body, []byte("HTTP request was sent to HTTPS port")) {
		text = "the server speaks TLS: give an endpoint with https://" // what Go's servers and nginx answer
	}
	if to := resp.Header.Get("Location"); r.Status < 400 && to != "" {
		text = fmt.Sprintf("the server says it moved to %s: give that as the endpoint", to)
	}
	return fault.Wrap(kindOf(r.Status, text), r, "%s", text)
}

// noHost begins what is said of a node that no live conductor serves.
const noHost = "No valid host was found."

// kindOf reads the kind back from what the wire keeps of it. Two kinds share 400 and two share 409: there
// the documented texts decide. Source: rest-api reference §16.
func kindOf(status int, text string) fault.Kind {
	switch status {
	case http.StatusBadRequest:
		if strings.Contains(text, "can not be performed on node") || strings.Contains(text, "can't be performed on node") {
			return fault.BadState
		}
		if strings.HasPrefix(text, noHost) {
			return fault.NoHost
		}
		return fault.Invalid
	case http.StatusConflict:
		if strings.Contains(text, "is locked by") {
			return fault.Locked
		}
		return fault.Conflict
	case http.StatusUnauthorized:
		return fault.Unauthenticated
	case http.StatusForbidden:
		return fault.Forbidden
	case http.StatusTooManyRequests:
		return fault.TooMany
	case http.StatusNotFound:
		if strings.HasPrefix(text, noHost) {
			return fault.NoHost
		}
		return fault.NotFound
	case http.StatusMethodNotAllowed:
		return fault.NotSupported
	case http.StatusNotAcceptable:
		return fault.NotAcceptable
	case http.StatusRequestEntityTooLarge:
		return fault.TooLarge
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return fault.Unavailable
	case http.StatusNotImplemented:
		return fault.NotSupported
	}
	return fault.Internal
}

// retryAfter tells whether the request that failed with err may be sent again, and when. A refusal by the
// API itself was not begun, so any method may; what a proxy says, and a lost answer, prove nothing, so only
// a GET may. Where nobody listens, trying again would only delay the bad news.
func retryAfter(method string, err error, pause time.Duration) (time.Duration, bool) {
	var r *Refusal
	if errors.As(err, &r) {
		if r.RetryAfter > 0 {
			pause = r.RetryAfter
		}
		switch fault.KindOf(err) {
		case fault.Locked, fault.TooMany:
			return pause, true
		case fault.Unavailable:
			return pause, (r.spoken && r.Status == http.StatusServiceUnavailable) || method == http.MethodGet
		}
		return 0, false
	}
	var u *Unreachable
	if errors.As(err, &u) {
		return pause, method == http.MethodGet && brokeOff(u.Cause)
	}
	return 0, false
}

// brokeOff tells a connection that ended early from one that never was.
func brokeOff(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "connection reset")
}

// after reads a Retry-After header: seconds, or a date.
func after(h string) time.Duration {
	if n, err := strconv.Atoi(h); err == nil && n > 0 {
		return time.Duration(min(n, 1<<20)) * time.Second
	}
	if t, err := http.ParseTime(h); err == nil {
		return max(0, time.Until(t))
	}
	return 0
}
