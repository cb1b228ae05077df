// Package fault is the one error type that crosses room boundaries.
//
// A fault has a Kind, which decides how the caller is answered, a Public sentence that is safe to show
// to that caller, and a cause that only the log sees. A plain error is Internal: the caller learns a
// request id and nothing else. It is for every room; it knows nothing of HTTP (api/errors.go maps
// kinds to status codes).
package fault

import (
	"errors"
	"fmt"
)

// Kind says what sort of failure this is. The zero Kind is Internal.
type Kind int

// The kinds, with the HTTP status that api/errors.go gives them (source: rest-api reference, "Status codes").
const (
	Internal        Kind = iota // 500: our defect, or a driver failure without a better kind
	Invalid                     // 400: the request is wrong in itself
	BadState                    // 400: right request, wrong state of the node for it
	Forbidden                   // 403: not allowed to this caller, or the node is protected
	NotFound                    // 404
	NotAcceptable               // 406: newer than the requested microversion
	Locked                      // 409: held by another operation; the caller may retry
	Conflict                    // 409: duplicate, or contradicts what is stored
	TooLarge                    // 413
	Unavailable                 // 503: nobody there to do it now; the caller may retry
	NotSupported                // 501: a feature this server does not have
	Unauthenticated             // 401: nobody knows who asks; other credentials may help
	TooMany                     // 429: this client asks too often; it may ask again later
	NoHost                      // 404, or 400 where the route says so: no live conductor serves the node
	Full                        // 503: as many of such operations run as may; the caller may ask again later
)

var kindNames = [...]string{"internal", "invalid", "bad state", "forbidden", "not found", "not acceptable",
	"locked", "conflict", "too large", "unavailable", "not supported", "unauthenticated", "too many", "no host", "full"}

func (k Kind) String() string {
	if k < 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Error is a failure with two audiences.
type Error struct {
	Kind   Kind
	Public string // a full sentence for the caller: no secrets, no internals, says what to do where it can
	Cause  error  // for the log; may be nil
}

// Error gives the log's view: the public sentence and the cause.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Public
	}
	return e.Public + ": " + e.Cause.Error()
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// New makes a fault without a cause. The formatted text is shown to the caller.
func New(k Kind, format string, args ...any) *Error {
	return &Error{Kind: k, Public: fmt.Sprintf(format, args...)}
}

// Wrap makes a fault with a cause that only the log sees. The formatted text is shown to the caller.
func Wrap(k Kind, cause error, format string, args ...any) *Error {
	return &Error{Kind: k, Public: fmt.Sprintf(format, args...), Cause: cause}
}

// KindOf finds the kind of the outermost fault in err's chain; Internal if there is none.
func KindOf(err error) Kind {
	var f *Error
	if errors.As(err, &f) {
		return f.Kind
	}
	return Internal
}

// PublicOf gives the sentence for the caller, and whether there is one. The outermost fault decides.
func PublicOf(err error) (string, bool) {
	var f *Error
	if errors.As(err, &f) {
		return f.Public, true
	}
	return "", false
}
