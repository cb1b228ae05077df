package neutron

import (
	"fmt"
	"strings"
	"time"

	"github.com/gophercloud/gophercloud/v2"

	"ingot/internal/metal"
	"ingot/internal/secret"
)

// Config is the section [neutron].
type Config struct {
	// CleaningNetwork is the network that machines are cleaned on, by UUID or name. A node's driver_info may have its own,
	// as for those of the other roles.
	CleaningNetwork string `key:"cleaning_network"`
	// ProvisioningNetwork is the network that machines are deployed on.
	ProvisioningNetwork string `key:"provisioning_network"`
	// RescuingNetwork is the network that machines are rescued on.
	RescuingNetwork string `key:"rescuing_network"`
	// InspectionNetwork is the network that machines are inspected on.
	InspectionNetwork string `key:"inspection_network"`
	// ServicingNetwork is the network that machines are serviced on.
	ServicingNetwork string `key:"servicing_network"`
	// CleaningNetworkSecurityGroups are UUIDs of the security groups of ports on the cleaning network. The network interface
	// flat has none.
	CleaningNetworkSecurityGroups []string `key:"cleaning_network_security_groups"`
	// ProvisioningNetworkSecurityGroups are those on the provisioning network.
	ProvisioningNetworkSecurityGroups []string `key:"provisioning_network_security_groups"`
	// RescuingNetworkSecurityGroups are those on the rescuing network.
	RescuingNetworkSecurityGroups []string `key:"rescuing_network_security_groups"`
	// InspectionNetworkSecurityGroups are those on the inspection network.
	InspectionNetworkSecurityGroups []string `key:"inspection_network_security_groups"`
	// ServicingNetworkSecurityGroups are those on the servicing network.
	ServicingNetworkSecurityGroups []string `key:"servicing_network_security_groups"`
	// PortSetupDelay is how long Neutron's agents and switches get after ports were made or bound, before the machine uses
	// them.
	PortSetupDelay time.Duration `key:"port_setup_delay" min:"0"`
	// RequestTimeout is how long one request may take.
	RequestTimeout time.Duration `key:"request_timeout" min:"1"`
	// Retries is how often a request is sent again that got no answer.
	Retries int `key:"retries" min:"0" max:"10"`
	// FailOnPortBindingFailure waits until ports are ACTIVE, and fails where none becomes it. Of the network interface neutron.
	FailOnPortBindingFailure bool `key:"fail_on_port_binding_failure"`
	// AddAllPorts makes ports for NICs that do not boot from the network, too. They get no address.
	AddAllPorts bool `key:"add_all_ports"`
	// DHCPv6StatefulAddressCount is how many addresses a port gets on a subnet with stateful DHCPv6: firmware, loader and
	// ramdisk ask with names of their own.
	DHCPv6StatefulAddressCount int `key:"dhcpv6_stateful_address_count" min:"1" max:"32"`
	// AllowDisablingPowerOff allows the network interface neutron for nodes that are never switched off. Their systems see
	// the networks of several phases.
	AllowDisablingPowerOff bool `key:"allow_disabling_power_off"`

	// AuthType is what this server logs in with. None needs endpoint_override.
	AuthType string `key:"auth_type" oneof:"password,v3password,v3applicationcredential,none"`
	// AuthURL is Keystone's URL, with or without /v3. The network interfaces flat and neutron work once it is set.
	AuthURL string `key:"auth_url" is:"url"`
	// Username is this server's user. It needs what Neutron allows to its service users: ports with any MAC address and
	// binding, on networks of any project.
	Username string `key:"username"`
	// Password is that user's password.
	Password secret.Secret `key:"password"`
	// UserDomainName is the domain of that user.
	UserDomainName string `key:"user_domain_name"`
	// UserDomainID is the domain of that user by id. Empty means by name.
	UserDomainID string `key:"user_domain_id"`
	// ProjectName is the project this server logs in to. Its ports belong to it.
	ProjectName string `key:"project_name"`
	// ProjectDomainName is the domain of that project.
	ProjectDomainName string `key:"project_domain_name"`
	// ProjectDomainID is the domain of that project by id. Empty means by name.
	ProjectDomainID string `key:"project_domain_id"`
	// ApplicationCredentialID is the application credential of auth_type v3applicationcredential.
	ApplicationCredentialID string `key:"application_credential_id"`
	// ApplicationCredentialSecret is that credential's secret.
	ApplicationCredentialSecret secret.Secret `key:"application_credential_secret"`
	// RegionName is the region whose Neutron is used. Empty means the only one.
	RegionName string `key:"region_name"`
	// ValidInterfaces are the kinds of endpoint that are looked for in Keystone's catalogue, the best first.
	ValidInterfaces []string `key:"valid_interfaces"`
	// EndpointOverride is Neutron's URL, in place of the catalogue's.
	EndpointOverride string `key:"endpoint_override" is:"url"`
	// CAFile has the certificates that those of Keystone and Neutron are checked with. Empty means this host's.
	CAFile string `key:"cafile" is:"path"`
	// Insecure does not check certificates. For trials only: whoever is between can be anybody.
	Insecure bool `key:"insecure"`
}

// Defaults is the only place with default values. They are upstream's, except that domains and project have a name.
func Defaults() Config {
	return Config{RequestTimeout: 45 * time.Second, Retries: 3, FailOnPortBindingFailure: true, DHCPv6StatefulAddressCount: 4,
		AuthType: "password", UserDomainName: "Default", ProjectName: "service", ProjectDomainName: "Default",
		ValidInterfaces: []string{"internal", "public"}}
}

// Configured tells whether there is a Neutron to speak to.
func (c Config) Configured() bool {
	return c.AuthURL != "" || c.AuthType == "none" && c.EndpointOverride != ""
}

// Check says what is missing to log in.
func (c Config) Check() error {
	var missing []string
	need := func(name string, empty bool) {
		if empty {
			missing = append(missing, name)
		}
	}
	switch c.AuthType {
	case "none":
		need("endpoint_override", c.EndpointOverride == "")
	case "v3applicationcredential":
		need("application_credential_id", c.ApplicationCredentialID == "")
		need("application_credential_secret", c.ApplicationCredentialSecret.Empty())
	default:
		need("username", c.Username == "")
		need("password", c.Password.Empty())
	}
	for _, kind := range c.ValidInterfaces {
		if _, known := kinds[kind]; !known {
			return fmt.Errorf("[neutron] valid_interfaces: %q is not one of internal, public, admin", kind)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("[neutron] %s: not set, and auth_type = %s needs it", strings.Join(missing, ", "), c.AuthType)
	}
	return nil
}

// kinds are the kinds of endpoint as the library calls them.
var kinds = map[string]gophercloud.Availability{"internal": gophercloud.AvailabilityInternal, "internalURL": gophercloud.AvailabilityInternal,
	"public": gophercloud.AvailabilityPublic, "publicURL": gophercloud.AvailabilityPublic,
	"admin": gophercloud.AvailabilityAdmin, "adminURL": gophercloud.AvailabilityAdmin}

// Names are the operator's networks.
func (c Config) Names() metal.NetworkNames {
	return metal.NetworkNames{metal.CleaningNetwork: c.CleaningNetwork, metal.ProvisioningNetwork: c.ProvisioningNetwork,
		metal.RescuingNetwork: c.RescuingNetwork, metal.InspectionNetwork: c.InspectionNetwork, metal.ServicingNetwork: c.ServicingNetwork}
}

func (c Config) securityGroups(role metal.NetworkRole) []string {
	switch role {
	case metal.CleaningNetwork:
		return c.CleaningNetworkSecurityGroups
	case metal.ProvisioningNetwork:
		return c.ProvisioningNetworkSecurityGroups
	case metal.RescuingNetwork:
		return c.RescuingNetworkSecurityGroups
	case metal.InspectionNetwork:
		return c.InspectionNetworkSecurityGroups
	case metal.ServicingNetwork:
		return c.ServicingNetworkSecurityGroups
	}
	return nil
}

// login is how this server logs in.
func (c Config) login() gophercloud.AuthOptions {
	o := gophercloud.AuthOptions{IdentityEndpoint: c.keystone(), AllowReauth: true}
	if c.AuthType == "v3applicationcredential" {
		o.ApplicationCredentialID, o.ApplicationCredentialSecret = c.ApplicationCredentialID, c.ApplicationCredentialSecret.Expose()
		return o
	}
	o.Username, o.Password = c.Username, c.Password.Expose()
	if o.DomainID = c.UserDomainID; o.DomainID == "" {
		o.DomainName = c.UserDomainName
	}
	o.Scope = &gophercloud.AuthScope{ProjectName: c.ProjectName, DomainID: c.ProjectDomainID}
	if c.ProjectDomainID == "" {
		o.Scope.DomainName = c.ProjectDomainName
	}
	return o
}

// keystone is auth_url with /v3/ at its end.
func (c Config) keystone() string {
	return strings.TrimSuffix(strings.TrimRight(c.AuthURL, "/"), "/v3") + "/v3/"
}

// Fields are what driver_info may say for the network interfaces flat and neutron.
func Fields() []metal.Field {
	var out []metal.Field
	for _, role := range operators {
		out = append(out, metal.Field{Name: role.Option(), Description: "Network of this machine while it is in " + string(role) + ", instead of the server's."})
	}
	return append(out, metal.Field{Name: "rescue_network", Description: "Another name of rescuing_network, which goes before it."})
}
