package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// runner walks one claimed operation until it waits, ends or loses its lease.
type runner struct {
	c     *Conductor
	plan  *plan
	steps []step // of the plan, as the operation composed them
	hw    Hardware
	log   *slog.Logger
	lease lease
	abort atomic.Pointer[string] // who asked to stop it
}

// errStop ends the walk without an outcome: the lease is lost, or the process ends.
var errStop = errors.New("the walk stops here")

// work walks a claimed operation. It never returns an error: what went wrong is in the row and the log.
func (c *Conductor) work(ctx context.Context, row *store.Operation, claimed time.Time) {
	log := c.log.With("op", row.UUID, "plan", row.Plan)
	r := &runner{c: c, log: log}
	r.lease.until(claimed.Add(c.config.Lease))
	r.askAbort(row.Abort)
	ctx, cancel := context.WithCancel(metal.WithFence(ctx, r.lease.check))
	defer cancel()
	kept, held := make(chan struct{}), *row // the walk changes its own
	go func() {
		defer close(kept)
		defer cancel()
		r.keepLease(ctx, held)
	}()
	op, err := r.load(ctx, row)
	if err == nil {
		r.log = log.With("node", op.Node.UUID)
		err = r.walkSafely(ctx, op)
	}
	stopped := ctx.Err() != nil
	cancel()
	<-kept
	switch {
	case err == nil:
	case errors.Is(err, store.ErrFenced):
		c.watch.Fenced()
		r.log.Warn("lease lost, another holder goes on", "step", row.StepName)
	case stopped || errors.Is(err, errStop):
		r.log.Info("walk interrupted, to be resumed", "step", row.StepName)
	default:
		r.log.Error("operation cannot be saved, to be resumed", "step", row.StepName, "error", err)
	}
}

// keepLease renews until ctx ends; when it cannot in time it returns, which stops the walk: no call of ours
// outlives the lease it was made under.
func (r *runner) keepLease(ctx context.Context, row store.Operation) {
	tick := time.NewTicker(r.c.config.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(r.lease.ends())):
			return
		case <-tick.C:
		}
		asked := time.Now()
		var abort string
		write, cancel := context.WithDeadline(ctx, r.lease.ends())
		err := r.c.db.Write(write, func(tx *store.Tx) (err error) {
			abort, err = tx.Renew(&row, r.c.config.Lease)
			return err
		})
		cancel()
		switch {
		case err == nil:
			r.lease.until(asked.Add(r.c.config.Lease))
			r.askAbort(abort)
		case errors.Is(err, store.ErrFenced), r.lease.check() != nil:
			return
		}
	}
}

func (r *runner) askAbort(who string) {
	if who != "" {
		r.abort.Store(&who)
	}
}

func (r *runner) load(ctx context.Context, row *store.Operation) (*Op, error) {
	op := &Op{row: row}
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		if op.Node, err = tx.NodeByID(row.NodeID); err != nil {
			return err
		}
		op.Ports, err = tx.PortsOf(row.NodeID)
		return err
	})
	if err != nil {
		return nil, err
	}
	if row.Broken == nil {
		row.Broken = json.Unmarshal(row.Record, &op.Rec)
	}
	var missing []string
	r.hw, missing = r.c.hardware[row.Driver].Of(op.Node)
	r.hw.Part = fenced(r.hw.Part)
	op.missing = missing
	op.decide(&r.c.config, r.hw.Part)
	return op, nil
}

// walkSafely is walk; an operation whose walk panics outside a step, where nothing else catches it, is given up: it would
// do so at every server, again and again.
func (r *runner) walkSafely(ctx context.Context, op *Op) error {
	var out error
	if !r.panicked(func() { out = r.walk(ctx, op) }) {
		return out
	}
	op.changes = nil
	if r.panicked(func() { out = r.giveUp(ctx, op, "a defect of this server: the walk panicked; its log has the details") }) {
		return errStop
	}
	return out
}

func (r *runner) panicked(f func()) (yes bool) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("walk panicked", "panic", p, "stack", string(debug.Stack()))
			yes = true
		}
	}()
	f()
	return false
}

// walk runs steps until the operation waits or ends.
func (r *runner) walk(ctx context.Context, op *Op) error {
	row := op.row
	from, err := r.c.takenOverFrom(ctx, row)
	if err != nil {
		return err
	}
	if from != "" {
		r.log.Info("operation taken over", "from", from, "step", row.StepName)
		r.event(op, "takeover", "INFO", fmt.Sprintf("Conductor %s took the operation over from %s at step %q.", r.c.config.Host, from, row.StepName))
	}
	row.Worker = r.c.process
	if row.Broken != nil { // nothing is known of what was done: no step can go on from there
		r.plan = &plan{fail: metal.EventFail}
		r.log.Error("the operation's record cannot be read", "error", row.Broken)
		return r.end(ctx, op, fault.New(fault.Internal, "%s: the record of the operation cannot be read; the machine was left as it is", row.Plan))
	}
	if r.plan = plans[metal.Plan(row.Plan)]; r.plan == nil || !metal.Plan(row.Plan).Knows(row.PlanVersion) {
		return r.strange(ctx, op, fmt.Sprintf("version %d of plan %q", row.PlanVersion, row.Plan))
	}
	if len(op.missing) > 0 && !r.plan.quiet { // who is answered at once is told what is missing
		return r.strange(ctx, op, op.missingWords())
	}
	r.list(op)
	if parked, err := r.inLine(ctx, op); err != nil || parked {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if who := r.abort.Load(); who != nil && !row.Undoing && !r.firm(op) {
			op.Rec.Aborted = true
			if err := r.fail(ctx, op, fault.New(fault.Conflict, "aborted by request of %s", *who)); err != nil {
				return err
			}
			continue
		}
		var parked bool
		var err error
		switch {
		case row.Undoing && row.Step < 0:
			return r.end(ctx, op, errors.New(row.Error))
		case row.Undoing:
			parked, err = r.undoStep(ctx, op)
		case row.Step >= len(r.steps):
			return r.end(ctx, op, nil)
		default:
			parked, err = r.runStep(ctx, op)
		}
		if err != nil || parked {
			return err
		}
	}
}

// list finds the plan's steps for this operation, as it is composed now.
func (r *runner) list(op *Op) {
	r.steps = r.plan.stepsOf(op)
	if r.c.tamper != nil {
		r.c.tamper(r.steps)
	}
	op.row.StepsTotal = len(r.steps)
}

// firm tells whether the current step has begun and must not be stopped in the middle.
func (r *runner) firm(op *Op) bool {
	return op.Rec.Running && op.row.Step >= 0 && op.row.Step < len(r.steps) && r.steps[op.row.Step].firm
}

// runStep runs the current step once and saves what came of it. parked: the operation waits, the lease
// was given back.
func (r *runner) runStep(ctx context.Context, op *Op) (parked bool, err error) {
	row, s := op.row, &r.steps[op.row.Step]
	if s.skip != nil && s.skip(op) {
		return false, r.advance(ctx, op, "")
	}
	if why, err := r.stranded(ctx, op, s); err != nil || why != "" {
		if err == nil {
			err = r.goBack(ctx, op, backTo(s.anew, "%s", why))
		}
		return false, err
	}
	now := time.Now()
	if row.StepName != s.name {
		row.StepName, row.StepSince, row.StepLimit, row.Attempts, row.Tried = s.name, now, s.until(&r.c.config, op, now), 0, false
		row.WaitingFor, row.WaitingWhy, row.Progress = "", "", ""
		if err := r.save(ctx, op, nil); err != nil {
			return false, err
		}
	}
	if !row.StepLimit.IsZero() && now.After(row.StepLimit) {
		return false, r.fail(ctx, op, r.overdue(ctx, op, s))
	}
	run := s.run
	if s.class == atMostOnce {
		if row.Tried {
			run = s.verify
		} else {
			row.Tried = true
			if err := r.save(ctx, op, nil); err != nil {
				return false, err
			}
		}
	}
	call, cancel := context.WithCancel(ctx)
	if !row.StepLimit.IsZero() {
		call, cancel = context.WithDeadline(ctx, row.StepLimit)
	}
	call, over := r.c.watch.Step(call, StepRun{Plan: row.Plan, Step: s.name, Attempt: row.Attempts + 1, Operation: row.UUID,
		Node: op.Node.UUID, Request: row.RequestID, Trace: row.TraceParent})
	outcome, err := r.guarded(func() (Outcome, error) { return run(r, call, op) })
	over(cameOut(ctx, outcome, err), err)
	cancel()
	if ctx.Err() != nil || errors.Is(err, errOver) {
		return false, errStop // what it did stays to be found by whoever resumes
	}
	if err != nil {
		return r.retry(ctx, op, s, err)
	}
	op.awaits = outcome.awaits
	switch outcome.kind {
	case "again":
		return true, r.park(ctx, op, s, time.Now().Add(outcome.after), "", outcome.why)
	case "wait":
		due := row.StepLimit
		if due.IsZero() { // it may wait for ever; the event makes it due, and a look now and then does no harm
			due = time.Now().Add(time.Hour)
		}
		if soon := time.Now().Add(outcome.after); outcome.after > 0 && soon.Before(due) {
			due = soon
		}
		return true, r.park(ctx, op, s, due, outcome.event, outcome.why)
	case "hold":
		return true, r.park(ctx, op, s, time.Now().Add(never), outcome.event, outcome.why)
	case "back":
		return false, r.goBack(ctx, op, outcome)
	}
	return false, r.advance(ctx, op, fmt.Sprintf("Step %q is done.", s.name))
}

// guarded turns a panic of a step into an error: one BMC's odd reply must not end everybody's server.
func (r *runner) guarded(f func() (Outcome, error)) (o Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("step panicked", "panic", p, "stack", string(debug.Stack()))
			err = fault.New(fault.NotSupported, "a defect of this server: the step panicked; its log has the details")
		}
	}()
	return f()
}

// unfinished is what an undo gives whose work goes on: a phrase for what it waits for. It is called again.
type unfinished string

func (u unfinished) Error() string { return "it did not end in time: " + string(u) }

// undoLimit is how long an undo may wait for its work to end.
const undoLimit = 10 * time.Minute

// undoStep undoes the current step, if it has an undo, and goes one back. An undo that keeps failing is
// recorded and passed over: nothing is stuck.
func (r *runner) undoStep(ctx context.Context, op *Op) (parked bool, err error) {
	row, s := op.row, &r.steps[op.row.Step]
	if s.undo != nil && (s.skip == nil || !s.skip(op)) {
		call, cancel := context.WithTimeout(ctx, 2*time.Minute)
		_, err := r.guarded(func() (Outcome, error) { return done, s.undo(r, call, op) })
		cancel()
		if ctx.Err() != nil || errors.Is(err, errOver) {
			return false, errStop
		}
		var more unfinished
		if errors.As(err, &more) && time.Since(row.StepSince) < undoLimit {
			return true, r.park(ctx, op, s, time.Now().Add(r.c.config.Poll), "", string(more))
		}
		if row.Attempts++; err != nil && transient(err) && row.Attempts < 3 {
			return true, r.park(ctx, op, s, time.Now().Add(r.c.config.Backoff<<(row.Attempts-1)), "", "the next try to undo, after: "+sentence(err))
		}
		if err != nil {
			r.log.Warn("step cannot be undone", "step", s.name, "error", err)
			r.event(op, "error", "ERROR", fmt.Sprintf("Step %q could not be undone: %s", s.name, sentence(err)))
			row.Error, op.Rec.Unclean = leftBehind(row.Error, s.name), true
			r.leftMedium(op, s)
		} else {
			r.event(op, "undo", "INFO", fmt.Sprintf("Step %q was undone.", s.name))
		}
	}
	row.Step--
	row.Attempts, row.StepSince, row.StepLimit = 0, time.Now(), time.Time{}
	row.StepName = ""
	if row.Step >= 0 {
		row.StepName = r.steps[row.Step].name
	}
	return false, r.save(ctx, op, nil)
}
