package source

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"ingot/internal/secret"
)

const maxRedirects = 5

var (
	errRedirects = errors.New("too many redirects")
	errDowngrade = errors.New("redirect from https to http")
	errUserinfo  = errors.New("redirect to a URL with a user name or password in it")
	errScheme    = errors.New("redirect to a URL that is neither http nor https")
	errSending   = errors.New("redirect of a request with a body, which may hold credentials, to another server")
)

// redirects are the redirects that are not followed.
var redirects = []error{errRedirects, errDowngrade, errUserinfo, errScheme, errSending}

func isRedirect(err error) bool {
	return slices.ContainsFunc(redirects, func(known error) bool { return errors.Is(err, known) })
}

// credentials are the headers that only the origin they are for may see.
var credentials = []string{"Authorization", "X-Auth-Token", "Cookie"}

// checkRedirect bounds redirects and keeps credentials at their origin: Go itself would send them on to
// subdomains, other ports and from https to http, and would tell the whole former URL in Referer. Once another origin
// was on the way they are gone for good, also back at the first. A URL with credentials of its own is another's choice
// of what is told to whom, and not followed.
func (o Options) checkRedirect(r *http.Request, via []*http.Request) error {
	r.Header.Del("Referer")
	switch last := via[len(via)-1]; {
	case len(via) > maxRedirects:
		return errRedirects
	case r.URL.Scheme != "https" && r.URL.Scheme != "http":
		return errScheme
	case last.URL.Scheme == "https" && r.URL.Scheme != "https":
		return errDowngrade
	case r.URL.User != nil:
		return errUserinfo
	case r.Method != http.MethodGet && r.Method != http.MethodHead && !sameOrigin(last.URL, r.URL): // 307 and 308: it would be sent again
		return errSending
	}
	if err := o.refusedHost(r.URL); err != nil {
		return err
	}
	kept := true
	for _, v := range via {
		kept = kept && (sameOrigin(v.URL, r.URL) || o.trusts(r.URL))
	}
	for _, h := range credentials {
		if v := via[0].Header.Values(h); kept && len(v) > 0 {
			r.Header[http.CanonicalHeaderKey(h)] = slices.Clone(v)
		} else {
			r.Header.Del(h)
		}
	}
	return nil
}

// trusts tells whether a redirect's target is one of those that the credentials are for as well.
func (o Options) trusts(u *url.URL) bool {
	return u.Scheme == "https" && slices.ContainsFunc(o.Trusted, func(h string) bool { return strings.EqualFold(h, u.Host) })
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && strings.EqualFold(a.Host, b.Host) }

// at are the options for another URL than the one they were made for: credentials stay at their origin.
func (o Options) at(first, other string) Options {
	a, err := url.Parse(first)
	b, otherErr := url.Parse(other)
	if err != nil || otherErr != nil || !sameOrigin(a, b) {
		o.User, o.Password, o.Authorization, o.Token = "", secret.Secret{}, secret.Secret{}, secret.Secret{}
	}
	o.Size = 0 // that is the image's
	return o
}
