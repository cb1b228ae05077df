package ops

import (
	"context"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// ChassisList lists chassis; fault.NotFound for an unknown marker.
func (s *Service) ChassisList(ctx context.Context, p Page) (out []*metal.Chassis, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		out, err = tx.ChassisList(p)
		return err
	})
	return out, err
}

// Chassis finds a chassis by UUID.
func (s *Service) Chassis(ctx context.Context, id string) (c *metal.Chassis, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		c, err = tx.Chassis(id)
		return err
	})
	return c, err
}

// CreateChassis keeps a chassis; a taken UUID is fault.Conflict.
func (s *Service) CreateChassis(ctx context.Context, c Caller, v *metal.Chassis) (*metal.Chassis, error) {
	if v.UUID == "" {
		v.UUID = uuid.NewString()
	}
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if v.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.CreateChassis(v)
	})
	if err == nil {
		s.log.Info("chassis created", "chassis", v.UUID, "who", c.who(), "request", c.RequestID)
	}
	return v, err
}

// UpdateChassis runs change on the chassis as it is stored and saves the result. Its UUID is not changed: nodes name it.
func (s *Service) UpdateChassis(ctx context.Context, id string, change func(*metal.Chassis) error) (v *metal.Chassis, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if v, err = tx.Chassis(id); err != nil {
			return err
		}
		was := v.UUID
		if err := change(v); err != nil {
			return err
		}
		if v.UUID != was {
			return fault.New(fault.Invalid, "Cannot change the UUID of an existing chassis.")
		}
		if v.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.SaveChassis(v)
	})
	return v, err
}

// DeleteChassis forgets a chassis; one with nodes in it is fault.Invalid.
func (s *Service) DeleteChassis(ctx context.Context, c Caller, id string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		v, err := tx.Chassis(id)
		if err != nil {
			return err
		}
		n, err := tx.NodesIn(v.UUID)
		if err != nil {
			return err
		}
		if n > 0 {
			return fault.New(fault.Invalid, "Cannot complete the requested action because chassis %s contains nodes: %d of them. Unset their chassis_uuid first.", v.UUID, n)
		}
		s.log.Info("chassis deleted", "chassis", v.UUID, "who", c.who(), "request", c.RequestID)
		return tx.DeleteChassis(v.ID)
	})
}

// Shards counts the nodes of each shard, the largest first; those in none are named "".
func (s *Service) Shards(ctx context.Context) (out []metal.Shard, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		out, err = tx.Shards()
		return err
	})
	return out, err
}
