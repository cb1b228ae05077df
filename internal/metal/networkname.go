package metal

import "ingot/internal/fault"

// NetworkNames has per role the operator's network, as the configuration names it.
type NetworkNames map[NetworkRole]string

// Of is the operator's network of a role for one node: what its driver_info says, else what the configuration says, "" for
// neither. Source of the alias rescue_network: seed 000.
func (names NetworkNames) Of(n *Node, role NetworkRole) string {
	if option := role.Option(); option != "" {
		info := n.DriverInfo.Expose()
		if s, _ := info[option].(string); s != "" {
			return s
		}
		if s, _ := info["rescue_network"].(string); s != "" && role == RescuingNetwork {
			return s
		}
	}
	return names[role]
}

// Need is Of; without a network it says where to name one. Section is that of the configuration.
func (names NetworkNames) Need(n *Node, role NetworkRole, section string) (string, error) {
	name := names.Of(n, role)
	if name == "" {
		return "", fault.New(fault.Invalid, "No %s network is known for node %s: set driver_info %s, or [%s] %s.", role, n.UUID, role.Option(), section, role.Option())
	}
	return name, nil
}

// RescueWarning says what is unwise about a rescuing network that is another role's, too; "" for nothing.
func (names NetworkNames) RescueWarning(n *Node) string {
	shares := names.RescueShares(n)
	if shares == "" {
		return ""
	}
	return "The rescuing network " + names.Of(n, RescuingNetwork) + " is the " + string(shares) +
		" network, too: the user of a rescued machine sees machines that are being worked on. Give rescuing a network of its own."
}

// RescueShares is the role whose network is that of rescuing, too: what a rescued machine's user does there is seen by
// machines of that role. "" for none.
func (names NetworkNames) RescueShares(n *Node) NetworkRole {
	rescuing := names.Of(n, RescuingNetwork)
	for _, role := range []NetworkRole{ProvisioningNetwork, CleaningNetwork} {
		if rescuing != "" && names.Of(n, role) == rescuing {
			return role
		}
	}
	return ""
}
