package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"unicode"

	"ingot/internal/policy"
	"ingot/internal/watched"
)

const htpasswdLimit = 4 << 20 // bytes of a file: 40,000 users

// entries is what an htpasswd file says.
type entries struct {
	hashes map[string]string // by user
	decoy  string
}

// Htpasswd is the door of http_basic: whoever is in the file may do everything. Source: RBAC reference §1.
type Htpasswd struct {
	file    *watched.Files[entries]
	checker *checker
}

// NewHtpasswd reads the file; log is told when it changes.
func NewHtpasswd(path string, log *slog.Logger) (*Htpasswd, error) {
	f, err := watched.Open(path, htpasswdLimit, log, parseHtpasswd)
	if err != nil {
		return nil, err
	}
	return &Htpasswd{file: f, checker: newChecker()}, nil
}

// Challenge is what a client without credentials is told.
func (*Htpasswd) Challenge() string { return Realm }

// Identify compares the credentials of a request with the file.
func (h *Htpasswd) Identify(ctx context.Context, r *http.Request) (policy.Caller, error) {
	user, password, err := credentials(r.Header)
	if err != nil {
		return policy.Caller{}, err
	}
	in := h.file.Get()
	hash, known := in.hashes[user]
	if !known {
		hash = in.decoy
	}
	ok, err := h.checker.right(ctx, addrOf(r), user, password, hash, known)
	if err != nil {
		return policy.Caller{}, err
	}
	if !ok {
		return policy.Caller{}, wrong()
	}
	return policy.Caller{Trusted: true, UserID: user, UserName: user}, nil
}

// parseHtpasswd reads lines of user:hash. All that is wrong is told at once, by line. Empty lines and those that begin with
// "#" are nothing.
func parseHtpasswd(text []byte) (entries, error) {
	in := entries{hashes: map[string]string{}}
	costs := map[int]int{}
	var bad []error
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		user, hash, ok := strings.Cut(line, ":")
		cost, err := 0, checkName(user)
		if err == nil && !ok {
			err = errors.New("there is no colon between user and password")
		}
		if err == nil {
			cost, err = checkHash(hash)
		}
		if _, twice := in.hashes[user]; err == nil && twice {
			err = fmt.Errorf("the user %q is there already", user)
		}
		if err != nil {
			if bad = append(bad, fmt.Errorf("line %d: %w", n, err)); len(bad) == 20 {
				break
			}
			continue
		}
		in.hashes[user] = hash
		costs[cost]++
	}
	in.decoy = decoy(costs)
	return in, errors.Join(bad...)
}

// maxName is bytes of the name of a user or a project.
const maxName = 255

// checkName refuses names that cannot be told apart in a log or a header.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case len(name) > maxName:
		return fmt.Errorf("a name is longer than %d bytes", maxName)
	case strings.ContainsRune(name, ':'):
		return fmt.Errorf("the name %q has a colon, which ends a name where people log in", name)
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }):
		return fmt.Errorf("the name %q has a space or a character that cannot be seen", name)
	}
	return nil
}
