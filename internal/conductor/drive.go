package conductor

import (
	"context"
	"slices"
	"time"

	"ingot/internal/store"
)

// The methods of this file are for whoever drives a conductor by hand, one operation at a time, in place of Run:
// tests of the whole engine in rooms that may see ops too.

// WorkOne claims one due operation and works on it until it waits or ends. It tells whether there was one.
func (c *Conductor) WorkOne(ctx context.Context) (bool, error) {
	claimed := time.Now()
	row, err := c.claim(ctx)
	if err != nil || row == nil {
		return false, err
	}
	c.work(ctx, row, claimed)
	return true, nil
}

// SweepOne does the same with one due row of what comes round by itself. The rows are made by EnsureSweeps.
func (c *Conductor) SweepOne(ctx context.Context) (bool, error) {
	for _, s := range slices.Backward(c.sweepers()) { // nodes in trouble first: the others always come round
		row, err := s.claim(ctx)
		if err != nil {
			return false, err
		}
		if row != nil {
			c.sweep(ctx, row)
			return true, nil
		}
	}
	return false, nil
}

// EnsureSweeps makes the rows of what comes round by itself, as Run does at its start.
func (c *Conductor) EnsureSweeps(ctx context.Context) error { return c.ensureSweeps(ctx) }

// CrashAt makes the conductor die where f gives an error: f is asked before and after every save. A conductor
// that died saves nothing more; its leases run out.
func (c *Conductor) CrashAt(f func(where string) error) { c.crash = f }

// AskOne does the same with one agent that is only polled, and writes what came of it.
func (c *Conductor) AskOne(ctx context.Context) (bool, error) {
	p := newPoller(c)
	defer p.forgetAll()
	defer p.work.Wait()
	rows, err := p.claim(ctx, 1)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	p.ask(ctx, rows[0], time.Now())
	select {
	case a := <-p.heard:
		return true, c.db.Write(ctx, func(tx *store.Tx) error { return c.note(tx, &a) })
	default: // ctx ended
		return true, ctx.Err()
	}
}
