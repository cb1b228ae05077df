package conductor

import (
	"context"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// cancelMessage is what an installer reads that is to stop.
const cancelMessage = `{"control":"cancel"}`

// cancelPolls is for how many polls an installer has time to read that, and for how many more to act on it.
const cancelPolls, cancelGrace = 2, 1

// tellCancelled lets an installer that was heard and has not ended read that it is over, before its machine is switched off. This waits here
// and not as a row, for an undo has no wait of its own: a few polls, no more. One that does not read is switched off all the same.
func (r *runner) tellCancelled(ctx context.Context, op *Op) error {
	told := false
	err := r.c.db.Write(ctx, func(tx *store.Tx) error {
		n, c, err := r.talking(tx, op)
		if err != nil || c == nil || c.SeenAt.IsZero() || c.Progress.Final || op.Rec.OS.Self.Off {
			return err
		}
		told = true
		if waiting, err := tx.OSMessages(n, store.ToMachine); err != nil || waiting > 0 { // an undo may run twice
			return err
		}
		return tx.PutOSMessage(n, c.Deploy, store.ToMachine, []byte(cancelMessage), nil)
	})
	if err != nil || !told {
		return err
	}
	for range cancelPolls {
		if !sleep(ctx, r.c.config.Poll) {
			return ctx.Err()
		}
		waiting := 0
		err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
			waiting, err = tx.OSMessages(op.Node, store.ToMachine)
			return err
		})
		if err != nil {
			return err
		}
		if waiting == 0 {
			r.event(op, "step", "INFO", "The installer was told that it is cancelled, and has a moment before its machine is switched off.")
			sleep(ctx, cancelGrace*r.c.config.Poll)
			return nil
		}
	}
	return nil
}

// talking gives the node, held, and the channel of this very deployment; nil: there is none.
func (r *runner) talking(tx *store.Tx, op *Op) (*metal.Node, *store.OSChannel, error) {
	n, err := tx.NodeByID(op.Node.ID)
	if err != nil {
		return nil, nil, err
	}
	c, err := tx.OSChannel(n)
	if err != nil || c == nil || c.Deploy != op.row.UUID {
		return n, nil, err
	}
	return n, c, nil
}

// sleep waits, and tells whether ctx lasted.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
