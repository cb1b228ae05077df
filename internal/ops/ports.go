package ops

import (
	"cmp"
	"context"
	"maps"
	"reflect"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// PortQuery narrows and pages a list of ports. Node and Portgroup are a UUID or name; Shards and Groups (of
// conductors) are alternatives.
type PortQuery struct {
	Page
	Node, Portgroup, Address, DescriptionContains string
	Shards, Groups                                []string
}

// Ports lists ports; fault.NotFound for an unknown node, port group or marker.
func (s *Service) Ports(ctx context.Context, c Caller, q PortQuery) (out []*metal.Port, err error) {
	mine, err := c.listing("port:list_all", "port:list")
	if err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		f := store.PortFilter{Address: q.Address, Contains: q.DescriptionContains, Shards: q.Shards, Groups: q.Groups, Project: mine}
		if q.Node != "" {
			n, err := c.node(tx, q.Node)
			if err != nil {
				return err
			}
			f.NodeID = n.ID
		}
		if q.Portgroup != "" {
			g, _, err := c.portgroup(tx, q.Portgroup, "portgroup:get")
			if err != nil {
				return err
			}
			f.PortgroupID = g.ID
		}
		out, err = tx.Ports(f, q.Page)
		return err
	})
	return out, err
}

// Port finds a port by UUID, name or address.
func (s *Service) Port(ctx context.Context, c Caller, ident string) (p *metal.Port, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		p, _, err = c.port(tx, ident, "port:get")
		return err
	})
	return p, err
}

// CreatePort adds a NIC to a node. An unknown node or port group is fault.Invalid (the body names it), a taken
// address fault.Conflict.
func (s *Service) CreatePort(ctx context.Context, c Caller, p *metal.Port) (*metal.Port, error) {
	if p.UUID == "" {
		p.UUID = uuid.NewString()
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.nodeFor(tx, p.NodeUUID, "port:create")
		if err != nil {
			return err
		}
		p.NodeUUID = n.UUID
		if err := c.mayJoin(tx, p); err != nil {
			return err
		}
		if p.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		if err := cmp.Or(tx.CreatePort(p), tx.RenewInstance(n.UUID)); err != nil {
			return err
		}
		p, err = tx.Port(p.UUID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// mayJoin judges a port of a port group, if it is in one; a port group that the caller may not see is not there. Source:
// rest-api reference §4.
func (c Caller) mayJoin(tx *store.Tx, p *metal.Port) error {
	if p.PortgroupUUID == "" {
		return nil
	}
	g, _, err := c.portgroup(tx, p.PortgroupUUID, "portgroup:get")
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return fault.Wrap(fault.Invalid, err, "Portgroup %s could not be found.", p.PortgroupUUID)
	case err != nil:
		return err
	case g.NodeUUID != p.NodeUUID:
		return fault.New(fault.Invalid, "Portgroup %s can not have port %s: they are of different nodes.", g.UUID, p.UUID)
	case p.PXEEnabled && !g.StandalonePorts:
		return fault.New(fault.Conflict, "Port %s can not have pxe_enabled in portgroup %s, which does not support standalone ports.", p.UUID, g.UUID)
	}
	p.PortgroupUUID = g.UUID
	members, err := tx.Ports(store.PortFilter{PortgroupID: g.ID}, Page{})
	if err != nil {
		return err
	}
	for _, m := range members {
		if m.UUID != p.UUID && m.PhysicalNetwork != p.PhysicalNetwork {
			return fault.New(fault.Conflict, "Port %s can not have the physical network %q: the other ports of portgroup %s have %q.",
				p.UUID, p.PhysicalNetwork, g.UUID, m.PhysicalNetwork)
		}
	}
	return nil
}

// UpdatePort runs change on the port as it is stored and saves the result. Source of the 409 rules:
// rest-api reference §4.
func (s *Service) UpdatePort(ctx context.Context, c Caller, ident string, change func(*metal.Port) error) (p *metal.Port, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		var n *metal.Node
		if p, n, err = c.port(tx, ident, "port:update"); err != nil {
			return err
		}
		if err := c.mayTouch(n, "port", p.UUID); err != nil {
			return err
		}
		before := *p
		before.LocalLinkConnection = maps.Clone(p.LocalLinkConnection)
		if err := change(p); err != nil {
			return err
		}
		if err := c.mayReplug(tx, n, &before, p); err != nil {
			return err
		}
		if p.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		if err := tx.SavePort(p); err != nil {
			return err
		}
		if err := renewed(tx, before.Address != p.Address, before.NodeUUID, p.NodeUUID); err != nil {
			return err
		}
		p, err = tx.Port(p.UUID)
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// mayReplug judges a changed port of node n.
func (c Caller) mayReplug(tx *store.Tx, n *metal.Node, before, p *metal.Port) error {
	if p.Address != before.Address && !n.Maintenance && (n.ProvisionState == metal.Active || n.InstanceUUID != "") {
		return fault.New(fault.Conflict, "Cannot update the address of port %s: node %s is in use.", p.UUID, n.UUID)
	}
	network, group := p.PhysicalNetwork != before.PhysicalNetwork, p.PortgroupUUID != before.PortgroupUUID
	if network && !group && p.PortgroupUUID != "" && c.Minor >= metal.SinceGroupNetworks {
		return fault.New(fault.Invalid, "The physical network of port %s is that of its portgroup: change it there.", p.UUID)
	}
	links := len(p.LocalLinkConnection)+len(before.LocalLinkConnection) > 0 && !reflect.DeepEqual(p.LocalLinkConnection, before.LocalLinkConnection)
	plugged := network || group || links || p.PXEEnabled != before.PXEEnabled
	if plugged && !mayRewire(n) {
		return fault.New(fault.Conflict, "Port %s can not have its connectivity (portgroup_uuid, pxe_enabled, local_link_connection, physical_network) changed "+
			"while node %s is in state %q: it must be enroll, inspecting, inspect wait or manageable, or the node in maintenance.", p.UUID, n.UUID, n.ProvisionState)
	}
	moved := p.NodeUUID != before.NodeUUID
	if moved {
		to, err := c.moved(tx, n, "node_uuid", p.NodeUUID)
		if err != nil {
			return err
		}
		p.NodeUUID = to.UUID
	}
	if plugged || moved {
		return c.mayJoin(tx, p)
	}
	return nil
}

// DeletePort removes a NIC from its node. One that the network service has bound is fault.Conflict while the node is not
// in maintenance.
func (s *Service) DeletePort(ctx context.Context, c Caller, ident string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		p, n, err := c.port(tx, ident, "port:delete")
		if err != nil {
			return err
		}
		if err := mayUnbind(n, "port", p.UUID, p.InternalInfo, p.Extra); err != nil {
			return err
		}
		s.log.Info("port deleted", "port", p.UUID, "node", n.UUID, "who", c.who(), "request", c.RequestID)
		return cmp.Or(tx.DeletePort(p.ID), tx.RenewInstance(n.UUID))
	})
}

// renewed has it known that the NICs of a node's instance changed: an address, or whose it is.
func renewed(tx *store.Tx, changed bool, before, now string) error {
	if !changed && before == now {
		return nil
	}
	return cmp.Or(tx.RenewInstance(before), tx.RenewInstance(now))
}

// port finds a port and its node and judges a rule on that.
func (c Caller) port(tx *store.Tx, ident string, rule policy.Rule) (*metal.Port, *metal.Node, error) {
	p, err := tx.Port(ident)
	if err != nil {
		return nil, nil, err
	}
	n, err := c.owner(tx, p.NodeUUID, "Port", ident, rule)
	return p, n, err
}
