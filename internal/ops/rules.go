package ops

import (
	"context"

	"github.com/google/uuid"

	"ingot/internal/metal"
	"ingot/internal/rules"
	"ingot/internal/store"
)

// Rules lists inspection rules. The API has judged who may.
func (s *Service) Rules(ctx context.Context, p Page) (out []*metal.InspectionRule, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		out, err = tx.Rules(p)
		return err
	})
	return out, err
}

// Rule finds an inspection rule by UUID.
func (s *Service) Rule(ctx context.Context, uuid string) (r *metal.InspectionRule, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		r, err = tx.Rule(uuid)
		return err
	})
	return r, err
}

// CreateRule keeps an inspection rule. One that is not well formed is fault.Invalid.
func (s *Service) CreateRule(ctx context.Context, c Caller, r *metal.InspectionRule) (*metal.InspectionRule, error) {
	if r.UUID == "" {
		r.UUID = uuid.NewString()
	}
	if r.Phase == "" {
		r.Phase = metal.PhaseMain
	}
	if err := rules.Check(r); err != nil {
		return nil, err
	}
	err := s.db.Write(ctx, func(tx *store.Tx) (err error) {
		if r.CreatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.CreateRule(r)
	})
	if err == nil {
		s.log.Info("inspection rule created", "rule", r.UUID, "who", c.who(), "request", c.RequestID)
	}
	return r, err
}

// UpdateRule changes an inspection rule; an inspection under way may still run it as it was.
func (s *Service) UpdateRule(ctx context.Context, c Caller, uuid string, change func(*metal.InspectionRule) error) (r *metal.InspectionRule, err error) {
	err = s.db.Write(ctx, func(tx *store.Tx) error {
		if r, err = tx.Rule(uuid); err != nil {
			return err
		}
		if err := change(r); err != nil {
			return err
		}
		if r.Phase == "" {
			r.Phase = metal.PhaseMain
		}
		if err := rules.Check(r); err != nil {
			return err
		}
		if r.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		return tx.SaveRule(r)
	})
	if err == nil {
		s.log.Info("inspection rule changed", "rule", uuid, "who", c.who(), "request", c.RequestID)
	}
	return r, err
}

// DeleteRule forgets an inspection rule.
func (s *Service) DeleteRule(ctx context.Context, c Caller, uuid string) error {
	err := s.db.Write(ctx, func(tx *store.Tx) error {
		r, err := tx.Rule(uuid)
		if err != nil {
			return err
		}
		return tx.DeleteRule(r.ID)
	})
	if err == nil {
		s.log.Info("inspection rule deleted", "rule", uuid, "who", c.who(), "request", c.RequestID)
	}
	return err
}
