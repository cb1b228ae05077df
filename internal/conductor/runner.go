package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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
	hw    Hardware
	log   *slog.Logger
	abort atomic.Pointer[string] // who asked to stop it
}

// errStop ends the walk without an outcome: the lease is lost, or the process ends.
var errStop = errors.New("the walk stops here")

// work walks a claimed operation. It never returns an error: what went wrong is in the row and the log.
func (c *Conductor) work(ctx context.Context, row *store.Operation) {
	log := c.log.With("op", row.UUID, "plan", row.Plan)
	r := &runner{c: c, hw: c.hardware[row.Driver], log: log}
	r.askAbort(row.Abort)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		defer cancel()
		r.keepLease(ctx, *row)
	}()
	op, err := r.load(ctx, row)
	if err == nil {
		r.log = log.With("node", op.Node.UUID)
		err = r.walk(ctx, op)
	}
	stopped := ctx.Err() != nil
	cancel()
	<-kept
	switch {
	case err == nil:
	case errors.Is(err, store.ErrFenced):
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
	end := time.Now().Add(r.c.config.Lease)
	tick := time.NewTicker(r.c.config.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		var abort string
		err := r.c.db.Write(ctx, func(tx *store.Tx) (err error) {
			abort, err = tx.Renew(&row, r.c.config.Lease)
			return err
		})
		switch {
		case err == nil:
			end = asked.Add(r.c.config.Lease)
			r.askAbort(abort)
		case errors.Is(err, store.ErrFenced), time.Now().After(end.Add(-r.c.config.Lease / 3)):
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
	op := &Op{row: row, config: &r.c.config}
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
	if err := json.Unmarshal(row.Record, &op.Rec); err != nil {
		return nil, fmt.Errorf("read the record of operation %s: %w", row.UUID, err)
	}
	return op, nil
}

// walk runs steps until the operation waits or ends.
func (r *runner) walk(ctx context.Context, op *Op) error {
	row := op.row
	if from, err := r.tookOver(ctx, row); err != nil {
		return err
	} else if from != "" {
		r.log.Info("operation taken over", "from", from, "step", row.StepName)
		r.event(op, "takeover", "INFO", fmt.Sprintf("Conductor %s took the operation over from %s at step %q.", r.c.config.Host, from, row.StepName))
	}
	row.Worker = r.c.process
	if r.plan = plans[metal.Plan(row.Plan)]; r.plan == nil || row.PlanVersion != metal.Plan(row.Plan).Version() {
		r.plan = &plan{fail: metal.EventFail}
		return r.end(ctx, op, fault.New(fault.Internal, "this server does not know version %d of plan %q", row.PlanVersion, row.Plan))
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if who := r.abort.Load(); who != nil && !row.Undoing {
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
		case row.Step >= len(r.plan.steps):
			return r.end(ctx, op, nil)
		default:
			parked, err = r.runStep(ctx, op)
		}
		if err != nil || parked {
			return err
		}
	}
}

// aliveLimit is how long a conductor that gives no sign of life counts as one that works; it gives one every
// 10 seconds.
const aliveLimit = time.Minute

// tookOver says from whom an operation was taken over, "" if it was not: from a holder whose lease ran out,
// or, of an operation that was waiting, from a process that walked it and is gone. Conductors that are alive
// pass a waiting operation to each other, and that is no news.
func (r *runner) tookOver(ctx context.Context, row *store.Operation) (string, error) {
	_, last, _ := strings.Cut(row.Worker, "@")
	switch {
	case row.TakenOverFrom != "" && row.TakenOverFrom != r.c.config.Host:
		return row.TakenOverFrom, nil
	case row.TakenOverFrom != "" || last == r.c.config.Host && row.Worker != r.c.process:
		return "an earlier process of that name", nil
	case last == "" || row.Worker == r.c.process:
		return "", nil
	}
	var all []store.Conductor
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		all, err = tx.Conductors(aliveLimit)
		return err
	})
	if err != nil || slices.ContainsFunc(all, func(c store.Conductor) bool { return c.Hostname == last && c.Alive }) {
		return "", err
	}
	return last, nil
}

// runStep runs the current step once and saves what came of it. parked: the operation waits, the lease
// was given back.
func (r *runner) runStep(ctx context.Context, op *Op) (parked bool, err error) {
	row, s := op.row, &r.plan.steps[op.row.Step]
	if s.skip != nil && s.skip(op) {
		return false, r.advance(ctx, op, "")
	}
	now := time.Now()
	if row.StepName != s.name {
		row.StepName, row.StepSince, row.StepLimit, row.Attempts, row.Tried = s.name, now, now.Add(s.within(&r.c.config)), 0, false
		row.WaitingFor, row.WaitingWhy, row.Progress = "", "", ""
		if err := r.save(ctx, op, nil); err != nil {
			return false, err
		}
	}
	if now.After(row.StepLimit) {
		return false, r.fail(ctx, op, r.overdue(op, s))
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
	call, cancel := context.WithDeadline(ctx, row.StepLimit)
	outcome, err := run(r, call, op)
	cancel()
	if ctx.Err() != nil {
		return false, errStop // what it did stays to be found by whoever resumes
	}
	if err != nil {
		return r.retry(ctx, op, s, err)
	}
	switch outcome.kind {
	case "again":
		return true, r.park(ctx, op, s, time.Now().Add(outcome.after), "", outcome.why)
	case "wait":
		return true, r.park(ctx, op, s, row.StepLimit, outcome.event, outcome.why)
	}
	return false, r.advance(ctx, op, fmt.Sprintf("Step %q is done.", s.name))
}

func (r *runner) overdue(op *Op, s *step) error {
	if op.row.WaitingWhy != "" {
		return fault.New(fault.Unavailable, "time is over: for %s it waited for %s", s.within(&r.c.config), op.row.WaitingWhy)
	}
	return fault.New(fault.Unavailable, "time is over: it did not end within %s", s.within(&r.c.config))
}

// retry decides what a failed try means: another one later, or the end.
func (r *runner) retry(ctx context.Context, op *Op, s *step, cause error) (parked bool, err error) {
	row := op.row
	tries := s.tries
	if tries == 0 {
		tries = 3
	}
	row.Attempts++
	if !transient(cause) || row.Attempts >= tries {
		return false, r.fail(ctx, op, cause)
	}
	pause := r.c.config.Backoff << min(row.Attempts-1, 4)
	r.log.Info("step failed, to be tried again", "step", s.name, "attempt", row.Attempts, "error", cause)
	r.event(op, "retry", "INFO", fmt.Sprintf("Step %q failed (%d of %d tries): %s", s.name, row.Attempts, tries, sentence(cause)))
	row.Tried = false
	return true, r.park(ctx, op, s, time.Now().Add(pause), "", "the next try, after: "+sentence(cause))
}

// transient tells whether trying again could help.
func transient(err error) bool {
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable, fault.Locked:
		return true
	}
	return false
}

// sentence is what people are told of an error: its public part, or for ours all of it.
func sentence(err error) string {
	if s, ok := fault.PublicOf(err); ok {
		return s
	}
	return err.Error()
}

// undoStep undoes the current step, if it has an undo, and goes one back. An undo that keeps failing is
// recorded and passed over: nothing is stuck.
func (r *runner) undoStep(ctx context.Context, op *Op) (parked bool, err error) {
	row, s := op.row, &r.plan.steps[op.row.Step]
	if s.undo != nil && (s.skip == nil || !s.skip(op)) {
		call, cancel := context.WithTimeout(ctx, 2*time.Minute)
		err := s.undo(r, call, op)
		cancel()
		if ctx.Err() != nil {
			return false, errStop
		}
		if row.Attempts++; err != nil && transient(err) && row.Attempts < 3 {
			return true, r.park(ctx, op, s, time.Now().Add(r.c.config.Backoff<<(row.Attempts-1)), "", "the next try to undo, after: "+sentence(err))
		}
		if err != nil {
			r.log.Warn("step cannot be undone", "step", s.name, "error", err)
			r.event(op, "error", "ERROR", fmt.Sprintf("Step %q could not be undone: %s", s.name, sentence(err)))
			row.Error = leftBehind(row.Error, s.name)
		} else {
			r.event(op, "undo", "INFO", fmt.Sprintf("Step %q was undone.", s.name))
		}
	}
	row.Step--
	row.Attempts, row.StepSince, row.StepLimit = 0, time.Now(), time.Time{}
	row.StepName = ""
	if row.Step >= 0 {
		row.StepName = r.plan.steps[row.Step].name
	}
	return false, r.save(ctx, op, nil)
}

// leftBehind adds to an error that a step could not be undone: whoever reads it should know what may still be
// attached to the machine.
func leftBehind(text, step string) string {
	const begin = "; could not be undone: "
	if strings.Contains(text, begin) {
		return text + ", " + step
	}
	return text + begin + step
}

// fail turns the walk round: what was done is undone, from the current step back.
func (r *runner) fail(ctx context.Context, op *Op, cause error) error {
	row := op.row
	r.log.Warn("operation failed", "step", row.StepName, "error", cause)
	row.Error = fmt.Sprintf("%s: step %q: %s", row.Plan, row.StepName, sentence(cause))
	if b, err := json.Marshal(map[string]any{"kind": fault.KindOf(cause), "public": sentence(cause)}); err == nil {
		row.Result = string(b)
	}
	op.changes = nil
	r.event(op, "error", "ERROR", fmt.Sprintf("Step %q failed: %s", row.StepName, sentence(cause)))
	row.Undoing, row.Attempts, row.WaitingFor, row.WaitingWhy, row.Progress = true, 0, "", "", ""
	row.Step = min(row.Step, len(r.plan.steps)-1)
	return r.save(ctx, op, nil)
}

// advance saves the step's outcome and enters the next step.
func (r *runner) advance(ctx context.Context, op *Op, why string) error {
	row := op.row
	if why != "" {
		r.log.Info("step done", "step", row.StepName)
		r.event(op, "step", "INFO", why)
	}
	row.Step++
	row.Attempts, row.Tried, row.WaitingFor, row.WaitingWhy, row.Progress = 0, false, "", "", ""
	op.Rec.AskedAt, op.Rec.Progress = time.Time{}, nil
	resume := row.Step >= len(r.plan.steps) || !r.plan.steps[row.Step].outside
	if row.Step < len(r.plan.steps) {
		s := r.plan.steps[row.Step]
		row.StepName, row.StepSince, row.StepLimit = s.name, time.Now(), time.Now().Add(s.within(&r.c.config))
	}
	return r.save(ctx, op, func(tx *store.Tx, n *metal.Node) error {
		if resume {
			return r.moveIfMay(tx, n, op, metal.EventResume, "The machine has answered.")
		}
		return nil
	})
}

// park saves the step's memory and gives the lease back until due.
func (r *runner) park(ctx context.Context, op *Op, s *step, due time.Time, event, why string) error {
	row := op.row
	row.DueAt, row.WaitingFor, row.WaitingWhy = due, event, why
	row.LeaseOwner, row.LeaseUntil = "", time.Time{}
	if p := op.Rec.Progress; p != nil {
		if b, err := json.Marshal(p); err == nil {
			row.Progress = string(b)
		}
	}
	return r.save(ctx, op, func(tx *store.Tx, n *metal.Node) error {
		if event != "" {
			if late, err := missed(tx, n, op, event); err != nil || late {
				row.DueAt = time.Now()
				return err
			}
		}
		if s.outside && !row.Undoing {
			return r.moveIfMay(tx, n, op, metal.EventWait, "It waits for "+why+".")
		}
		return nil
	})
}

// missed tells whether the event happened while the step was deciding to wait for it.
func missed(tx *store.Tx, n *metal.Node, op *Op, event string) (bool, error) {
	if event != metal.WaitAgent {
		return false, nil
	}
	a, err := tx.Agent(n)
	return a != nil && a.Boot == op.Rec.Boot && !a.LastHeartbeat.IsZero(), err
}

// end closes the operation and moves the node: by the plan's done event, or by fail with the cause as
// last_error.
func (r *runner) end(ctx context.Context, op *Op, cause error) error {
	row := op.row
	row.Status, row.LeaseOwner, row.LeaseUntil = store.Done, "", time.Time{}
	if cause != nil {
		row.Status, row.Error = store.Failed, cause.Error()
	}
	return r.save(ctx, op, func(tx *store.Tx, n *metal.Node) error {
		if cause != nil {
			if row.Exclusive {
				n.LastError, n.TargetPowerState = row.Error, ""
			}
			if r.plan.onFail != nil {
				r.plan.onFail(op, n)
			}
			if r.plan.fail == "" {
				return nil
			}
			return r.moveIfMay(tx, n, op, r.plan.fail, row.Error)
		}
		event := r.plan.done
		if event == metal.EventDone && n.ProvisionState == metal.Cleaning && n.Retired {
			event = metal.EventManage // a retired machine is not offered again
		}
		if event == "" {
			return nil
		}
		if err := r.move(tx, n, op, event, fmt.Sprintf("The plan %q is done.", row.Plan)); err != nil {
			return err
		}
		return r.follow(tx, op, n)
	})
}

// move transitions the node through the life table and appends it to the history.
func (r *runner) move(tx *store.Tx, n *metal.Node, op *Op, e metal.Event, why string) error {
	to, ok := metal.Next(n.ProvisionState, e)
	if !ok {
		return fmt.Errorf("event %q leads nowhere from %q", e, n.ProvisionState)
	}
	now, err := tx.Now()
	if err != nil {
		return err
	}
	from := n.ProvisionState
	n.ProvisionState, n.TargetProvisionState, n.ProvisionUpdatedAt = to, metal.Target(to, ""), now
	return tx.AppendEvent(n.ID, metal.HistoryEvent{Operation: op.row.UUID, Kind: "transition", Who: r.c.config.Host, Verb: op.row.Verb,
		Step: op.row.StepName, From: from, To: to, Why: why})
}

// moveIfMay moves where the life table knows the event; states that show no waiting stay.
func (r *runner) moveIfMay(tx *store.Tx, n *metal.Node, op *Op, e metal.Event, why string) error {
	if slices.Contains(metal.Events(n.ProvisionState), e) && op.row.Exclusive {
		return r.move(tx, n, op, e, why)
	}
	return nil
}

// event asks for a line in the node's history, saved with the outcome.
func (r *runner) event(op *Op, kind, severity, why string) {
	e := metal.HistoryEvent{Operation: op.row.UUID, Kind: kind, Who: r.c.config.Host, Verb: op.row.Verb, Step: op.row.StepName,
		Why: why, Severity: severity}
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		if !op.row.Exclusive {
			return nil // questions leave no trace
		}
		return tx.AppendEvent(n.ID, e)
	})
}
