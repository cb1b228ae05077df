package conductor

import (
	"context"
	"errors"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// lookInLine is when an operation in line that was woken for nothing is looked at again.
const lookInLine = time.Minute

// grantSlots gives free slots to the operations in line. Any conductor may, whomever it serves: those that serve the nodes find the
// operations due. Most looks find nothing free, and cost no lock.
func (c *Conductor) grantSlots(ctx context.Context) {
	free := map[metal.Slot]bool{}
	err := c.db.Read(ctx, func(tx *store.Tx) error {
		for _, slot := range metal.Slots {
			use, err := tx.SlotUse(slot)
			if err != nil {
				return err
			}
			free[slot] = use.InLine > 0 && use.Held < c.config.Slots[slot]
		}
		return nil
	})
	for _, slot := range metal.Slots {
		if !free[slot] {
			continue
		}
		err = errors.Join(err, c.db.Write(ctx, func(tx *store.Tx) error {
			n, err := tx.GrantSlots(slot, c.config.Slots[slot])
			if n > 0 {
				c.log.Info("operations in line get their turn", "slot", string(slot), "operations", n)
			}
			return err
		}))
	}
	if err != nil && ctx.Err() == nil {
		c.log.Warn("slots cannot be given to operations in line", "error", err)
	}
}

// inLine lets an operation that has its slot now begin, and sends one back to the line that has none. parked: the lease was given back.
func (r *runner) inLine(ctx context.Context, op *Op) (parked bool, err error) {
	row := op.row
	switch {
	case row.Undoing, r.abort.Load() != nil: // it ends without having begun
		return false, nil
	case row.Queued: // somebody woke it, or a slot was given since it was read: then it is free to be claimed
		return true, r.standInLine(ctx, op, nil)
	case row.WaitingFor == metal.WaitSlot:
		row.WaitingFor, row.WaitingWhy = "", ""
		r.event(op, "step", "INFO", "Its turn has come: it has a slot.")
		return false, r.save(ctx, op, func(tx *store.Tx, n *metal.Node) error {
			return r.moveIfMay(tx, n, op, metal.EventResume, "Its turn has come.")
		})
	case row.Slot == "" && metal.Plan(row.Plan) == metal.PlanClean && op.Rec.Clean && row.Step == 0 && row.StepName == "":
		// who accepted it thought that it would not be cleaned
		return true, r.standInLine(ctx, op, (*store.Tx).QueueOperation)
	}
	return false, nil
}

// standInLine gives the lease of an operation without a slot back.
func (r *runner) standInLine(ctx context.Context, op *Op, also func(*store.Tx, *store.Operation) error) error {
	row := op.row
	row.InLine(metal.Plan(row.Plan).Slot(), time.Now())
	row.DueAt = time.Now().Add(lookInLine)
	row.LeaseOwner, row.LeaseUntil = "", time.Time{}
	return r.save(ctx, op, func(tx *store.Tx, n *metal.Node) error {
		if also == nil {
			return nil
		}
		if err := also(tx, row); err != nil {
			return err
		}
		return r.moveIfMay(tx, n, op, metal.EventWait, "It waits for "+row.WaitingWhy+".")
	})
}
