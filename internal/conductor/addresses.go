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
	var out []whereabout
	add := func(by string, found ...netip.Addr) {
		for _, a := range found {
			if a = a.Unmap(); !slices.ContainsFunc(out, func(o whereabout) bool { return o.Addr == a }) {
				out = append(out, whereabout{a, by})
			}
		}
	}
	if a, err := netip.ParseAddr(op.Node.DriverInfo.Public(metal.AgentAddress)); err == nil {
		add("driver_info "+metal.AgentAddress, a)
	}
	add("network_data", metal.StaticAddresses(op.Node.NetworkData)...)
	for _, p := range op.Ports {
		if r.hw.Network != nil {
			found, err := r.hw.Network.Addresses(ctx, op.Node, p.Address, role)
			r.unheard(err)
			add("network service", found...)
		}
		if r.c.leases != nil {
			found, err := r.c.leases.Addresses(ctx, strings.ToLower(p.Address))
			r.unheard(err)
			add("DHCP lease", found...)
		}
	}
	return out
}

func (r *runner) unheard(err error) {
	if err != nil {
		r.log.Warn("a source of the machine's addresses does not answer", "error", err)
	}
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
func roleOf(op *Op) metal.NetworkRole {
	switch metal.Plan(op.row.Plan) {
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
