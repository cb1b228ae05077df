package identity

import (
	"errors"
	"log/slog"
	"net/url"
	"time"

	"ingot/internal/keystone"
)

// KeystoneConfig is the section [keystone_authtoken]: where Keystone is, and who this server is there.
type KeystoneConfig struct {
	// WWWAuthenticateURI is Keystone's URL as clients without a good token are told it. Empty means auth_url.
	WWWAuthenticateURI string `key:"www_authenticate_uri" is:"url"`
	keystone.Login     `auth_type:"None is refused: nobody would say whose a token is." username:"It needs the right to validate tokens, which the role service or admin gives."`
	// HTTPConnectTimeout is how long one question to Keystone may take.
	HTTPConnectTimeout time.Duration `key:"http_connect_timeout" min:"1"`
	// HTTPRequestMaxRetries is how often a question is asked again that got no answer or a failure of Keystone's.
	HTTPRequestMaxRetries int `key:"http_request_max_retries" min:"0" max:"10"`
	// TokenCacheTime is how long a token that was good is not asked about again, within its own life. A token that is
	// revoked works for so long. 0 asks every time.
	TokenCacheTime time.Duration `key:"token_cache_time" min:"-1"`
	// ServiceTokenRoles are roles one of which the user of a service token must have.
	ServiceTokenRoles []string `key:"service_token_roles"`
	// ServiceTokenRolesRequired refuses service tokens without one of these roles.
	ServiceTokenRolesRequired bool `key:"service_token_roles_required"`
}

// DefaultKeystone is the only place with default values. They are upstream's, except that service tokens need their role, that
// a question to Keystone ends, and that domains are called Default.
func DefaultKeystone() KeystoneConfig {
	return KeystoneConfig{Login: keystone.Defaults(), HTTPConnectTimeout: 10 * time.Second,
		HTTPRequestMaxRetries: 2, TokenCacheTime: 5 * time.Minute, ServiceTokenRoles: []string{"service"}, ServiceTokenRolesRequired: true}
}

// client is this server as a user of Keystone's.
func (c KeystoneConfig) client(log *slog.Logger) (*keystone.Client, error) {
	if c.None() {
		return nil, errors.New("[keystone_authtoken] auth_type: auth_strategy = keystone needs a user of this server's own; none is none")
	}
	return keystone.New(c.Login, keystone.Options{Section: "keystone_authtoken", Timeout: c.HTTPConnectTimeout, Answer: answerSize, AtOnce: atOnce, Log: log})
}

// told is the URL for clients.
func (c KeystoneConfig) told() string {
	at := c.WWWAuthenticateURI
	if at == "" {
		at = c.AuthURL
	}
	if u, err := url.Parse(at); err == nil {
		at = u.String() // no quotes and no control characters
	}
	return `Keystone uri="` + at + `"`
}
