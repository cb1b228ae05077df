package identity

import (
	"context"
	"net/http"

	"ingot/internal/policy"
)

// The ways to tell who asks, by the words of auth_strategy.
const (
	ByNobody   = "noauth"
	ByKeystone = "keystone"
	ByHtpasswd = "http_basic"
	ByLocal    = "local"
)

// Door tells who sent a request.
type Door interface {
	// Identify looks at the headers of r. Its errors are faults that may be shown to whoever sent it.
	Identify(ctx context.Context, r *http.Request) (policy.Caller, error)
	// Challenge is the WWW-Authenticate header of a refusal: what to send in place of what was sent.
	Challenge() string
}
