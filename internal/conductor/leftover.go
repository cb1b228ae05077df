package conductor

import (
	"context"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// sweepLeft is the kind of the row of a node in whose drive a boot medium was left, because the BMC did not eject it
// when its operation failed. The row's note is the medium's URL, or anyMedium. It is stored: never rename it.
const sweepLeft = "left medium"

// anyMedium is the note where nobody knows which medium it was: a tear down ejects whatever is in the drive.
const anyMedium = "*"

// verbLeft is the verb of the operation that ejects such a medium: nobody asked for it.
const verbLeft = "eject left medium"

// unasked tells whether an operation comes of itself: what it has to say is no answer to anybody, and last_error
// keeps what went wrong before.
func unasked(verb string) bool { return verb == verbSync || verb == verbLeft }

// ejectPlan is the order of work of that operation. It is the node's one exclusive operation while it lasts, so that
// it never takes away what another one has inserted.
var ejectPlan = plan{
	steps: []step{{name: "eject left medium", class: checkable, run: (*runner).ejectLeft, limit: 5 * time.Minute, tries: 1}},
}

// leftMedium makes the row when a step that inserts a medium could not be undone.
func (r *runner) leftMedium(op *Op, s *step) {
	if s.name != "insert boot media" || op.Rec.MediaURL == "" {
		return
	}
	url := op.Rec.MediaURL
	op.Also(func(tx *store.Tx, n *metal.Node) error { return r.c.ejectLater(tx, n, url) })
}

// leaveNothing sees to what a tear down that failed leaves of the operation it put an end to.
func (r *runner) leaveNothing(tx *store.Tx, op *Op, n *metal.Node) error {
	if op.row.Plan != string(metal.PlanTearDown) || !op.Rec.Ramdisk {
		return nil
	}
	if err := tx.ForgetAgent(n.ID); err != nil {
		return err
	}
	return r.c.ejectLater(tx, n, anyMedium)
}

func (c *Conductor) ejectLater(tx *store.Tx, n *metal.Node, url string) error {
	now, err := tx.Now()
	if err != nil {
		return err
	}
	return tx.EnsureSweeps([]store.Sweep{{Kind: sweepLeft, NodeID: n.ID, Note: url, DueAt: now.Add(c.jitter(c.config.Sweep.LeftInterval))}})
}

// isLeft tells whether what is in a drive is what a row of sweepLeft is about.
func isLeft(in, note string) bool { return in != "" && (note == anyMedium || in == note) }

// lookLeft sees whether a medium that was left is still there, and has it ejected.
func (c *Conductor) lookLeft(ctx context.Context, row *store.Sweep) (ended bool, err error) {
	var n *metal.Node
	err = c.db.Read(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.NodeByID(row.NodeID)
		return err
	})
	if err != nil {
		return false, err
	}
	hw, _ := c.hardware[n.Driver].Of(n)
	if hw.Media == nil {
		return true, c.db.Write(ctx, func(tx *store.Tx) error { return tx.EndSweep(row) })
	}
	call, cancel := context.WithTimeout(ctx, time.Minute)
	in, err := hw.Media.Media(call, n)
	cancel()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	if err == nil && !isLeft(in, row.Note) { // it is out, or something else is in, which is somebody's
		return true, c.db.Write(ctx, func(tx *store.Tx) error { return tx.EndSweep(row) })
	}
	row.DueAt = time.Now().Add(c.jitter(min(64*c.config.Sweep.LeftInterval, c.config.Sweep.LeftInterval<<min(row.Failures, 16))))
	row.Failures++
	if err != nil {
		return false, nil // the BMC does not tell: later
	}
	return true, c.db.Write(ctx, func(tx *store.Tx) error {
		if err := tx.SaveSweep(row); err != nil {
			return err
		}
		live, err := tx.LiveOperation(n.ID)
		if err != nil || live != nil {
			return err
		}
		rec, err := recordOf(record{MediaURL: row.Note})
		if err != nil {
			return err
		}
		return tx.CreateOperation(&store.Operation{UUID: uuid.NewString(), NodeID: n.ID, Exclusive: true, Verb: verbLeft, Plan: string(metal.PlanEject),
			PlanVersion: metal.PlanEject.Version(), Record: rec, RequestedBy: c.config.Host, Driver: n.Driver, Group: n.ConductorGroup})
	})
}

// ejectLeft ejects the medium if it is the one that was left.
func (r *runner) ejectLeft(ctx context.Context, op *Op) (Outcome, error) {
	if r.hw.Media == nil {
		return Outcome{}, fault.New(fault.Invalid, "driver %s has no drive to eject from", op.Node.Driver)
	}
	in, err := r.hw.Media.Media(ctx, op.Node)
	if err != nil || !isLeft(in, op.Rec.MediaURL) {
		return done, err
	}
	return done, r.hw.Media.EjectMedia(ctx, op.Node)
}
