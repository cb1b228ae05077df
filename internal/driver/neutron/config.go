package neutron

import (
	"time"

	"ingot/internal/keystone"
	"ingot/internal/metal"
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

	keystone.Login `auth_url:"The network interfaces flat and neutron work once it is set." username:"It needs what Neutron allows to its service users: ports with any MAC address and binding, on networks of any project." project_name:"Its ports belong to it."`
	keystone.Endpoint
}

// Defaults is the only place with default values. They are upstream's, except that domains and project have a name.
func Defaults() Config {
	return Config{RequestTimeout: 45 * time.Second, Retries: 3, FailOnPortBindingFailure: true, DHCPv6StatefulAddressCount: 4,
		Login: keystone.Defaults(), Endpoint: keystone.EndpointDefaults()}
}

// Configured tells whether there is a Neutron to speak to.
func (c Config) Configured() bool { return c.Endpoint.Configured(c.Login) }

// Check says what is missing to log in.
func (c Config) Check() error {
	if err := c.Login.Check("neutron"); err != nil {
		return err
	}
	return c.Endpoint.Check("neutron", c.Login)
}

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

// Fields are what driver_info may say for the network interfaces flat and neutron.
func Fields() []metal.Field {
	var out []metal.Field
	for _, role := range operators {
		out = append(out, metal.Field{Name: role.Option(), Description: "Network of this machine while it is in " + string(role) + ", instead of the server's."})
	}
	return append(out, metal.Field{Name: "rescue_network", Description: "Another name of rescuing_network, which goes before it."})
}
