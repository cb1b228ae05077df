package api

import (
	"context"
	"errors"
	"net/http"

	"ingot/internal/fault"
	"ingot/internal/wire"
)

// statuses is the one place where a kind of failure becomes an HTTP status. docs/errors.md explains each.
var statuses = map[fault.Kind]int{
	fault.Internal:      http.StatusInternalServerError,
	fault.Invalid:       http.StatusBadRequest,
	fault.BadState:      http.StatusBadRequest,
	fault.Forbidden:     http.StatusForbidden,
	fault.NotFound:      http.StatusNotFound,
	fault.NotAcceptable: http.StatusNotAcceptable,
	fault.Locked:        http.StatusConflict,
	fault.Conflict:      http.StatusConflict,
	fault.TooLarge:      http.StatusRequestEntityTooLarge,
	fault.Unavailable:   http.StatusServiceUnavailable,
	fault.NotSupported:  http.StatusNotImplemented,
}

// routeError is a failure before any handler ran. Its body has another inner form than a fault's.
type routeError struct {
	status int
	text   string
	allow  string // for 405: the methods there are
}

func (e *routeError) Error() string { return e.text }

// internalText is all that a caller learns of a failure that is ours. id is the request's.
func internalText(id string) string {
	return "The server met an internal error. Its log has the cause under " + id + "."
}

// errorAnswer turns a handler's error into what the caller gets. id is the request's.
//
// There is no Retry-After, as upstream has none: python-ironicclient tries 409 and 503 again by itself, but
// not with that header, which its exceptions do not take. Source: python-ironicclient 5.0 and keystoneauth
// 5.0, exceptions' from_response.
func errorAnswer(err error, id string) answer {
	var re *routeError
	if errors.As(err, &re) {
		return answer{status: re.status, json: wire.NewRouteError(re.status, http.StatusText(re.status), re.text), allow: re.allow}
	}
	if fault.KindOf(err) == fault.Internal && errors.Is(err, context.DeadlineExceeded) {
		err = fault.Wrap(fault.Unavailable, err, "The request took too long and was given up; what it started may still happen.")
	}
	kind := fault.KindOf(err)
	text, ok := fault.PublicOf(err)
	if !ok || text == "" {
		text = internalText(id)
	}
	status, ok := statuses[kind]
	if !ok {
		status = http.StatusInternalServerError
	}
	return answer{status: status, json: wire.NewError(status, text)}
}
