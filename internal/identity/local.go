package identity

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/policy"
	"ingot/internal/watched"
)

// ScopeHeader chooses what a user of the local file acts for: a project, or System. The user name of HTTP Basic can do the
// same, as user@project, for clients that cannot send headers of their own; the header wins.
const ScopeHeader = "X-Ingot-Scope"

// System is the scope of all machines. No project may have this name.
const System = "system"

// Local is the door of the local identity file: users, roles, projects and the system scope without Keystone.
type Local struct {
	file    *watched.Files[*people]
	checker *checker
}

// NewLocal reads the file; log is told when it changes.
func NewLocal(path string, log *slog.Logger) (*Local, error) {
	f, err := watched.Open(path, localLimit, log, parseLocal)
	if err != nil {
		return nil, err
	}
	return &Local{file: f, checker: newChecker()}, nil
}

// Challenge is what a client without credentials is told.
func (*Local) Challenge() string { return Realm }

// Identify compares the credentials of a request with the file and finds the scope.
func (l *Local) Identify(ctx context.Context, r *http.Request) (policy.Caller, error) {
	name, password, err := credentials(r.Header)
	if err != nil {
		return policy.Caller{}, err
	}
	in := l.file.Get()
	u, scope := in.find(name)
	if h := r.Header.Get(ScopeHeader); h != "" {
		scope = h
	}
	hash := in.decoy
	if u != nil {
		hash = u.hash
	}
	ok, err := l.checker.right(ctx, addrOf(r), name, password, hash, u != nil)
	switch {
	case err != nil:
		return policy.Caller{}, err
	case !ok:
		return policy.Caller{}, wrong()
	}
	return u.as(scope)
}

// find reads the user name of HTTP Basic. A name of the file is that user, even if it has an "@" (mail addresses do);
// otherwise the last "@" divides user and scope.
func (in *people) find(name string) (u *person, scope string) {
	if u := in.users[name]; u != nil {
		return u, ""
	}
	at := strings.LastIndexByte(name, '@')
	if at < 0 {
		return nil, ""
	}
	return in.users[name[:at]], name[at+1:]
}

// as is the user in a scope; "" is the user's own choice: the default of the file, else the system, else the only project.
func (u *person) as(scope string) (policy.Caller, error) {
	if scope == "" {
		scope = u.scope
	}
	if scope == "" {
		return policy.Caller{}, fault.New(fault.Invalid, "%s has several projects: choose one with the user name %s@PROJECT or the header %s. There are %s.",
			u.name, u.name, ScopeHeader, strings.Join(u.scopes(), ", "))
	}
	c, ok := u.callers[scope]
	if !ok {
		return policy.Caller{}, fault.New(fault.Unauthenticated, "%s has no role in %q: there are %s.", u.name, clip(scope), strings.Join(u.scopes(), ", "))
	}
	return c, nil
}

func (u *person) scopes() []string {
	var out []string
	for s := range u.callers {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func clip(s string) string {
	if len(s) > 100 {
		return strings.ToValidUTF8(s[:100], "") + "…"
	}
	return s
}

// Named is a user of the file without being asked for a password, for whoever explains rights. A scope may follow the
// name, as in a log-in.
func (l *Local) Named(name string) (policy.Caller, error) {
	u, scope := l.file.Get().find(name)
	if u == nil {
		return policy.Caller{}, fault.New(fault.NotFound, "User %s could not be found.", clip(name))
	}
	c, err := u.as(scope)
	if err != nil { // whoever asks is somebody else: it is not their log-in that failed
		text, _ := fault.PublicOf(err)
		return c, fault.Wrap(fault.Invalid, err, "%s", text)
	}
	return c, nil
}
