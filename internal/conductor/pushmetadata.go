package conductor

import (
	"context"
	"fmt"
	"time"

	"ingot/internal/store"
)

// pushMetadata puts what the instance reads on the boot hosts that serve metadata, as the instance is about to start.
var pushMetadata = step{name: "push metadata", class: repeatable, run: (*runner).pushMetadata, undo: (*runner).unpushMetadata, limit: 5 * time.Minute, skip: noBootHosts}

// noBootHosts: nobody serves machines in the place of this server.
func noBootHosts(op *Op) bool { return !op.Rec.BootHosts }

// pushMetadata fails where the instance would have nothing to read. One with a config drive starts all the same: what was not
// pushed is tried again as long as it runs.
func (r *runner) pushMetadata(ctx context.Context, op *Op) (Outcome, error) {
	if r.c.pusher == nil { // another conductor began
		return done, nil
	}
	err := r.c.pusher.PushMetadata(ctx, op.Node.UUID)
	if err == nil || op.Rec.ConfigDrive == "" {
		return done, err
	}
	r.event(op, "step", "WARN", fmt.Sprintf("No boot host serves the instance its metadata: %s It has its config drive.", sentence(err)))
	return done, nil
}

func (r *runner) unpushMetadata(ctx context.Context, op *Op) error {
	r.withdrawMetadata(ctx, op)
	return nil
}

// withdrawMetadata takes what the instance reads off the boot hosts. One that does not answer is told as soon as it does.
func (r *runner) withdrawMetadata(ctx context.Context, op *Op) {
	if r.c.pusher == nil {
		return
	}
	call, cancel := context.WithTimeout(ctx, withdrawLimit)
	defer cancel()
	var now time.Time
	err := r.c.db.Read(call, func(tx *store.Tx) (err error) {
		now, err = tx.Now()
		return err
	})
	if err == nil {
		err = r.c.pusher.WithdrawMetadata(call, op.Node.UUID, now)
	}
	if err != nil {
		r.log.Warn("metadata not withdrawn", "error", err)
		r.event(op, "step", "INFO", fmt.Sprintf("What the instance read stays on a boot host until that is reached: %s", sentence(err)))
	}
}
