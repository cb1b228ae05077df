package peer

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Role is what a server may do among the others.
type Role string

// The roles a certificate may name. Issuer is the server with the authority's key.
const (
	API       Role = "api"
	Conductor Role = "conductor"
	AgentAPI  Role = "agent-api"
	Boot      Role = "boot"
	Metadata  Role = "metadata"
	Issuer    Role = "issuer"
)

// Roles are those that an invitation may give.
var Roles = []Role{API, Conductor, AgentAPI, Boot, Metadata}

// joining marks the certificate of an invitation: ingot://NAME/join/ROLE. It has no role, only the promise of one.
const joining = "join"

// Identity is what a certificate says of a server.
type Identity struct {
	Name   string
	Roles  []Role // of an invitation: those it promises
	Joins  bool   // it is an invitation
	Issued time.Time
	Until  time.Time
}

// Is tells whether the server has a role. An invitation has none.
func (i Identity) Is(r Role) bool { return !i.Joins && slices.Contains(i.Roles, r) }

var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// CheckName tells whether a server may have this name: a host name in lower case, no address.
func CheckName(name string) error {
	if _, err := netip.ParseAddr(name); err == nil || len(name) > 200 || !nameForm.MatchString(name) {
		return fmt.Errorf("%q cannot be a server's name: it must be like a host name, of lower-case letters, digits, - and .", name)
	}
	return nil
}

// skew is how much the clocks of two servers may differ: a certificate begins this much before it was issued.
const skew = 10 * time.Minute

// uris says who in the form of a certificate.
func (i Identity) uris() []*url.URL {
	out := make([]*url.URL, len(i.Roles))
	for n, r := range i.Roles {
		path := "/" + string(r)
		if i.Joins {
			path = "/" + joining + path
		}
		out[n] = &url.URL{Scheme: "ingot", Host: i.Name, Path: path}
	}
	return out
}

// identityOf reads a certificate that was verified. One that names no server, or two, is none of ours.
func identityOf(c *x509.Certificate) (Identity, error) {
	id := Identity{Issued: c.NotBefore.Add(skew), Until: c.NotAfter}
	for n, u := range c.URIs {
		path, joins := strings.CutPrefix(u.Path, "/"+joining+"/")
		role := Role(strings.TrimPrefix(path, "/"))
		known := slices.Contains(Roles, role) || role == Issuer && !joins
		if u.Scheme != "ingot" || !known || n > 0 && (u.Host != id.Name || joins != id.Joins) {
			return Identity{}, fmt.Errorf("the certificate's name %s means nothing here", u)
		}
		id.Name, id.Joins = u.Host, joins
		id.Roles = append(id.Roles, role)
	}
	if err := CheckName(id.Name); err != nil || len(c.DNSNames) != 1 || c.DNSNames[0] != id.Name {
		return Identity{}, fmt.Errorf("the certificate names no server of ours")
	}
	return id, nil
}
