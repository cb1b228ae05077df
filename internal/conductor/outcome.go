package conductor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

func (r *runner) overdue(ctx context.Context, op *Op, s *step) error {
	hint := ""
	if s.late != nil {
		look, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		why := ""
		_, err := r.guarded(func() (Outcome, error) {
			why = s.late(r, look, op)
			return done, nil
		})
		if err == nil && why != "" {
			hint = "; " + why
		}
	}
	if op.row.WaitingWhy != "" {
		return fault.New(fault.Unavailable, "time is over: for %s it waited for %s%s", s.within(&r.c.config, op), op.row.WaitingWhy, hint)
	}
	return fault.New(fault.Unavailable, "time is over: it did not end within %s%s", s.within(&r.c.config, op), hint)
}

// retry decides what a failed try means: another one later, or the end.
func (r *runner) retry(ctx context.Context, op *Op, s *step, cause error) (parked bool, err error) {
	row := op.row
	tries := s.tries
	if tries == 0 {
		tries = 3
	}
	row.Attempts++
	if !transient(cause) || row.Attempts >= tries && !postponed(cause) {
		return false, r.fail(ctx, op, cause)
	}
	pause := r.c.config.Backoff << min(row.Attempts-1, 4)
	r.log.Info("step failed, to be tried again", "step", s.name, "attempt", row.Attempts, "error", cause)
	r.event(op, "retry", "INFO", fmt.Sprintf("Step %q failed (%d of %d tries): %s", s.name, row.Attempts, tries, sentence(cause)))
	row.Tried = false
	return true, r.park(ctx, op, s, time.Now().Add(pause), "", "the next try, after: "+sentence(cause))
}

// postponed tells whether a BMC said "not now" (it is in POST, as a rule): that is asked again until the step's limit.
func postponed(err error) bool {
	return fault.KindOf(err) == fault.Locked && !errors.Is(err, agentapi.ErrBusy)
}

// transient tells whether trying again could help.
func transient(err error) bool {
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable, fault.Locked:
		return true
	}
	return false
}

// sentence is what people are told of an error: its public part, or for ours all of it. A machine may have said it: it is
// text that every database takes, for an operation that cannot be saved would be tried for ever.
func sentence(err error) string {
	s, ok := fault.PublicOf(err)
	if !ok {
		s = err.Error()
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "")
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
	row.Undoing, row.Attempts, row.WaitingFor, row.WaitingWhy, row.Progress, row.StepSince = true, 0, "", "", "", time.Now()
	row.Step = min(row.Step, len(r.steps)-1)
	return r.save(ctx, op, nil)
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

// advance saves the step's outcome and enters the next step.
func (r *runner) advance(ctx context.Context, op *Op, why string) error {
	if why != "" {
		r.log.Info("step done", "step", op.row.StepName)
		r.event(op, "step", "INFO", why)
	}
	return r.enter(ctx, op, op.row.Step+1, "The machine has answered.")
}

// goBack enters an earlier step again.
func (r *runner) goBack(ctx context.Context, op *Op, o Outcome) error {
	i := slices.IndexFunc(r.steps, func(s step) bool { return s.name == o.to })
	if i < 0 || i > op.row.Step {
		return r.fail(ctx, op, fault.New(fault.NotSupported, "a defect of this server: there is no earlier step %q", o.to))
	}
	r.log.Info("an earlier step is entered again", "step", o.to)
	r.event(op, "step", "INFO", o.why)
	return r.enter(ctx, op, i, o.why)
}

// enter makes the step of that number the current one. What the last step composed counts from here on. resumed says
// why a node that waited does not any more.
func (r *runner) enter(ctx context.Context, op *Op, index int, resumed string) error {
	row := op.row
	r.list(op)
	row.Step = index
	row.Attempts, row.Tried, row.WaitingFor, row.WaitingWhy, row.Progress = 0, false, "", "", ""
	op.Rec.AskedAt, op.Rec.Unsure, op.Rec.OffAt, op.Rec.Progress, op.Rec.Running, op.Rec.MemoryLooks = time.Time{}, false, time.Time{}, nil, false, 0
	op.Rec.OS.enter()
	resume := row.Step >= len(r.steps) || !r.steps[row.Step].outside
	if row.Step < len(r.steps) {
		s := &r.steps[row.Step]
		row.StepName, row.StepSince, row.StepLimit = s.name, time.Now(), s.until(&r.c.config, op, time.Now())
	}
	return r.save(ctx, op, func(tx *store.Tx, n *metal.Node) error {
		if resume {
			return r.moveIfMay(tx, n, op, metal.EventResume, resumed)
		}
		return nil
	})
}

// never is when an operation is due that only an event makes due.
const never = 100 * 365 * 24 * time.Hour

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
			if err := r.havePolled(tx, n, op); err != nil {
				return err
			}
		}
		switch {
		case row.Undoing:
			return nil
		case event == metal.WaitUnhold:
			return r.moveIfMay(tx, n, op, metal.EventHold, "It is held until somebody asks for unhold or abort.")
		case s.outside:
			return r.moveIfMay(tx, n, op, metal.EventWait, "It waits for "+why+".")
		}
		return nil
	})
}

// missed tells whether the event happened while the step was deciding to wait for it.
func missed(tx *store.Tx, n *metal.Node, op *Op, event string) (bool, error) {
	if event == metal.WaitOSInstall && op.Rec.OS.self() {
		c, err := tx.OSChannel(n)
		return c != nil && c.Deploy == op.row.UUID && c.UpdatedAt.After(op.Rec.OS.Self.HeardAt), err
	}
	if event != metal.WaitAgent {
		return false, nil
	}
	a, err := tx.Agent(n)
	if err != nil || a == nil || a.Boot != op.Rec.Boot || a.LastHeartbeat.After(op.Rec.HeardAt) {
		return a != nil && a.Boot == op.Rec.Boot, err
	}
	if p, err := tx.PollOf(n.ID); err != nil || p != nil && p.Boot == a.Boot && p.Refusal != "" {
		return p != nil, err
	}
	rep, err := tx.Report(n.ID, a.Boot)
	return rep != nil, err
}

// end closes the operation and moves the node: by the plan's done event, or by fail with the cause as
// last_error.
func (r *runner) end(ctx context.Context, op *Op, cause error) error {
	row := op.row
	row.Status, row.LeaseOwner, row.LeaseUntil = store.Done, "", time.Time{}
	if cause != nil {
		row.Status, row.Error = store.Failed, cause.Error()
	}
	err := r.save(ctx, op, func(tx *store.Tx, n *metal.Node) error {
		if cause != nil {
			if row.Exclusive {
				n.TargetPowerState = ""
			}
			if row.Exclusive && !r.untold(op) {
				n.LastError = row.Error
			}
			if r.plan.onFail != nil {
				r.plan.onFail(op, n)
			}
			if err := r.leaveNothing(tx, op, n); err != nil {
				return err
			}
			if row.Plan == string(metal.PlanDeploy) { // nothing is served of an instance that may not be what it says
				if err := tx.RetireInstance(n); err != nil {
					return err
				}
			}
			return r.moveFailed(tx, n, op)
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
	if ref := op.Rec.Ask.Secrets; err == nil && ref != nil && r.c.secrets != nil {
		r.c.secrets.Release(ctx, ref, row.UUID)
	}
	return err
}

// untold: what went wrong is not the node's last error. Nobody asked for it, so that what went wrong before stays told;
// or who asked was waiting and has been told.
func (r *runner) untold(op *Op) bool {
	return unasked(op.row.Verb) || r.plan.quiet && !op.Rec.Begun
}

// moveFailed is how a plan that failed leaves the node. A state that is held knows no failure: what ends it is an
// abort.
func (r *runner) moveFailed(tx *store.Tx, n *metal.Node, op *Op) error {
	event := r.plan.fail
	if event == "" {
		return nil
	}
	if _, knows := metal.Next(n.ProvisionState, event); !knows {
		event = metal.EventAbort
	}
	if err := r.moveIfMay(tx, n, op, event, op.row.Error); err != nil || !op.Rec.Aborted || r.plan.abort == "" {
		return err
	}
	return r.moveIfMay(tx, n, op, r.plan.abort, "The machine is as it was before.")
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
	n.ProvisionState, n.TargetProvisionState, n.ProvisionUpdatedAt, n.UpdatedAt = to, metal.Target(to, r.plan.want), now, now
	n.StampInspection(from, now)
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
