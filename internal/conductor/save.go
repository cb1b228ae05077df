package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// save writes the row, the record, the node's changes and the history in one transaction, under the lease.
// store.ErrFenced if the lease was lost: then nothing was written.
func (r *runner) save(ctx context.Context, op *Op, also func(*store.Tx, *metal.Node) error) error {
	b, err := json.Marshal(op.Rec)
	if err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	op.row.Record = b
	if err := r.mayCrash("before " + op.row.StepName); err != nil {
		return err
	}
	err = r.c.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.NodeByID(op.row.NodeID)
		if err != nil {
			return err
		}
		for _, change := range slices.Concat(op.noted, op.changes) {
			if err := change(tx, n); err != nil {
				return err
			}
		}
		// The row is written before what follows from it: a plan that comes next needs the node free.
		if op.row.Status != store.Live {
			if err := tx.SaveOperation(op.row); err != nil {
				return err
			}
		}
		if also != nil {
			if err := also(tx, n); err != nil {
				return err
			}
		}
		if op.row.Status == store.Live {
			if err := r.saveLive(tx, op); err != nil {
				return err
			}
		}
		op.Node = n
		return tx.SaveNode(n)
	})
	if err != nil {
		return err
	}
	op.noted, op.changes = nil, nil
	r.askAbort(op.row.Abort)
	return r.mayCrash("after " + op.row.StepName)
}

// saveLive writes an operation that goes on. An abort that was asked for since the lease was last renewed must not
// sleep until what the operation waits for, which may be never: it is due at once then.
func (r *runner) saveLive(tx *store.Tx, op *Op) error {
	if err := tx.SaveOperation(op.row); err != nil {
		return err
	}
	if op.row.Abort == "" || op.row.LeaseOwner != "" || op.row.Undoing || r.firm(op) {
		return nil
	}
	return tx.HurryOperation(op.row)
}

func (r *runner) mayCrash(where string) error {
	if r.c.crash == nil {
		return nil
	}
	return r.c.crash(where)
}

// follow starts the plan that comes next, in the transaction that ended this one. It has this one's slot; if that had none, it
// stands in line: what must follow is not refused.
func (r *runner) follow(tx *store.Tx, op *Op, n *metal.Node) error {
	if r.plan.next == "" {
		return nil
	}
	rec, err := json.Marshal(record{})
	if err != nil {
		return err
	}
	next := &store.Operation{UUID: uuid.NewString(), NodeID: n.ID, Exclusive: true, Verb: op.row.Verb,
		Plan: string(r.plan.next), PlanVersion: r.plan.next.Version(), Record: rec, RequestedBy: op.row.RequestedBy,
		RequestID: op.row.RequestID, TraceParent: op.row.TraceParent, Driver: n.Driver, Group: n.ConductorGroup, Slot: r.plan.next.Slot()}
	if next.Slot != "" && (op.row.Slot != next.Slot || op.row.Queued) {
		next.InLine(next.Slot, time.Now())
	}
	if err := tx.CreateOperation(next); err != nil || !next.Queued {
		return err
	}
	return r.moveIfMay(tx, n, op, metal.EventWait, "It waits for "+next.WaitingWhy+".")
}
