package ops

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// OperationQuery chooses among the live operations; see store.OperationQuery.
type OperationQuery = store.OperationQuery

// Why answers what a node's operation is doing, waiting for what, since when, until when, and what happens
// next.
func (s *Service) Why(ctx context.Context, c Caller, ident string) (*metal.Why, error) {
	o, err := s.operation(ctx, c, ident, "ingot:node:why", (*store.Tx).LiveOperation)
	if err != nil {
		return nil, err
	}
	return &o.Why, nil
}

// Operation tells of a node's live operation or, if there is none, of the last; fault.NotFound if there was
// never one.
func (s *Service) Operation(ctx context.Context, c Caller, ident string) (*metal.Operation, error) {
	o, err := s.operation(ctx, c, ident, "ingot:node:operation", (*store.Tx).LastOperation)
	if err == nil && o.UUID == "" {
		return nil, fault.New(fault.NotFound, "Node %s has had no operation.", ident)
	}
	return o, err
}

func (s *Service) operation(ctx context.Context, c Caller, ident string, rule policy.Rule, find func(*store.Tx, int64) (*store.Operation, error)) (out *metal.Operation, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, rule)
		if err != nil {
			return err
		}
		o, err := find(tx, n.ID)
		if err != nil {
			return err
		}
		if o == nil {
			out = &metal.Operation{Why: metal.Why{Node: n.UUID, State: n.ProvisionState, LastError: n.LastError, Next: resting(n.LastError) + maintained(n) + uncleaned(n)}}
			return beside(tx, n, out)
		}
		now, err := tx.Now()
		if err != nil {
			return err
		}
		_, err = s.hardware(tx, o.Driver, o.Group)
		out = view(&store.OperationOf{Operation: *o, Node: n.UUID, Name: n.Name, State: n.ProvisionState}, n.LastError, err == nil, now)
		if err := s.waitsInLine(tx, o, out); err != nil {
			return err
		}
		out.Next += maintained(n) + uncleaned(n)
		return cmp.Or(polling(tx, n, o, out), beside(tx, n, out))
	})
	return out, err
}

// polling adds where an agent is asked that is only polled, and what came of it.
func polling(tx *store.Tx, n *metal.Node, o *store.Operation, out *metal.Operation) error {
	if o.Status != store.Live || o.WaitingFor != metal.WaitAgent && o.WaitingFor != metal.WaitUnhold {
		return nil
	}
	p, err := tx.PollOf(n.ID)
	if err != nil || p == nil || p.Said() == "" {
		return err
	}
	out.WaitingFor += " (" + p.Said() + ")"
	return nil
}

// Operations lists live operations, oldest first; to a project, those of the nodes it owns.
func (s *Service) Operations(ctx context.Context, c Caller, q OperationQuery) (out []*metal.Operation, err error) {
	if q.Owner, err = c.listing("ingot:operation:list_all", "ingot:operation:list"); err != nil {
		return nil, err
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		rows, err := tx.LiveOperations(q)
		if err != nil {
			return err
		}
		served := map[[2]string]bool{}
		for i := range rows {
			o := &rows[i]
			key := [2]string{o.Driver, o.Group}
			if _, asked := served[key]; !asked {
				_, err := s.hardware(tx, o.Driver, o.Group)
				served[key] = err == nil
			}
			out = append(out, view(o, "", served[key], now))
		}
		return nil
	})
	return out, err
}

// view is the one place where a row becomes what people read.
func view(o *store.OperationOf, lastError string, served bool, now time.Time) *metal.Operation {
	out := &metal.Operation{UUID: o.UUID, Status: string(o.Status), NodeName: o.Name, Why: why(o, lastError), Driver: o.Driver, Group: o.Group,
		Exclusive: o.Exclusive, Worker: o.Worker, Abort: o.Abort, Error: o.Error, RequestedBy: o.RequestedBy, RequestID: o.RequestID,
		CreatedAt: o.CreatedAt, FinishedAt: moment(o.FinishedAt)}
	if o.Status != store.Live {
		return out
	}
	w := &out.Why
	w.WaitingFor, w.Limit = o.WaitingWhy, moment(o.StepLimit)
	out.Event = o.WaitingFor
	if !o.Queued { // that is due when somebody says so
		out.DueAt = moment(o.DueAt)
	}
	if o.LeaseOwner != "" && o.LeaseUntil.After(now) {
		w.Holder, out.LeaseUntil = o.LeaseOwner, moment(o.LeaseUntil)
	}
	if o.Progress != "" {
		var p metal.Progress
		if json.Unmarshal([]byte(o.Progress), &p) == nil {
			w.Progress = &p
		}
	}
	w.Next = next(&o.Operation, served, now)
	return out
}

// why is what is so of every operation, also of one that ended.
func why(o *store.OperationOf, lastError string) metal.Why {
	w := metal.Why{Node: o.Node, State: o.State, LastError: lastError, Verb: o.Verb, Plan: o.Plan, Step: o.StepName, StepIndex: o.Step,
		StepsTotal: o.StepsTotal, Undoing: o.Undoing, Attempts: o.Attempts, Next: resting(lastError)}
	since := o.StepSince
	w.Since = &since
	return w
}

// next says what will happen to a live operation, and when.
func next(o *store.Operation, served bool, now time.Time) string {
	var said string
	switch {
	case o.Abort != "":
		said = fmt.Sprintf("It will be stopped: %s asked for an abort.", o.Abort)
	case o.LeaseOwner != "" && o.LeaseUntil.After(now):
		said = fmt.Sprintf("Conductor %s is working on it now.", o.LeaseOwner)
	case o.LeaseOwner != "":
		said = fmt.Sprintf("Conductor %s stopped answering at %s; the next conductor to look takes over.", o.LeaseOwner, stamp(o.LeaseUntil))
	case !served:
		said = fmt.Sprintf("Nobody works on it: no conductor that runs serves driver %s for conductor group %q.", o.Driver, o.Group)
	case o.Queued:
		said = inLine + "."
	case o.WaitingFor == metal.WaitUnhold && o.DueAt.After(now):
		said = "It is held, for as long as nobody asks for unhold, which goes on with the next step, or abort."
	case o.DueAt.After(now) && o.WaitingFor != "":
		said = fmt.Sprintf("It goes on as soon as that happens, and looks again at %s.", stamp(o.DueAt))
	case o.DueAt.After(now):
		said = fmt.Sprintf("It looks again at %s.", stamp(o.DueAt))
	default:
		said = "It is due: the next free conductor takes it."
	}
	if !o.StepLimit.IsZero() {
		said += fmt.Sprintf(" The step fails at %s.", stamp(o.StepLimit))
	}
	return said
}

func resting(lastError string) string {
	if lastError != "" {
		return "Nothing is under way: the last operation failed. Mend the cause and ask again."
	}
	return "Nothing is under way; the node waits for a request."
}

// maintained is what maintenance means for whoever wonders why a node does not go on.
func maintained(n *metal.Node) string {
	switch {
	case !n.Maintenance:
		return ""
	case n.Fault != "":
		return fmt.Sprintf(" It is in maintenance, with the fault %q: much of what is asked of it is refused until that ends.", n.Fault)
	}
	return " It is in maintenance: much of what is asked of it is refused until that ends."
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// moment is nil for the zero time.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
