package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// HistoryQuery pages a node's history; After is the UUID of the last event seen.
type HistoryQuery struct {
	Page
	After string
}

// History lists a node's events, oldest first unless the page says otherwise.
func (s *Service) History(ctx context.Context, ident string, q HistoryQuery) (out []metal.HistoryEvent, err error) {
	if q.After != "" {
		q.Marker = q.After
	}
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(ident)
		if err != nil {
			return err
		}
		out, err = tx.Events(n, q.Page)
		return err
	})
	return out, err
}

// Log is a file kept for a node.
type Log = store.Log

// Logs lists a node's files, newest first.
func (s *Service) Logs(ctx context.Context, ident string) (out []Log, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(ident)
		if err != nil {
			return err
		}
		out, err = tx.Logs(n)
		return err
	})
	return out, err
}

// LogData gives the newest file of that name.
func (s *Service) LogData(ctx context.Context, ident, name string) (out []byte, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(ident)
		if err != nil {
			return err
		}
		out, err = tx.LogData(n, name)
		return err
	})
	return out, err
}

// Why answers what a node's operation is doing, waiting for what, since when, until when, and what happens
// next.
func (s *Service) Why(ctx context.Context, ident string) (*metal.Why, error) {
	var w *metal.Why
	err := s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := tx.Node(ident)
		if err != nil {
			return err
		}
		o, err := tx.LiveOperation(n.ID)
		if err != nil {
			return err
		}
		now, err := tx.Now()
		if err != nil {
			return err
		}
		served := true
		if o != nil {
			_, err := s.hardware(tx, o.Driver, o.Group)
			served = err == nil
		}
		w = why(n, o, served, now)
		return nil
	})
	return w, err
}

func why(n *metal.Node, o *store.Operation, served bool, now time.Time) *metal.Why {
	w := &metal.Why{Node: n.UUID, State: n.ProvisionState, LastError: n.LastError}
	if o == nil {
		w.Next = resting(n)
		return w
	}
	w.Verb, w.Plan, w.Step, w.StepIndex, w.StepsTotal, w.Undoing = o.Verb, o.Plan, o.StepName, o.Step, o.StepsTotal, o.Undoing
	w.Attempts, w.WaitingFor = o.Attempts, o.WaitingWhy
	since := o.StepSince
	w.Since = &since
	if !o.StepLimit.IsZero() {
		limit := o.StepLimit
		w.Limit = &limit
	}
	if o.Progress != "" {
		var p metal.Progress
		if json.Unmarshal([]byte(o.Progress), &p) == nil {
			w.Progress = &p
		}
	}
	held := o.LeaseOwner != "" && o.LeaseUntil.After(now)
	if held {
		w.Holder = o.LeaseOwner
	}
	switch {
	case o.Abort != "":
		w.Next = fmt.Sprintf("It will be stopped: %s asked for an abort.", o.Abort)
	case held:
		w.Next = fmt.Sprintf("Conductor %s is working on it now.", o.LeaseOwner)
	case o.LeaseOwner != "":
		w.Next = fmt.Sprintf("Conductor %s stopped answering at %s; the next conductor to look takes over.", o.LeaseOwner, stamp(o.LeaseUntil))
	case !served:
		w.Next = fmt.Sprintf("Nobody works on it: no conductor that runs serves driver %s for conductor group %q.", o.Driver, o.Group)
	case o.DueAt.After(now) && o.WaitingFor != "":
		w.Next = fmt.Sprintf("It goes on as soon as that happens, and looks again at %s.", stamp(o.DueAt))
	case o.DueAt.After(now):
		w.Next = fmt.Sprintf("It looks again at %s.", stamp(o.DueAt))
	default:
		w.Next = "It is due: the next free conductor takes it."
	}
	if w.Limit != nil {
		w.Next += fmt.Sprintf(" The step fails at %s.", stamp(*w.Limit))
	}
	return w
}

func resting(n *metal.Node) string {
	if n.LastError != "" {
		return "Nothing is under way: the last operation failed. Mend the cause and ask again."
	}
	return "Nothing is under way; the node waits for a request."
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
