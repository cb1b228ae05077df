package conductor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// sweepAbandoned is the kind of the row that looks for operations nobody can work on. It is stored: never rename it.
const sweepAbandoned = "abandoned operations"

// abandonedAtOnce bounds what one look fails.
const abandonedAtOnce = 50

// failAbandoned fails the operations whose driver no conductor has served for AbandonLimit: an operator who took a
// driver away learns which nodes that left, instead of having them wait for ever. Nothing can be undone without the
// driver; what may be left behind is said.
func (c *Conductor) failAbandoned(ctx context.Context, _ *store.Sweep) (bool, error) {
	var claimed []*store.Operation
	began := time.Now()
	err := c.db.Write(ctx, func(tx *store.Tx) error {
		all, err := tx.Conductors(aliveLimit)
		if err != nil {
			return err
		}
		overdue, err := tx.Unclaimed(c.config.AbandonLimit, abandonedAtOnce)
		if err != nil {
			return err
		}
		for _, o := range overdue {
			if served(all, o.Driver, o.Group) {
				continue
			}
			mine, err := tx.ClaimUnclaimed(o, c.config.Host, c.config.Lease)
			if err != nil {
				return err
			}
			if mine {
				claimed = append(claimed, o)
			}
		}
		return nil
	})
	for _, o := range claimed {
		if err == nil {
			err = c.abandon(ctx, o, began)
		}
	}
	return false, err
}

// served tells whether a live conductor works on nodes of a driver and group.
func served(all []store.Conductor, driver, group string) bool {
	return slices.ContainsFunc(all, func(o store.Conductor) bool {
		return o.Alive && o.Group == group && slices.ContainsFunc(o.Types, func(t metal.HardwareType) bool { return t.Name == driver })
	})
}

// abandon ends an operation without its driver.
func (c *Conductor) abandon(ctx context.Context, row *store.Operation, began time.Time) error {
	r := &runner{c: c, log: c.log.With("op", row.UUID, "plan", row.Plan)}
	r.lease.until(began.Add(c.config.Lease))
	op, err := r.load(ctx, row)
	if err != nil {
		return err
	}
	return r.giveUp(ctx, op, fmt.Sprintf("no server has served driver %s for conductor group %q for %s", row.Driver, row.Group, c.config.AbandonLimit))
}

// giveUp ends an operation that nobody can work on or undo, and says what it may leave behind.
func (r *runner) giveUp(ctx context.Context, op *Op, why string) error {
	row := op.row
	r.plan = &plan{fail: metal.EventFail}
	if known := plans[metal.Plan(row.Plan)]; known != nil {
		r.plan = &plan{fail: known.fail, abort: known.abort, want: known.want, onFail: known.onFail}
	}
	left := "the machine was left as it is"
	if op.Rec.Boot != "" {
		left += ": the ramdisk may run, and the boot medium may be in its drive"
	}
	cause := fault.New(fault.Unavailable, "%s: step %q: %s; %s", row.Plan, row.StepName, why, left)
	r.log.Warn("operation given up", "step", row.StepName, "reason", why)
	r.event(op, "error", "ERROR", "The operation was given up: "+why+"; "+left+".")
	op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.ForgetAgent(n.ID) }) // its token is worth nothing now
	return r.end(ctx, op, cause)
}

// strange deals with an operation of a plan that this server does not know: in a fleet that is being upgraded another
// may. It waits for one, its record untouched, and is given up after AbandonLimit.
func (r *runner) strange(ctx context.Context, op *Op, what string) error {
	row := op.row
	why := "a server that knows " + what
	now := time.Now()
	if row.WaitingWhy != why {
		row.WaitingWhy, row.StepSince = why, now
	}
	if now.Sub(row.StepSince) >= r.c.config.AbandonLimit {
		return r.giveUp(ctx, op, "this server does not know "+what+", and none that does has come")
	}
	row.WaitingFor, row.DueAt, row.LeaseOwner, row.LeaseUntil = "", now.Add(min(time.Minute, r.c.config.AbandonLimit)), "", time.Time{}
	return r.c.db.Write(ctx, func(tx *store.Tx) error { return tx.SaveOperation(row) })
}
