package conductor

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ingot/internal/metal"
)

// Leases are those of the boot services' own DHCP servers.
type Leases interface {
	// Addresses are those that a MAC has leased, the newest first; none is no error.
	Addresses(ctx context.Context, mac string) ([]netip.Addr, error)
}

// AskLeases tells where leases are looked up. It is called before Run.
func (c *Conductor) AskLeases(l Leases) { c.leases = l }

// whereabout is where a machine may be reached, and who says so.
type whereabout struct {
	netip.Addr
	by string
}

// addresses are where the machine may be reached while it is on the network of a role, the likeliest first: what the
// operator says, what its ramdisk was told to take, what the network service gave its NICs, and what they have leased. A
// source that does not answer is left out: the others may know.
func (r *runner) addresses(ctx context.Context, op *Op, role metal.NetworkRole) []whereabout {
	return uniquely(fixedAddresses(op.Node), r.c.askedAddresses(ctx, r.hw.Part, op.Node, op.Ports, role, r.unheard))
}

// fixedAddresses are those that the node itself says.
func fixedAddresses(n *metal.Node) []whereabout {
	var out []whereabout
	if a, err := netip.ParseAddr(n.DriverInfo.Public(metal.AgentAddress)); err == nil {
		out = append(out, whereabout{a, "driver_info " + metal.AgentAddress})
	}
	for _, a := range metal.StaticAddresses(n.NetworkData) {
		out = append(out, whereabout{a, "network_data"})
	}
	return out
}

// askedAddresses are those that others know: the network service and the DHCP servers, each of which may be slow. unheard is
// told of one that does not answer.
func (c *Conductor) askedAddresses(ctx context.Context, hw Part, n *metal.Node, ports []*metal.Port, role metal.NetworkRole, unheard func(error)) []whereabout {
	var out []whereabout
	for _, p := range ports {
		if hw.Network != nil {
			found, err := hw.Network.Addresses(ctx, n, p.Address, role)
			if err != nil {
				unheard(err)
			}
			for _, a := range found {
				out = append(out, whereabout{a, "network service"})
			}
		}
		if c.leases != nil {
			found, err := c.leases.Addresses(ctx, strings.ToLower(p.Address))
			if err != nil {
				unheard(err)
			}
			for _, a := range found {
				out = append(out, whereabout{a, "DHCP lease"})
			}
		}
	}
	return out
}

// possible tells whether a machine can be reached at an address. Whoever says where one is may not have the conductor knock at
// services of its own link, or at many at once. Loopback stays: simulated machines are there.
func possible(a netip.Addr) bool {
	return a.Zone() == "" && (a.Unmap().IsGlobalUnicast() || a.Unmap().IsLoopback())
}

// uniquely puts lists together: each address that is possible once, where it comes first.
func uniquely(lists ...[]whereabout) []whereabout {
	var out []whereabout
	for _, w := range slices.Concat(lists...) {
		if w.Addr = w.Unmap(); possible(w.Addr) && !slices.ContainsFunc(out, func(o whereabout) bool { return o.Addr == w.Addr }) {
			out = append(out, w)
		}
	}
	return out
}

func (r *runner) unheard(err error) {
	r.log.Warn("a source of the machine's addresses does not answer", "error", err)
}

// whereabouts is addresses as words for people, after another sentence; "" for none.
func (r *runner) whereabouts(ctx context.Context, op *Op) string {
	var words []string
	for _, a := range r.addresses(ctx, op, roleOf(op)) {
		words = append(words, fmt.Sprintf("%s (%s)", a.Addr, a.by))
	}
	if len(words) == 0 {
		return ""
	}
	return ". It should be at " + strings.Join(words, ", ")
}

// roleOf is the network that the plan's ramdisk is on.
func roleOf(op *Op) metal.NetworkRole { return networkRole(metal.Plan(op.row.Plan)) }

func networkRole(p metal.Plan) metal.NetworkRole {
	switch p {
	case metal.PlanClean, metal.PlanManual:
		return metal.CleaningNetwork
	case metal.PlanInspect:
		return metal.InspectionNetwork
	case metal.PlanService:
		return metal.ServicingNetwork
	case metal.PlanRescue:
		return metal.RescuingNetwork
	}
	return metal.ProvisioningNetwork
}
