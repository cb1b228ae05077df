package ops

import (
	"context"
	"slices"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// PortQuery narrows and pages a list of ports. Node is a UUID or name.
type PortQuery struct {
	Page
	Node, Address, DescriptionContains string
}

// Ports lists ports; fault.NotFound for an unknown node or marker.
func (s *Service) Ports(ctx context.Context, c Caller, q PortQuery) (out []*metal.Port, err error) {
	mine, err := c.listing("port:list_all", "port:list")
	if err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		f := store.PortFilter{Address: q.Address, Contains: q.DescriptionContains, Project: mine}
		if q.Node != "" {
			n, err := c.node(tx, q.Node)
			if err != nil {
				return err
			}
			f.NodeID = n.ID
		}
		out, err = tx.Ports(f, q.Page)
		return err
	})
	return out, err
}

// Port finds a port by UUID, name or address.
func (s *Service) Port(ctx context.Context, c Caller, ident string) (p *metal.Port, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		p, err = c.port(tx, ident, "port:get")
		return err
	})
	return p, err
}

// CreatePort adds a NIC to a node. An unknown node is fault.Invalid (it is named in the body), a taken
// address fault.Conflict.
func (s *Service) CreatePort(ctx context.Context, c Caller, p *metal.Port) (*metal.Port, error) {
	if p.UUID == "" {
		p.UUID = uuid.NewString()
	}
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		n, err := c.node(tx, p.NodeUUID, "port:create")
		if fault.KindOf(err) == fault.NotFound {
			return fault.Wrap(fault.Invalid, err, "Node %s could not be found.", p.NodeUUID)
		}
		if err != nil {
			return err
		}
		p.NodeUUID = n.UUID
		if p.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.CreatePort(p)
	})
	if err != nil {
		return nil, err
	}
	return s.Port(ctx, c, p.UUID)
}

// UpdatePort runs change on the port as it is stored and saves the result. Source of the 409 rules:
// rest-api reference §4.
func (s *Service) UpdatePort(ctx context.Context, c Caller, ident string, change func(*metal.Port) error) (*metal.Port, error) {
	var id string
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		p, err := c.port(tx, ident, "port:update")
		if err != nil {
			return err
		}
		id = p.UUID
		before := *p
		if err := change(p); err != nil {
			return err
		}
		n, err := tx.Node(before.NodeUUID)
		if err != nil {
			return err
		}
		if p.Address != before.Address && !n.Maintenance && (n.ProvisionState == metal.Active || n.InstanceUUID != "") {
			return fault.New(fault.Conflict, "Cannot update the address of port %s: node %s is in use.", p.UUID, n.UUID)
		}
		wiring := []metal.State{metal.Enroll, metal.Inspecting, metal.InspectWait, metal.Manageable}
		if (p.PXEEnabled != before.PXEEnabled || p.PhysicalNetwork != before.PhysicalNetwork) && !n.Maintenance && !slices.Contains(wiring, n.ProvisionState) {
			return fault.New(fault.Conflict, "Port %s can not have its connectivity changed while node %s is in state %q.", p.UUID, n.UUID, n.ProvisionState)
		}
		if p.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		err = tx.SavePort(p)
		if fault.KindOf(err) == fault.NotFound {
			return fault.Wrap(fault.Invalid, err, "Node %s could not be found.", p.NodeUUID)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return s.Port(ctx, c, id)
}

// DeletePort removes a NIC from its node.
func (s *Service) DeletePort(ctx context.Context, c Caller, ident string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		p, err := c.port(tx, ident, "port:delete")
		if err != nil {
			return err
		}
		return tx.DeletePort(p.ID)
	})
}

// port finds a port and judges a rule on its node; that of a node the caller may not see is not found.
func (c Caller) port(tx *store.Tx, ident string, rule policy.Rule) (*metal.Port, error) {
	p, err := tx.Port(ident)
	if err != nil {
		return nil, err
	}
	n, err := tx.Node(p.NodeUUID)
	if err != nil {
		return nil, err
	}
	if !c.sees(n) {
		return nil, fault.New(fault.NotFound, "Port %s could not be found.", ident)
	}
	return p, c.Rights.Check(rule, nodeTarget(n))
}
