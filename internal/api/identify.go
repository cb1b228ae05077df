package api

import (
	"net/http"
	"path"
	"regexp"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/policy"
	"ingot/internal/wire"
)

// public are the paths that nobody logs in for, without a trailing slash: discovery, and what agents in ramdisks need. The short
// spellings without /v1, and a heartbeat that names a node by a name with capitals or dots, are not among them.
// Source: RBAC reference §1.
var public = regexp.MustCompile(`^(/|/v1|/v1/lookup|/v1/heartbeat/[a-z0-9\-]+|/v1/continue_inspection)(\.json|\.xml)?$`)

// identify finds out who asks. A server without a way to tell takes everybody for its operator.
func (c *call) identify() error {
	if c.o.Identity == nil {
		c.who = policy.Caller{Trusted: true}
		return nil
	}
	if public.MatchString(path.Clean("/" + c.r.URL.EscapedPath())) {
		c.who = policy.Caller{IsPublicAPI: true}
		return nil
	}
	who, err := c.o.Identity.Identify(c.r.Context(), c.r)
	if err != nil {
		return &loginError{orLate(err), c.o.Identity.Challenge()}
	}
	c.who = who
	return nil
}

// again asks anew who sends a request whose answer goes on, and what they may do: who was shut out meanwhile learns no more.
func (c *call) again() error {
	if c.o.Identity != nil {
		who, err := c.o.Identity.Identify(c.whole.Context(), c.r)
		if err != nil {
			return err
		}
		who.IsPublicAPI = c.who.IsPublicAPI
		c.who = who
	}
	c.rights = c.o.Rules().For(c.who)
	return nil
}

// loginError is a refusal before anybody knows who asks. Its body has a form of its own.
type loginError struct {
	error
	challenge string
}

func (e *loginError) Unwrap() error { return e.error }

// answer renders the refusal. Source: RBAC reference §1.
func (e *loginError) answer(id string) answer {
	status, text := kindStatus(e.error), ""
	if text, _ = fault.PublicOf(e.error); text == "" {
		text = internalText(id)
	}
	a := answer{status: status, json: wire.NewLoginError(status, http.StatusText(status), text)}
	if status == http.StatusUnauthorized {
		a.challenge = e.challenge
	}
	return a
}

// operator is who asks while the server has no authentication.
const operator = "operator"

// inProject stands between a user and a project in what events remember of a caller.
const inProject = " of "

// name is who asks, for events: the user, and the project the user acts for.
func (c *call) name() string {
	switch {
	case c.who.UserID == "":
		return operator
	case c.who.ProjectID == "":
		return c.who.UserID
	}
	return c.who.UserID + inProject + c.who.ProjectID
}

// userAndProject reads name's form.
func userAndProject(who string) (user, project string) {
	user, project, _ = strings.Cut(who, inProject)
	return user, project
}
