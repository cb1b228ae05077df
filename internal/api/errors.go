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
	fault.Internal:        http.StatusInternalServerError,
	fault.Invalid:         http.StatusBadRequest,
	fault.BadState:        http.StatusBadRequest,
	fault.Forbidden:       http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.NotAcceptable:   http.StatusNotAcceptable,
	fault.Locked:          http.StatusConflict,
	fault.Conflict:        http.StatusConflict,
	fault.TooLarge:        http.StatusRequestEntityTooLarge,
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.NotSupported:    http.StatusNotImplemented,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.TooMany:         http.StatusTooManyRequests,
	fault.Full:            http.StatusServiceUnavailable,
	fault.NoHost:          http.StatusNotFound, // but see hostless
}

// routeError is a failure before any handler ran. Its body has another inner form than a fault's.
type routeError struct {
	status int
	text   string
	allow  string // for 405: the methods there are
	known  bool   // the path is there, for newer clients: the body has the form of a fault's
}

func (e *routeError) Error() string { return e.text }

// internalText is all that a caller learns of a failure that is ours. id is the request's.
func internalText(id string) string {
	return "The server met an internal error. Its log has the cause under " + id + "."
}

// errorAnswer turns a handler's error into what the caller gets. id is the request's.
//
// There is mostly no Retry-After, as upstream has none: python-ironicclient tries 409 and 503 again by itself, but
// not with that header, which its exceptions do not take. Source: python-ironicclient 5.0 and keystoneauth
// 5.0, exceptions' from_response. A limit that is reached has one: others would ask again too soon.
func errorAnswer(err error, id string) answer {
	var le *loginError
	if errors.As(err, &le) {
		return le.answer(id)
	}
	var re *routeError
	if errors.As(err, &re) {
		if re.known {
			return answer{status: re.status, json: wire.NewError(re.status, re.text), allow: re.allow}
		}
		return answer{status: re.status, json: wire.NewRouteError(re.status, http.StatusText(re.status), re.text), allow: re.allow}
	}
	err = orLate(err)
	text, ok := fault.PublicOf(err)
	if !ok || text == "" {
		text = internalText(id)
	}
	status := kindStatus(err)
	a := answer{status: status, json: wire.NewError(status, text)}
	var tm *tooMany
	if errors.As(err, &tm) {
		a.retryAfter = tm.seconds()
	}
	if fault.KindOf(err) == fault.Full {
		a.retryAfter = fullFor
	}
	return a
}

// fullFor is after how many seconds it is worth to ask again for what there are enough of: operations take minutes, and one of many
// ends sooner.
const fullFor = "30"

// hostless is err, or a wrong request where the route's callers expect one for a node that no conductor serves.
func (c *call) hostless(err error) error {
	if text, _ := fault.PublicOf(err); c.hosted && fault.KindOf(err) == fault.NoHost {
		return fault.Wrap(fault.Invalid, err, "%s", text)
	}
	return err
}

// orLate is err, or what a caller is told of a request whose time was up.
func orLate(err error) error {
	if fault.KindOf(err) == fault.Internal && errors.Is(err, context.DeadlineExceeded) {
		return fault.Wrap(fault.Unavailable, err, "The request took too long and was given up; what it started may still happen.")
	}
	return err
}

// kindStatus is the status of an error by its kind.
func kindStatus(err error) int {
	if status, ok := statuses[fault.KindOf(err)]; ok {
		return status
	}
	return http.StatusInternalServerError
}
