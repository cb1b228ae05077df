package vendordata

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"ingot/internal/fault"
	"ingot/internal/keystone"
	"ingot/internal/watched"
)

// AuthConfig is the section [vendordata_dynamic_auth]: this server's user at Keystone, whose token targets are shown.
type AuthConfig struct {
	keystone.Login `auth_url:"Targets get a token in the header X-Auth-Token once it is set." username:"It needs no rights: targets see who it is."`
	// Timeout is how long one question to Keystone may take.
	Timeout time.Duration `key:"timeout" min:"1"`
}

// ProofConfig is the part of the section [api] about how targets know this server without Keystone.
type ProofConfig struct {
	// VendordataDynamicSigningKeyfile has keys that requests to targets are signed with (header X-Ingot-Signature), as lines of
	// NAME:BASE64 with 32 bytes or more each. The first signs; the file is read again when it changes.
	VendordataDynamicSigningKeyfile string `key:"vendordata_dynamic_signing_keyfile" is:"path"`
	// VendordataDynamicClientCertfile has a certificate that this server shows to https targets. It is read again when it changes.
	VendordataDynamicClientCertfile string `key:"vendordata_dynamic_client_certfile" is:"path"`
	// VendordataDynamicClientKeyfile has that certificate's key.
	VendordataDynamicClientKeyfile string `key:"vendordata_dynamic_client_keyfile" is:"path"`
}

// AuthDefaults is the only place with default values of that section.
func AuthDefaults() AuthConfig {
	return AuthConfig{Login: keystone.Defaults(), Timeout: 10 * time.Second}
}

// configured tells whether this server has a user for targets. A user without auth_url is a mistake that is told.
func (a AuthConfig) configured() bool {
	return !a.None() && (a.AuthURL != "" || a.Username != "" || a.ApplicationCredentialID != "")
}

// tokenHeader is where a service's own token is, as upstream's targets expect it. Source: nova's vendordata, which sends no X-Service-Token.
const tokenHeader = "X-Auth-Token" // #nosec G101 -- the name of a header

// keystoneAnswer is bytes of one answer of Keystone's: a token's with a large catalogue is far smaller.
const keystoneAnswer = 1 << 20

// identity shows targets who asks: by a token of this server's own user, by a signature, or by both. It never has a token of
// whoever deploys.
type identity struct {
	login *keystone.Client             // nil: no token
	keys  *watched.Files[[]signingKey] // nil: no signature
	clock func() time.Time
	log   *slog.Logger
	away  atomic.Bool // there was no token the last time, and that was logged
}

// Prove gives what shows targets who this server is, for New: a Signer and a certificate, each if it is configured. Files are read
// now; Keystone is asked with the first request. An error names the option.
func Prove(a AuthConfig, p ProofConfig, log *slog.Logger) (Options, error) {
	var o Options
	i := &identity{clock: time.Now, log: log}
	var err error
	if a.configured() {
		i.login, err = keystone.New(a.Login, keystone.Options{Section: "vendordata_dynamic_auth", Timeout: a.Timeout, Answer: keystoneAnswer, Retries: 1, Log: log})
		if err != nil {
			return o, err
		}
	}
	if file := p.VendordataDynamicSigningKeyfile; file != "" {
		if i.keys, err = watched.Open(file, keyfileSize, log, parseKeys); err != nil {
			return o, fmt.Errorf("[api] vendordata_dynamic_signing_keyfile: %w", err)
		}
	}
	if i.login != nil || i.keys != nil {
		o.Signer = i
	}
	cert, key := p.VendordataDynamicClientCertfile, p.VendordataDynamicClientKeyfile
	switch {
	case (cert == "") != (key == ""):
		return o, errors.New("[api] vendordata_dynamic_client_certfile and vendordata_dynamic_client_keyfile go together: set both or none")
	case cert != "":
		var show func(*tls.CertificateRequestInfo) (*tls.Certificate, error)
		if show, err = watched.Certificate(cert, key, log); err != nil {
			return o, fmt.Errorf("[api] vendordata_dynamic_client_certfile: %w", err)
		}
		o.ClientCertificate = show
	}
	return o, nil
}

// Sign adds a token, a signature, or both. Without a token nothing is sent: a target that takes everybody must not be asked by
// nobody where the configuration says who asks.
func (i *identity) Sign(ctx context.Context, r *http.Request, body []byte) error {
	if i.login != nil {
		token, err := i.login.Token(ctx)
		if err != nil {
			return i.without(ctx, err)
		}
		i.away.Store(false)
		r.Header.Set(tokenHeader, token)
	}
	if i.keys != nil {
		i.keys.Get()[0].sign(r, body, i.clock())
	}
	return nil
}

// without tells that there is no token: the log once, with the reason.
func (i *identity) without(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fault.Wrap(fault.Unavailable, context.Cause(ctx), "Keystone gave no token in time.")
	}
	if !i.away.Swap(true) {
		i.log.Warn("there is no token for vendordata targets", "error", err)
	}
	return err
}

// Renew replaces a token that a target refused. What is signed is signed anew for each request: a target that refuses it refuses the next.
func (i *identity) Renew(ctx context.Context, refused *http.Request) bool {
	if i.login == nil || refused == nil {
		return false
	}
	if err := i.login.Renew(ctx, refused.Header.Get(tokenHeader)); err != nil {
		i.log.Warn("a vendordata target refused this server's token, and there is no other", "target", refused.URL.Host, "error", err)
		return false
	}
	return true
}
