package ops

import (
	"context"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

const erasureRule = "ingot:node:erasure"

// Erasures lists the erase certificates of a node, newest first. Those of a node that was deleted are found by its UUID, by
// who has the right on any node.
func (s *Service) Erasures(ctx context.Context, c Caller, ident string) (out []metal.ErasureRecord, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, missing := c.node(tx, ident, erasureRule)
		if missing == nil {
			out, err = tx.Erasures(n.UUID)
			return err
		}
		if fault.KindOf(missing) != fault.NotFound || c.Rights.Check(erasureRule, policy.Target{}) != nil {
			return missing
		}
		id, err := uuid.Parse(ident)
		if err != nil {
			return missing
		}
		if out, err = tx.Erasures(id.String()); err == nil && len(out) == 0 {
			return missing
		}
		return err
	})
	return out, err
}

// ErasureKeys lists the public keys that erase certificates are, or were, signed with.
func (s *Service) ErasureKeys(ctx context.Context, c Caller) (out []metal.SigningKey, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		if err := c.Rights.Check("ingot:erasure:keys", policy.Target{}); err != nil {
			return err
		}
		out, err = tx.SigningKeys()
		return err
	})
	return out, err
}
