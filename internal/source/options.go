package source

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// Options say how to fetch. The zero value fetches with the system's CAs, no proxy and no credentials.
// Proxies of the environment are never used.
type Options struct {
	CA            string            // PEM certificates servers must chain to; "" means the system's
	MoreCA        string            // PEM certificates that servers may chain to beside those
	Insecure      bool              // no certificate is checked: whoever is between can be anybody
	Proxies       map[string]string // proxy URL by the scheme of the URL fetched: "http", "https"
	User          string            // HTTP basic authentication, with Password
	Password      secret.Secret
	Authorization secret.Secret // a whole Authorization header; wins over User
	Token         secret.Secret // an X-Auth-Token header, which OpenStack's services take
	// Trusted are host names, exact, that may be told the credentials too when the first server redirects to them.
	Trusted []string

	// Refused are networks that nothing is fetched from, whatever name leads there.
	Refused []netip.Prefix
	// Size is how many bytes the resource must have; 0: any number.
	Size int64
	// MD5 takes MD5 checksums, too.
	MD5 bool
	// NoChecksumFiles refuses checksums that are a URL, or are looked for beside the image.
	NoChecksumFiles bool

	// Connect is how long one connection attempt may take, TLS included. Zero is 15 s.
	Connect time.Duration
	// Stall is how long a server may send nothing, before or within the body. Zero is 60 s.
	Stall time.Duration
	// Tries is how often in a row one URL may fail without giving a byte. Zero is 5.
	Tries int
	// Backoff is the pause before the second try; it doubles up to 30 s. Zero is 1 s.
	Backoff time.Duration
}

const (
	maxBackoff = 30 * time.Second
	// maxBreaks bounds how often in total a download may break off, so that a server which gives one
	// byte per connection cannot hold a caller forever.
	maxBreaks = 100
	// idle is how long a connection is kept that nobody uses, where its server does not close it.
	idle = 30 * time.Second
)

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Connect, 15*time.Second)
	set(&o.Stall, 60*time.Second)
	set(&o.Backoff, time.Second)
	if o.Tries == 0 {
		o.Tries = 5
	}
	return o
}

// Client makes an HTTP client that fetches by these rules, for who speaks more than downloads: a registry's API. Requests carry
// their own credentials; redirects, networks and certificates are as for Open.
func (o Options) Client() (*http.Client, error) { return o.withDefaults().client() }

// client makes an HTTP client of its own, so that one caller's CA and proxy never serve another's.
func (o Options) client() (*http.Client, error) {
	roots := (*x509.CertPool)(nil)
	if o.CA != "" {
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM([]byte(o.CA)) {
			return nil, fault.New(fault.Invalid, "The CA given for image servers holds no PEM certificate.")
		}
	}
	if o.MoreCA != "" {
		if roots == nil {
			roots, _ = x509.SystemCertPool() // a system without any has those given
		}
		if roots == nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM([]byte(o.MoreCA)) {
			return nil, fault.New(fault.Invalid, "The CA given for this download holds no PEM certificate.")
		}
	}
	proxies := map[string]*url.URL{}
	for scheme, raw := range o.Proxies {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fault.New(fault.Invalid, "The %s proxy for images is not an http or https URL.", scheme)
		}
		proxies[scheme] = u
	}
	t := &http.Transport{
		Proxy:                 func(r *http.Request) (*url.URL, error) { return proxies[r.URL.Scheme], nil },
		DialContext:           o.dialer().DialContext,
		TLSHandshakeTimeout:   o.Connect,
		IdleConnTimeout:       idle,
		ResponseHeaderTimeout: o.Stall,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, InsecureSkipVerify: o.Insecure}, // #nosec G402 -- the operator's explicit choice, webserver_verify_ca = false
		DisableCompression:    true,                                                                                      // the digest is of the bytes as stored
		ReadBufferSize:        64 << 10,
	}
	return &http.Client{Transport: t, CheckRedirect: o.checkRedirect}, nil
}

// parse accepts absolute http and https URLs.
func parse(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fault.New(fault.Invalid, "An image URL cannot be parsed.") // err would quote it, secrets and all
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fault.New(fault.Invalid, "%q is not an http or https URL.", Safe(raw))
	}
	return u, nil
}

// Safe gives a URL without user, query and fragment, for messages. What does not parse becomes
// "(unreadable URL)".
func Safe(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(unreadable URL)"
	}
	u.User, u.RawQuery, u.Fragment, u.RawFragment, u.ForceQuery = nil, "", "", "", false
	return strings.TrimSuffix(u.String(), "?")
}
