package main

import (
	"context"
	"net/netip"

	"ingot/internal/conductor"
	"ingot/internal/metal"
	"ingot/internal/seed"
)

type watchedNetwork struct {
	watching
	inner conductor.Network
}

func (w watchedNetwork) CheckNetwork(ctx context.Context, n *metal.Node, wired metal.Wiring, role metal.NetworkRole) ([]string, error) {
	return asked(ctx, w.watching, "check network", func(ctx context.Context) ([]string, error) { return w.inner.CheckNetwork(ctx, n, wired, role) })
}

func (w watchedNetwork) Plug(ctx context.Context, n *metal.Node, wired metal.Wiring, role metal.NetworkRole) (notes metal.Notes, waiting string, err error) {
	err = w.told(ctx, "plug "+string(role), func(ctx context.Context) (err error) {
		notes, waiting, err = w.inner.Plug(ctx, n, wired, role)
		return err
	})
	return notes, waiting, err
}

func (w watchedNetwork) Unplug(ctx context.Context, n *metal.Node, wired metal.Wiring, role metal.NetworkRole) (notes metal.Notes, err error) {
	err = w.told(ctx, "unplug "+string(role), func(ctx context.Context) (err error) {
		notes, err = w.inner.Unplug(ctx, n, wired, role)
		return err
	})
	return notes, err
}

func (w watchedNetwork) AttachVIF(ctx context.Context, n *metal.Node, wired metal.Wiring, vif string, live bool) error {
	return w.told(ctx, "attach vif", func(ctx context.Context) error { return w.inner.AttachVIF(ctx, n, wired, vif, live) })
}

func (w watchedNetwork) DetachVIF(ctx context.Context, n *metal.Node, wired metal.Wiring, vif string) error {
	return w.told(ctx, "detach vif", func(ctx context.Context) error { return w.inner.DetachVIF(ctx, n, wired, vif) })
}

func (w watchedNetwork) PhysicalNetworks(ctx context.Context, n *metal.Node, vif string) ([]string, error) {
	return asked(ctx, w.watching, "read physical networks", func(ctx context.Context) ([]string, error) { return w.inner.PhysicalNetworks(ctx, n, vif) })
}

func (w watchedNetwork) Describe(ctx context.Context, n *metal.Node, wired metal.Wiring) ([]seed.VIF, error) {
	return asked(ctx, w.watching, "describe vifs", func(ctx context.Context) ([]seed.VIF, error) { return w.inner.Describe(ctx, n, wired) })
}

func (w watchedNetwork) Addresses(ctx context.Context, n *metal.Node, mac string, role metal.NetworkRole) ([]netip.Addr, error) {
	return asked(ctx, w.watching, "read addresses", func(ctx context.Context) ([]netip.Addr, error) { return w.inner.Addresses(ctx, n, mac, role) })
}
