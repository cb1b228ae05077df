package neutron

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Options are what a Driver is made of.
type Options struct {
	Config Config
	Log    *slog.Logger
	// DHCP gives the boot options of a NIC's port on the network of a role, for a Neutron whose own DHCP answers machines
	// that boot from the network; nil: none. The client-id of a port comes from its extra, whatever this says.
	DHCP func(n *metal.Node, nic *metal.Port, role metal.NetworkRole) []DHCPOption
}

// DHCPOption is one option of DHCP as Neutron's agent serves it: Name is its number or what dnsmasq calls it.
type DHCPOption struct {
	Name, Value string
	Version     int // of IP: 4 or 6; 0 means 4
}

// Driver speaks to one Neutron. Safe for concurrent use.
type Driver struct {
	config Config
	log    *slog.Logger
	dhcp   func(*metal.Node, *metal.Port, metal.NetworkRole) []DHCPOption
	client *client
	names  metal.NetworkNames
	atOnce atomic.Pointer[bool] // Neutron tags ports as it makes them; nil: not asked yet
}

// New makes a Driver. It speaks to nobody before it is used.
func New(o Options) (*Driver, error) {
	if err := o.Config.Check(); err != nil {
		return nil, err
	}
	c, err := newClient(o.Config)
	if err != nil {
		return nil, err
	}
	return &Driver{config: o.Config, log: o.Log, dhcp: o.DHCP, client: c, names: o.Config.Names()}, nil
}

// Close ends its idle connections.
func (d *Driver) Close() { d.client.close() }

// Neutron is the network interface "neutron": networks of the operator's for each phase, tenants apart.
type Neutron struct{ *Driver }

// Flat is the network interface "flat": one network for all, on which the VIFs of the node's user serve every phase but
// cleaning and inspection.
type Flat struct{ *Driver }

// onVIFs tells whether the machine is on the networks of its user's VIFs in a phase.
func (Flat) onVIFs(role metal.NetworkRole) bool {
	return role != metal.CleaningNetwork && role != metal.InspectionNetwork
}

// CheckNetwork says what is wrong with a node's use of a role's network.
func (f Neutron) CheckNetwork(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (warnings []string, err error) {
	if n.DisablePowerOff && !f.config.AllowDisablingPowerOff {
		return nil, fault.New(fault.Invalid, "Node %s has disable_power_off, so that its system would see the networks of several phases: use another network_interface, or set [neutron] allow_disabling_power_off.", n.UUID)
	}
	for _, p := range w.Ports {
		if p.IsSmartNIC {
			return nil, fault.New(fault.NotSupported, "Port %s is a smart NIC, which the network interface neutron of this server does not support.", p.UUID)
		}
	}
	if role == metal.TenantNetwork {
		return nil, nil
	}
	if unwise := f.names.RescueWarning(n); role == metal.RescuingNetwork && unwise != "" {
		warnings = append(warnings, unwise)
	}
	_, err = f.operators(ctx, n, role)
	return warnings, err
}

// CheckNetwork says what is wrong with a node's use of a role's network.
func (f Flat) CheckNetwork(ctx context.Context, n *metal.Node, _ metal.Wiring, role metal.NetworkRole) ([]string, error) {
	if f.onVIFs(role) {
		return nil, nil
	}
	_, err := f.operators(ctx, n, role)
	return nil, err
}

// operators is the operator's network of a role.
func (d *Driver) operators(ctx context.Context, n *metal.Node, role metal.NetworkRole) (*network, error) {
	name, err := d.names.Need(n, role, "neutron")
	if err != nil {
		return nil, err
	}
	return d.find(ctx, string(role)+" network", name)
}

// Plug puts the NICs on the network of a role.
func (f Neutron) Plug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, string, error) {
	if role == metal.TenantNetwork {
		return f.bindAll(ctx, n, w, role, binding{links: true, await: f.config.FailOnPortBindingFailure, need: true})
	}
	return f.plug(ctx, n, w, role, wish{groups: f.config.securityGroups(role), links: true, await: f.config.FailOnPortBindingFailure})
}

// Unplug takes the NICs off the network of a role.
func (f Neutron) Unplug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, error) {
	if role == metal.TenantNetwork {
		return nil, f.unbindAll(ctx, n, w)
	}
	return f.unplug(ctx, n, w, role)
}

// Addresses are those that a MAC has on the network of a role.
func (f Neutron) Addresses(ctx context.Context, n *metal.Node, mac string, role metal.NetworkRole) ([]netip.Addr, error) {
	return f.addresses(ctx, n, mac, role, role == metal.TenantNetwork)
}

// Plug puts the NICs on the network of a role.
func (f Flat) Plug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, string, error) {
	if f.onVIFs(role) {
		return f.bindAll(ctx, n, w, role, binding{need: role == metal.ProvisioningNetwork})
	}
	return f.plug(ctx, n, w, role, wish{})
}

// Unplug takes the NICs off the network of a role. Ports of ours go too that the node had with another network interface.
func (f Flat) Unplug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, error) {
	if role == metal.TenantNetwork {
		return nil, f.unbindAll(ctx, n, w)
	}
	notes, err := f.unplug(ctx, n, w, role)
	if err == nil && f.onVIFs(role) {
		err = f.unbindAll(ctx, n, w)
	}
	return notes, err
}

// Addresses are those that a MAC has on the network of a role.
func (f Flat) Addresses(ctx context.Context, n *metal.Node, mac string, role metal.NetworkRole) ([]netip.Addr, error) {
	return f.addresses(ctx, n, mac, role, f.onVIFs(role))
}

// AttachVIF makes a VIF that w notes known to Neutron.
func (f Neutron) AttachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string, live bool) error {
	return f.attach(ctx, n, w, vif, live, binding{links: true})
}

// AttachVIF makes a VIF that w notes known to Neutron.
func (f Flat) AttachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string, live bool) error {
	return f.attach(ctx, n, w, vif, live, binding{})
}

// addresses are those of a node's own ports with a MAC: the user's, or ours of a role.
func (d *Driver) addresses(ctx context.Context, n *metal.Node, mac string, role metal.NetworkRole, users bool) ([]netip.Addr, error) {
	found, err := d.list(ctx, filter{"mac_address": {strings.ToLower(mac)}})
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, p := range found {
		ours := p.has(label(n.UUID, role))
		if users {
			ours = p.HostID == n.UUID && !p.hasAny(labels(n.UUID))
		}
		if !ours {
			continue
		}
		for _, ip := range p.FixedIPs {
			if a, err := netip.ParseAddr(ip.IPAddress); err == nil && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	return out, nil
}
