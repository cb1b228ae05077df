package ops

import (
	"cmp"
	"context"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// PortgroupQuery narrows and pages a list of port groups. Node is a UUID or name; Shards and Groups (of conductors)
// are alternatives.
type PortgroupQuery struct {
	Page
	Node, Address  string
	Shards, Groups []string
}

// Portgroups lists port groups; fault.NotFound for an unknown node or marker.
func (s *Service) Portgroups(ctx context.Context, c Caller, q PortgroupQuery) (out []*metal.Portgroup, err error) {
	mine, err := c.listing("portgroup:list_all", "portgroup:list")
	if err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		f := store.PortgroupFilter{Address: q.Address, Shards: q.Shards, Groups: q.Groups, Project: mine}
		if q.Node != "" {
			n, err := c.node(tx, q.Node)
			if err != nil {
				return err
			}
			f.NodeID = n.ID
		}
		out, err = tx.Portgroups(f, q.Page)
		return err
	})
	return out, err
}

// Portgroup finds a port group by UUID, name or address.
func (s *Service) Portgroup(ctx context.Context, c Caller, ident string) (g *metal.Portgroup, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		g, _, err = c.portgroup(tx, ident, "portgroup:get")
		return err
	})
	return g, err
}

// CreatePortgroup adds a port group to a node. An unknown node is fault.Invalid, a taken name or address fault.Conflict.
func (s *Service) CreatePortgroup(ctx context.Context, c Caller, g *metal.Portgroup) (*metal.Portgroup, error) {
	if g.UUID == "" {
		g.UUID = uuid.NewString()
	}
	if g.Mode == "" {
		g.Mode = s.config.PortgroupMode
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.nodeFor(tx, g.NodeUUID, "portgroup:create")
		if err != nil {
			return err
		}
		g.NodeUUID = n.UUID
		if g.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		if err := cmp.Or(tx.CreatePortgroup(g), tx.RenewInstance(n.UUID)); err != nil {
			return err
		}
		g, err = tx.Portgroup(g.UUID)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.log.Info("port group created", "portgroup", g.UUID, "node", g.NodeUUID, "who", c.who(), "request", c.RequestID)
	return g, nil
}

// UpdatePortgroup runs change on the port group as it is stored and saves the result. Source of the rules: rest-api
// reference §5.
func (s *Service) UpdatePortgroup(ctx context.Context, c Caller, ident string, change func(*metal.Portgroup) error) (g *metal.Portgroup, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		var n *metal.Node
		if g, n, err = c.portgroup(tx, ident, "portgroup:update"); err != nil {
			return err
		}
		if err := c.mayTouch(n, "portgroup", g.UUID); err != nil {
			return err
		}
		before := *g
		if err := change(g); err != nil {
			return err
		}
		members, err := tx.Ports(store.PortFilter{PortgroupID: g.ID}, Page{})
		if err != nil {
			return err
		}
		if err := c.mayRegroup(tx, n, &before, g, members); err != nil {
			return err
		}
		if g.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		if err := cmp.Or(tx.SavePortgroup(g), renewed(tx, before.Address != g.Address, before.NodeUUID, g.NodeUUID)); err != nil || g.PhysicalNetwork == before.PhysicalNetwork {
			return err
		}
		for _, p := range members {
			p.PhysicalNetwork, p.UpdatedAt = g.PhysicalNetwork, g.UpdatedAt
			if err := tx.SavePort(p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// mayRegroup judges a changed port group of node n.
func (c Caller) mayRegroup(tx *store.Tx, n *metal.Node, before, g *metal.Portgroup, members []*metal.Port) error {
	if g.NodeUUID != before.NodeUUID {
		to, err := c.moved(tx, n, "node_uuid", g.NodeUUID)
		switch {
		case err != nil:
			return err
		case !mayRewire(n):
			return fault.New(fault.Conflict, "Portgroup %s can not be associated to another node while node %s is in state %q: "+
				"it must be enroll, inspecting, inspect wait or manageable, or the node in maintenance.", g.UUID, n.UUID, n.ProvisionState)
		case len(members) > 0:
			return fault.New(fault.Invalid, "Portgroup %s can not be associated to another node while there are ports in it.", g.UUID)
		}
		g.NodeUUID = to.UUID
	}
	if before.StandalonePorts && !g.StandalonePorts {
		for _, p := range members {
			if p.PXEEnabled {
				return fault.New(fault.Conflict, "standalone_ports_supported of portgroup %s can not be false while a port in it, %s, has pxe_enabled.", g.UUID, p.UUID)
			}
		}
	}
	return nil
}

// DeletePortgroup removes a port group from its node; one with ports in it is fault.Invalid, and one that the network service has bound
// fault.Conflict, as a port.
func (s *Service) DeletePortgroup(ctx context.Context, c Caller, ident string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		g, n, err := c.portgroup(tx, ident, "portgroup:delete")
		if err != nil {
			return err
		}
		if err := mayUnbind(n, "portgroup", g.UUID, g.InternalInfo, g.Extra); err != nil {
			return err
		}
		members, err := tx.Ports(store.PortFilter{PortgroupID: g.ID}, Page{Limit: 1})
		if err != nil {
			return err
		}
		if len(members) > 0 {
			return fault.New(fault.Invalid, "Portgroup %s cannot be deleted: there are ports in it.", g.UUID)
		}
		s.log.Info("port group deleted", "portgroup", g.UUID, "node", n.UUID, "who", c.who(), "request", c.RequestID)
		return cmp.Or(tx.DeletePortgroup(g.ID), tx.RenewInstance(n.UUID))
	})
}

// portgroup finds a port group and its node and judges a rule on that.
func (c Caller) portgroup(tx *store.Tx, ident string, rule policy.Rule) (*metal.Portgroup, *metal.Node, error) {
	g, err := tx.Portgroup(ident)
	if err != nil {
		return nil, nil, err
	}
	n, err := c.owner(tx, g.NodeUUID, "Portgroup", ident, rule)
	return g, n, err
}
