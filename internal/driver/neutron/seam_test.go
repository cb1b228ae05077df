package neutron_test

import (
	"context"
	"net/netip"

	"ingot/internal/driver/neutron"
	"ingot/internal/metal"
	"ingot/internal/seed"
)

// network is what the conductor needs of a network interface; a driver does not see the conductor.
type network interface {
	CheckNetwork(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) ([]string, error)
	Plug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, string, error)
	Unplug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, error)
	AttachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string, live bool) error
	DetachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string) error
	PhysicalNetworks(ctx context.Context, n *metal.Node, vif string) ([]string, error)
	Describe(ctx context.Context, n *metal.Node, w metal.Wiring) ([]seed.VIF, error)
	Addresses(ctx context.Context, n *metal.Node, mac string, role metal.NetworkRole) ([]netip.Addr, error)
}

var _, _ network = neutron.Neutron{}, neutron.Flat{}
