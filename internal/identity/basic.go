package identity

import (
	"encoding/base64"
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"

	"ingot/internal/fault"
)

// Realm is what clients are told they log in to. Source: RBAC reference §1.
const Realm = `Basic realm="Baremetal API"`

// maxCredentials is bytes of a user name and a password together: far above what people and programs have.
const maxCredentials = 4 << 10

// credentials reads an Authorization header. None at all is fault.Unauthenticated, one that cannot be read fault.Invalid.
func credentials(h http.Header) (user, password string, err error) {
	all := h.Values("Authorization")
	if len(all) == 0 {
		return "", "", fault.New(fault.Unauthenticated, "Log in: this server wants a user name and a password (HTTP Basic).")
	}
	if len(all) > 1 || len(all[0]) > 2*maxCredentials {
		return "", "", fault.New(fault.Invalid, "The Authorization header cannot be understood: send one, as Basic and the encoded user:password.")
	}
	scheme, token, ok := strings.Cut(strings.TrimSpace(all[0]), " ")
	token = strings.TrimSpace(token)
	if !ok || token == "" || strings.ContainsAny(token, " \t") {
		return "", "", fault.New(fault.Invalid, "The Authorization header cannot be understood: send Basic and the encoded user:password.")
	}
	if !strings.EqualFold(scheme, "basic") {
		return "", "", fault.New(fault.Invalid, "This server takes Basic authorization, not the kind that the Authorization header names.")
	}
	raw, err := base64.StdEncoding.DecodeString(token)
	if err != nil || !utf8.Valid(raw) {
		return "", "", fault.New(fault.Invalid, "The Authorization header cannot be decoded: what follows Basic must be the base64 of user:password in UTF-8.")
	}
	user, password, ok = strings.Cut(string(raw), ":")
	if !ok {
		return "", "", fault.New(fault.Invalid, "The Authorization header has no colon between user and password.")
	}
	return user, password, nil
}

// wrong is what everybody is told whose credentials are not right, whatever is wrong with them.
func wrong() error {
	return fault.New(fault.Unauthenticated, "The user name or the password is not right.")
}

// addrOf is where a request comes from. IPv6 addresses count by /64: that is what one host gets.
func addrOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return a
}
