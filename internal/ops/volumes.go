package ops

import (
	"context"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// VolumeQuery narrows and pages a list of volume connectors or targets. Node is a UUID or name.
type VolumeQuery struct {
	Page
	Node string
}

// volumes is what the two lists of volumes have in common.
func volumes[T any](ctx context.Context, s *Service, c Caller, q VolumeQuery, list func(*store.Tx, store.VolumeFilter) ([]*T, error)) (out []*T, err error) {
	mine, err := c.listing("volume:list_all", "volume:list")
	if err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		f := store.VolumeFilter{Project: mine}
		if q.Node != "" {
			n, err := c.node(tx, q.Node)
			if err != nil {
				return err
			}
			f.NodeID = n.ID
		}
		out, err = list(tx, f)
		return err
	})
	return out, err
}

// Connectors lists volume connectors; fault.NotFound for an unknown node or marker.
func (s *Service) Connectors(ctx context.Context, c Caller, q VolumeQuery) ([]*metal.VolumeConnector, error) {
	return volumes(ctx, s, c, q, func(tx *store.Tx, f store.VolumeFilter) ([]*metal.VolumeConnector, error) {
		return tx.Connectors(f, q.Page)
	})
}

// Connector finds a volume connector by UUID.
func (s *Service) Connector(ctx context.Context, c Caller, id string) (v *metal.VolumeConnector, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		v, _, err = c.connector(tx, id, "volume:get")
		return err
	})
	return v, err
}

// CreateConnector adds a volume connector to a node. An unknown node is fault.Invalid.
func (s *Service) CreateConnector(ctx context.Context, c Caller, v *metal.VolumeConnector) (*metal.VolumeConnector, error) {
	if v.UUID == "" {
		v.UUID = uuid.NewString()
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.nodeFor(tx, v.NodeUUID, "volume:create")
		if err != nil {
			return err
		}
		v.NodeUUID = n.UUID
		if v.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.CreateConnector(v)
	})
	return v, err
}

// UpdateConnector runs change on the volume connector as it is stored and saves the result.
func (s *Service) UpdateConnector(ctx context.Context, c Caller, id string, change func(*metal.VolumeConnector) error) (v *metal.VolumeConnector, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		var n *metal.Node
		if v, n, err = c.connector(tx, id, "volume:update"); err != nil {
			return err
		}
		was := v.NodeUUID
		if err := change(v); err != nil {
			return err
		}
		if v.NodeUUID, err = c.mayReattach(tx, n, was, v.NodeUUID); err != nil {
			return err
		}
		if v.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.SaveConnector(v)
	})
	return v, err
}

// DeleteConnector removes a volume connector from its node.
func (s *Service) DeleteConnector(ctx context.Context, c Caller, id string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		v, n, err := c.connector(tx, id, "volume:delete")
		if err != nil {
			return err
		}
		if err := detached(n, "delete volume connector"); err != nil {
			return err
		}
		return tx.DeleteConnector(v.ID)
	})
}

// Targets lists volume targets; fault.NotFound for an unknown node or marker. Properties that the caller may not see say so.
func (s *Service) Targets(ctx context.Context, c Caller, q VolumeQuery) ([]*metal.VolumeTarget, error) {
	return volumes(ctx, s, c, q, func(tx *store.Tx, f store.VolumeFilter) ([]*metal.VolumeTarget, error) {
		found, err := tx.Targets(f, q.Page)
		if err != nil {
			return nil, err
		}
		nodes := map[string]*metal.Node{}
		for _, v := range found {
			n := nodes[v.NodeUUID]
			if n == nil {
				if n, err = tx.Node(v.NodeUUID); err != nil {
					return nil, err
				}
				nodes[v.NodeUUID] = n
			}
			c.redact(n, v)
		}
		return found, nil
	})
}

// redact hides the properties of a volume target from whoever may not see them. Source: RBAC reference §6.
func (c Caller) redact(n *metal.Node, v *metal.VolumeTarget) {
	if !c.Rights.Allows("volume:view_target_properties", nodeTarget(n)) {
		v.Properties = secret.NewMap(map[string]any{"redacted_contents": "** Value redacted: Requires permission " +
			"baremetal:volume:view_target_properties access. Permission denied. **"})
	}
}

// Target finds a volume target by UUID.
func (s *Service) Target(ctx context.Context, c Caller, id string) (v *metal.VolumeTarget, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		var n *metal.Node
		if v, n, err = c.target(tx, id, "volume:get"); err == nil {
			c.redact(n, v)
		}
		return err
	})
	return v, err
}

// CreateTarget adds a volume target to a node. An unknown node is fault.Invalid.
func (s *Service) CreateTarget(ctx context.Context, c Caller, v *metal.VolumeTarget) (*metal.VolumeTarget, error) {
	if v.UUID == "" {
		v.UUID = uuid.NewString()
	}
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.nodeFor(tx, v.NodeUUID, "volume:create")
		if err != nil {
			return err
		}
		v.NodeUUID = n.UUID
		if v.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		if err := tx.CreateTarget(v); err != nil {
			return err
		}
		c.redact(n, v)
		return nil
	})
	return v, err
}

// UpdateTarget runs change on the volume target as it is stored and saves the result.
func (s *Service) UpdateTarget(ctx context.Context, c Caller, id string, change func(*metal.VolumeTarget) error) (v *metal.VolumeTarget, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		var n *metal.Node
		if v, n, err = c.target(tx, id, "volume:update"); err != nil {
			return err
		}
		was := v.NodeUUID
		if err := change(v); err != nil {
			return err
		}
		if v.NodeUUID, err = c.mayReattach(tx, n, was, v.NodeUUID); err != nil {
			return err
		}
		if v.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		if err := tx.SaveTarget(v); err != nil {
			return err
		}
		c.redact(n, v)
		return nil
	})
	return v, err
}

// DeleteTarget removes a volume target from its node.
func (s *Service) DeleteTarget(ctx context.Context, c Caller, id string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		v, n, err := c.target(tx, id, "volume:delete")
		if err != nil {
			return err
		}
		if err := detached(n, "delete volume target"); err != nil {
			return err
		}
		return tx.DeleteTarget(v.ID)
	})
}

// mayReattach judges a changed volume of node n that is now to be of the node to, and gives that one's UUID.
func (c Caller) mayReattach(tx *store.Tx, n *metal.Node, was, to string) (string, error) {
	if err := detached(n, "update volume"); err != nil {
		return "", err
	}
	if to == was {
		return was, nil
	}
	other, err := c.moved(tx, n, "node_uuid", to)
	if err != nil {
		return "", err
	}
	return other.UUID, nil
}

// detached refuses changes to the volumes of a node that may be using them. Source: rest-api reference §13.
func detached(n *metal.Node, action string) error {
	if n.Reservation != "" {
		return locked(n, nil)
	}
	if n.PowerState != metal.PowerOff {
		return fault.New(fault.Invalid, "The requested action %q can not be performed on node %q while it is in state %q: it must be %q.",
			action, n.UUID, n.PowerState, metal.PowerOff)
	}
	return nil
}

func (c Caller) connector(tx *store.Tx, id string, rule policy.Rule) (*metal.VolumeConnector, *metal.Node, error) {
	v, err := tx.Connector(id)
	if err != nil {
		return nil, nil, err
	}
	n, err := c.owner(tx, v.NodeUUID, "Volume connector", id, rule)
	return v, n, err
}

func (c Caller) target(tx *store.Tx, id string, rule policy.Rule) (*metal.VolumeTarget, *metal.Node, error) {
	v, err := tx.Target(id)
	if err != nil {
		return nil, nil, err
	}
	n, err := c.owner(tx, v.NodeUUID, "Volume target", id, rule)
	return v, n, err
}
