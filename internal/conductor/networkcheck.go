package conductor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"ingot/internal/metal"
)

// checkNetworks says what is wrong with the networks that a node uses, and in sentences what may be unwise. What nothing can
// do without is an error: the networks of deploying and cleaning, as upstream; of other roles it is a warning, for not
// everybody inspects, services or rescues.
func (r *runner) checkNetworks(ctx context.Context, op *Op) (warnings []string, err error) {
	if w := unisolated(op.Node); w != "" {
		warnings = append(warnings, w)
	}
	if text := op.Node.DriverInfo.Public(metal.AgentAddress); text != "" {
		if a, err := netip.ParseAddr(text); err != nil {
			warnings = append(warnings, fmt.Sprintf("driver_info %s is no IP address: it is not used.", metal.AgentAddress))
		} else if !possible(a) {
			warnings = append(warnings, fmt.Sprintf("driver_info %s %s is not the address of a machine: it is not used.", metal.AgentAddress, a))
		}
	}
	if r.hw.Network == nil {
		return warnings, nil
	}
	w, err := r.wiring(ctx, op)
	if err != nil {
		return nil, err
	}
	for _, role := range r.roles(op) {
		found, err := r.hw.Network.CheckNetwork(ctx, op.Node, w, role)
		switch {
		case err == nil && role == metal.RescuingNetwork && r.c.config.RefuseSharedRescue && len(found) > 0:
			return nil, sharedRescue(found)
		case err != nil && needed(role):
			return nil, err
		case err != nil:
			found = append(found, fmt.Sprintf("%s will not work: %s", capital(string(role)), sentence(err)))
		}
		for _, sentence := range found {
			if !slices.Contains(warnings, sentence) {
				warnings = append(warnings, sentence)
			}
		}
	}
	return warnings, nil
}

// roles are those whose networks the node uses, as its other interfaces say.
func (r *runner) roles(op *Op) []metal.NetworkRole {
	return slices.DeleteFunc(slices.Clone(metal.NetworkRoles), func(role metal.NetworkRole) bool {
		switch role {
		case metal.InspectionNetwork:
			return op.Node.Interface("inspect") != "agent"
		case metal.RescuingNetwork:
			return metal.Lacks(op.Node.Interface("rescue"))
		case metal.TenantNetwork:
			return false
		}
		return r.hw.Deploys != ByAgent
	})
}

func needed(role metal.NetworkRole) bool {
	return role == metal.ProvisioningNetwork || role == metal.CleaningNetwork || role == metal.TenantNetwork
}

// unisolated warns of a machine that is somebody's and stays on a network with others.
func unisolated(n *metal.Node) string {
	whose := "owned by " + n.Owner
	switch {
	case n.Lessee != "":
		whose = "leased to " + n.Lessee
	case n.Owner == "":
		return ""
	}
	name := n.Interface("network")
	if metal.Separates(name) {
		return ""
	}
	return fmt.Sprintf("The network interface %s does not separate tenants, and this machine is %s: it shares its network with the machines of others.", name, whose)
}
