package ops

import (
	"cmp"
	"context"
	"fmt"

	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// VIFs lists the VIFs of a node. A node without a network service (noop) has none, whatever was attached.
func (s *Service) VIFs(ctx context.Context, c Caller, ident string) (out []string, err error) {
	err = s.wiring(ctx, c, ident, "node:vif:list", false, func(_ *store.Tx, n *metal.Node, ports []*metal.Port, groups []*metal.Portgroup) error {
		if n.Interface("network") != "noop" {
			out = metal.VIFs(ports, groups)
		}
		return nil
	})
	return out, err
}

// AttachVIF gives a node a VIF; metal.AttachVIF says which port or port group gets it. A network interface with a service
// behind it is told by a conductor, which answers. Without a network service the VIF is accepted and forgotten, as
// upstream's noop does.
func (s *Service) AttachVIF(ctx context.Context, c Caller, ident string, v metal.VIF) error {
	const rule = "node:vif:attach"
	switch served, err := s.servedNetwork(ctx, c, ident, rule); {
	case err != nil:
		return err
	case served:
		return s.answer(ctx, c, ident, rule, metal.PlanAttachVIF, true, metal.Ask{VIF: &v}, nil)
	}
	return s.wiring(ctx, c, ident, rule, true, func(tx *store.Tx, n *metal.Node, ports []*metal.Port, groups []*metal.Portgroup) error {
		if n.Interface("network") == "noop" {
			return nil
		}
		p, g, err := metal.AttachVIF(v, ports, groups)
		return cmp.Or(err, rewired(tx, n, c, p, g, fmt.Sprintf("%s attached the VIF %s.", c.who(), clip(v.ID, 255))))
	})
}

// DetachVIF takes a VIF away from a node; one that it has not is fault.Invalid.
func (s *Service) DetachVIF(ctx context.Context, c Caller, ident, vif string) error {
	const rule = "node:vif:detach"
	switch served, err := s.servedNetwork(ctx, c, ident, rule); {
	case err != nil:
		return err
	case served:
		return s.answer(ctx, c, ident, rule, metal.PlanDetachVIF, true, metal.Ask{VIF: &metal.VIF{ID: vif}}, nil)
	}
	return s.wiring(ctx, c, ident, rule, true, func(tx *store.Tx, n *metal.Node, ports []*metal.Port, groups []*metal.Portgroup) error {
		if n.Interface("network") == "noop" {
			return nil
		}
		p, g, err := metal.DetachVIF(n, vif, ports, groups)
		return cmp.Or(err, rewired(tx, n, c, p, g, fmt.Sprintf("%s detached the VIF %s.", c.who(), clip(vif, 255))))
	})
}

// servedNetwork tells whether a conductor has a driver for the node's network interface.
func (s *Service) servedNetwork(ctx context.Context, c Caller, ident string, rule policy.Rule) (served bool, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, rule)
		if err != nil {
			return err
		}
		hw, err := s.hardware(tx, n.Driver, n.ConductorGroup)
		network := n.Interface("network")
		served = err == nil && network != "" && network != "noop" && hw.Takes("network", network) && hw.Built("network", network)
		return err
	})
	return served, err
}

// wiring gives f a node's ports and port groups. A change needs the node free.
func (s *Service) wiring(ctx context.Context, c Caller, ident string, rule policy.Rule, change bool,
	f func(*store.Tx, *metal.Node, []*metal.Port, []*metal.Portgroup) error) error {
	run := s.db.Read
	if change {
		run = s.db.Write
	}
	return run(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, rule)
		if err != nil {
			return err
		}
		hw, err := s.hardware(tx, n.Driver, n.ConductorGroup)
		if err != nil {
			return err
		}
		if network := n.Interface("network"); network != "flat" { // whose bookkeeping is here
			if err := built(n, hw, "network"); err != nil {
				return err
			}
		}
		if change {
			if live, err := tx.LiveOperation(n.ID); err != nil || live != nil {
				return cmp.Or(err, locked(n, live))
			}
		}
		ports, err := tx.PortsOf(n.ID)
		if err != nil {
			return err
		}
		groups, err := tx.Portgroups(store.PortgroupFilter{NodeID: n.ID}, store.Page{})
		if err != nil {
			return err
		}
		return f(tx, n, ports, groups)
	})
}

// rewired saves the port or the port group that changed; both are nil after an error.
func rewired(tx *store.Tx, n *metal.Node, c Caller, p *metal.Port, g *metal.Portgroup, why string) (err error) {
	if p == nil && g == nil {
		return nil
	}
	now, err := tx.Now()
	if err != nil {
		return err
	}
	if p != nil {
		p.UpdatedAt = now
		err = tx.SavePort(p)
	} else {
		g.UpdatedAt = now
		err = tx.SavePortgroup(g)
	}
	return cmp.Or(err, tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), Why: why}))
}
