package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"ingot/internal/secret"
)

// KeystoneConfig is the section [keystone_authtoken]: where Keystone is, and who this server is there.
type KeystoneConfig struct {
	// AuthURL is the URL at which this server asks Keystone, with or without /v3.
	AuthURL string `key:"auth_url" is:"url"`
	// WWWAuthenticateURI is Keystone's URL as clients without a good token are told it. Empty means auth_url.
	WWWAuthenticateURI string `key:"www_authenticate_uri" is:"url"`
	// AuthType is what this server logs in with.
	AuthType string `key:"auth_type" oneof:"password,v3password,v3applicationcredential"`
	// Username is this server's user at Keystone. It needs the right to validate tokens, which the role service or admin gives.
	Username string `key:"username"`
	// Password is that user's password.
	Password secret.Secret `key:"password"`
	// UserDomainName is the domain of that user.
	UserDomainName string `key:"user_domain_name"`
	// UserDomainID is the domain of that user by id. Empty means by name.
	UserDomainID string `key:"user_domain_id"`
	// ProjectName is the project this server logs in to.
	ProjectName string `key:"project_name"`
	// ProjectDomainName is the domain of that project.
	ProjectDomainName string `key:"project_domain_name"`
	// ProjectDomainID is the domain of that project by id. Empty means by name.
	ProjectDomainID string `key:"project_domain_id"`
	// SystemScope logs in to the system in place of a project.
	SystemScope string `key:"system_scope" oneof:",all"`
	// ApplicationCredentialID is the application credential of auth_type v3applicationcredential.
	ApplicationCredentialID string `key:"application_credential_id"`
	// ApplicationCredentialSecret is that credential's secret.
	ApplicationCredentialSecret secret.Secret `key:"application_credential_secret"`
	// CAFile has the certificates that Keystone's is checked with. Empty means this host's.
	CAFile string `key:"cafile" is:"path"`
	// Insecure does not check Keystone's certificate. For trials only: whoever is between can be anybody.
	Insecure bool `key:"insecure"`
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
	return KeystoneConfig{AuthType: "password", UserDomainName: "Default", ProjectName: "service", ProjectDomainName: "Default", HTTPConnectTimeout: 10 * time.Second,
		HTTPRequestMaxRetries: 2, TokenCacheTime: 5 * time.Minute, ServiceTokenRoles: []string{"service"}, ServiceTokenRolesRequired: true}
}

// check says what is missing.
func (c KeystoneConfig) check() error {
	var missing []string
	need := func(name string, empty bool) {
		if empty {
			missing = append(missing, name)
		}
	}
	need("auth_url", c.AuthURL == "")
	if c.AuthType == "v3applicationcredential" {
		need("application_credential_id", c.ApplicationCredentialID == "")
		need("application_credential_secret", c.ApplicationCredentialSecret.Empty())
	} else {
		need("username", c.Username == "")
		need("password", c.Password.Empty())
	}
	if len(missing) > 0 {
		return fmt.Errorf("[keystone_authtoken] %s: not set, and auth_strategy = keystone needs it", strings.Join(missing, ", "))
	}
	return nil
}

// endpoint is auth_url with /v3/ at its end.
func (c KeystoneConfig) endpoint() string {
	return strings.TrimSuffix(strings.TrimRight(c.AuthURL, "/"), "/v3") + "/v3/"
}

// login is how this server logs in.
func (c KeystoneConfig) login() *gophercloud.AuthOptions {
	o := &gophercloud.AuthOptions{IdentityEndpoint: c.endpoint(), AllowReauth: true}
	if c.AuthType == "v3applicationcredential" {
		o.ApplicationCredentialID, o.ApplicationCredentialSecret = c.ApplicationCredentialID, c.ApplicationCredentialSecret.Expose()
		return o
	}
	o.Username, o.Password = c.Username, c.Password.Expose()
	if o.DomainID = c.UserDomainID; o.DomainID == "" {
		o.DomainName = c.UserDomainName
	}
	if c.SystemScope != "" {
		o.Scope = &gophercloud.AuthScope{System: true}
		return o
	}
	o.Scope = &gophercloud.AuthScope{ProjectName: c.ProjectName, DomainID: c.ProjectDomainID}
	if c.ProjectDomainID == "" {
		o.Scope.DomainName = c.ProjectDomainName
	}
	return o
}

// client is the HTTP client for Keystone: bounded in time and in what it reads.
func (c KeystoneConfig) client() (*http.Client, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("[keystone_authtoken] cafile: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("[keystone_authtoken] cafile: there is no certificate in %s", c.CAFile)
		}
	}
	r := http.DefaultTransport.(*http.Transport).Clone()
	r.TLSClientConfig, r.MaxIdleConnsPerHost, r.MaxConnsPerHost, r.Proxy = t, atOnce, atOnce, nil
	return &http.Client{Transport: short{r}, Timeout: c.HTTPConnectTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { // tokens go nowhere else
			return errors.New("keystone answered with a redirect: give its final URL as auth_url")
		}}, nil
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
