package ops

import (
	"context"
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// Baseline gives a node's firmware baseline with what the last cleaning saw; fault.NotFound if none was recorded.
func (s *Service) Baseline(ctx context.Context, c Caller, ident string) (out *metal.Baseline, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "ingot:node:baseline")
		if err == nil {
			out, err = baseline(tx, n)
		}
		return err
	})
	return out, err
}

func baseline(tx *store.Tx, n *metal.Node) (*metal.Baseline, error) {
	b, err := tx.Baseline(n.ID)
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, fault.New(fault.NotFound, "Node %s has no firmware baseline yet: its first automated cleaning records one.", n.UUID)
	}
	if b.Seen != nil {
		b.Drift = metal.FirmwareDrift(b.State, *b.Seen, nil)
	}
	return b, nil
}

// AcceptBaseline makes what the last cleaning saw the baseline. What it did not see stays as it was.
func (s *Service) AcceptBaseline(ctx context.Context, c Caller, ident string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "ingot:node:baseline:accept")
		if err != nil {
			return err
		}
		b, err := baseline(tx, n)
		if err != nil {
			return err
		}
		if b.Seen == nil || len(b.Drift) == 0 {
			return nil
		}
		state := *b.Seen
		state.Fill(b.State)
		if err := tx.SaveBaseline(n.ID, state, c.who()); err != nil {
			return err
		}
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), Severity: "WARN",
			Why: fmt.Sprintf("%s accepted the firmware as it was seen last as the baseline: %s.", c.who(), shortened(strings.Join(b.Drift, "; ")))})
	})
}

// maxAccepted bounds what an event says of an acceptance, bytes.
const maxAccepted = 2 << 10

func shortened(s string) string {
	if len(s) <= maxAccepted {
		return s
	}
	return strings.ToValidUTF8(s[:maxAccepted], "") + " and more"
}

// uncleaned warns of a machine that nobody has cleaned since it was last used.
func uncleaned(n *metal.Node) string {
	since, ok := n.InternalInfo[metal.NotCleaned].(string)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" It was made available without having been cleaned (%s): its next tenant may read what was left on its disks and in its firmware.", since)
}
