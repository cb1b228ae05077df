package keystone

import (
	"fmt"
	"strings"

	"github.com/gophercloud/gophercloud/v2"

	"ingot/internal/secret"
)

// Login is the part of a section about this server's own user. Sections embed it; what is special about an option there is said in
// the tags of the embedded field.
type Login struct {
	// AuthType is what this server logs in with. With none it does not log in.
	AuthType string `key:"auth_type" oneof:"password,v3password,v3applicationcredential,none"`
	// AuthURL is Keystone's URL, with or without /v3.
	AuthURL string `key:"auth_url" is:"url"`
	// Username is this server's user.
	Username string `key:"username"`
	// Password is that user's password.
	Password secret.Secret `key:"password"`
	// UserDomainName is the domain of that user.
	UserDomainName string `key:"user_domain_name"`
	// UserDomainID is the domain of that user by id. Empty means by name.
	UserDomainID string `key:"user_domain_id"`
	// ProjectName is the project this server logs in to.
	ProjectName string `key:"project_name"`
	// ProjectID is that project by id. Empty means by name.
	ProjectID string `key:"project_id"`
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
	// CAFile has the certificates that servers' are checked with. Empty means this host's.
	CAFile string `key:"cafile" is:"path"`
	// CertFile has a certificate that this server shows of itself, where it is asked for one. It is read again when it changes.
	CertFile string `key:"certfile" is:"path"`
	// KeyFile has that certificate's key.
	KeyFile string `key:"keyfile" is:"path"`
	// Insecure does not check certificates. For trials only: whoever is between can be anybody.
	Insecure bool `key:"insecure"`
}

// Endpoint is the part of a section about where its service is.
type Endpoint struct {
	// RegionName is the region whose service is used. Empty means the only one.
	RegionName string `key:"region_name"`
	// ValidInterfaces are the kinds of endpoint that are looked for in Keystone's catalogue, the best first.
	ValidInterfaces []string `key:"valid_interfaces"`
	// EndpointOverride is the service's URL, in place of the catalogue's. An auth_type of none needs it.
	EndpointOverride string `key:"endpoint_override" is:"url"`
}

// Defaults is the only place with default values. Upstream has none for domains and project.
func Defaults() Login {
	return Login{AuthType: "password", UserDomainName: "Default", ProjectName: "service", ProjectDomainName: "Default"}
}

// EndpointDefaults is that place for Endpoint.
func EndpointDefaults() Endpoint { return Endpoint{ValidInterfaces: []string{"internal", "public"}} }

// None tells whether this server does not log in.
func (l Login) None() bool { return l.AuthType == "none" }

// Configured tells whether there is a service to speak to.
func (e Endpoint) Configured(l Login) bool {
	return l.AuthURL != "" || l.None() && e.EndpointOverride != ""
}

// Check says what is missing in a section to log in.
func (l Login) Check(section string) error {
	var missing []string
	need := func(name string, empty bool) {
		if empty {
			missing = append(missing, name)
		}
	}
	need("auth_url", l.AuthURL == "" && !l.None())
	switch l.AuthType {
	case "none":
	case "v3applicationcredential":
		need("application_credential_id", l.ApplicationCredentialID == "")
		need("application_credential_secret", l.ApplicationCredentialSecret.Empty())
	default:
		need("username", l.Username == "")
		need("password", l.Password.Empty())
	}
	if len(missing) > 0 {
		return fmt.Errorf("[%s] %s: not set, and auth_type = %s needs it", section, strings.Join(missing, ", "), l.AuthType)
	}
	if (l.CertFile == "") != (l.KeyFile == "") {
		return fmt.Errorf("[%s] certfile and keyfile go together: set both or none", section)
	}
	return nil
}

// Check says what is wrong with where a section's service is.
func (e Endpoint) Check(section string, l Login) error {
	if l.None() && e.EndpointOverride == "" {
		return fmt.Errorf("[%s] endpoint_override: not set, and auth_type = none needs it", section)
	}
	for _, kind := range e.ValidInterfaces {
		if _, known := interfaces[kind]; !known {
			return fmt.Errorf("[%s] valid_interfaces: %.40q is none of internal, public, admin", section, kind)
		}
	}
	return nil
}

// interfaces are the kinds of endpoint as the library calls them.
var interfaces = map[string]gophercloud.Availability{"internal": gophercloud.AvailabilityInternal, "internalURL": gophercloud.AvailabilityInternal,
	"public": gophercloud.AvailabilityPublic, "publicURL": gophercloud.AvailabilityPublic,
	"admin": gophercloud.AvailabilityAdmin, "adminURL": gophercloud.AvailabilityAdmin}

// V3 is auth_url with /v3/ at its end.
func (l Login) V3() string {
	return strings.TrimSuffix(strings.TrimRight(l.AuthURL, "/"), "/v3") + "/v3/"
}

// options is how the library is told to log in.
func (l Login) options() *gophercloud.AuthOptions {
	o := &gophercloud.AuthOptions{IdentityEndpoint: l.V3(), AllowReauth: true}
	if l.AuthType == "v3applicationcredential" {
		o.ApplicationCredentialID, o.ApplicationCredentialSecret = l.ApplicationCredentialID, l.ApplicationCredentialSecret.Expose()
		return o
	}
	o.Username, o.Password = l.Username, l.Password.Expose()
	if o.DomainID = l.UserDomainID; o.DomainID == "" {
		o.DomainName = l.UserDomainName
	}
	switch {
	case l.SystemScope != "":
		o.Scope = &gophercloud.AuthScope{System: true}
	case l.ProjectID != "":
		o.Scope = &gophercloud.AuthScope{ProjectID: l.ProjectID}
	default:
		o.Scope = &gophercloud.AuthScope{ProjectName: l.ProjectName, DomainID: l.ProjectDomainID}
		if l.ProjectDomainID == "" {
			o.Scope.DomainName = l.ProjectDomainName
		}
	}
	return o
}
