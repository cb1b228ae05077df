package conductor

import (
	"context"
	"fmt"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// lookAnyway is after what time an operation looks itself how a command goes on, when its agent does not answer.
const lookAnyway = time.Minute

// asking says what the agent is asked for meanwhile, where it is only polled.
func (o Outcome) asking(a store.Awaited) Outcome {
	o.awaits = a
	return o
}

// toEnd waits for the end of a command that the agent runs.
func (r *runner) toEnd(op *Op, why string, args ...any) Outcome {
	if !op.Rec.PollOnly {
		return again(r.c.config.Poll, why, args...)
	}
	o := waitFor(metal.WaitAgent, why, args...).asking(store.AwaitCommand)
	o.after = lookAnyway
	return o
}

// havePolled has the agent asked while the operation waits.
func (r *runner) havePolled(tx *store.Tx, n *metal.Node, op *Op) error {
	if !op.Rec.PollOnly || op.awaits == "" || op.Rec.Boot == "" {
		return nil
	}
	now, err := tx.Now()
	if err != nil {
		return err
	}
	a, err := tx.Agent(n)
	if err != nil || a == nil || a.Boot != op.Rec.Boot {
		return err
	}
	if op.awaits == store.AwaitSign {
		now = now.Add(spread(r.c.config.PollInterval))
	}
	return tx.AwaitAgent(&store.Poll{NodeID: n.ID, Boot: a.Boot, Awaits: op.awaits, Driver: op.row.Driver, Group: op.row.Group, DueAt: now,
		Wait: fmt.Sprintf("%s/%d/%s/%d", op.row.UUID, op.row.Step, op.awaits, op.Rec.Sent)})
}

// unfit is why the agent that is waited for is never going to do; nil if it may.
func (r *runner) unfit(ctx context.Context, op *Op) error {
	if !op.Rec.PollOnly {
		return nil
	}
	return r.c.db.Read(ctx, func(tx *store.Tx) error {
		p, err := tx.PollOf(op.Node.ID)
		if err != nil || p == nil || p.Boot != op.Rec.Boot || p.Refusal == "" {
			return err
		}
		return fault.New(fault.Invalid, "%s", p.Refusal)
	})
}

// meeting says what is to be seen to so that the agent and this server find each other: whoever calls the other.
func (r *runner) meeting(ctx context.Context, op *Op) string {
	if !op.Rec.PollOnly {
		return "whether it reaches " + r.c.config.AgentURL + r.whereabouts(ctx, op)
	}
	said := "nobody has been asked yet"
	err := r.c.db.Read(ctx, func(tx *store.Tx) error {
		p, err := tx.PollOf(op.Node.ID)
		if err == nil && p != nil && p.Boot == op.Rec.Boot && p.Said() != "" {
			said = p.Said()
		}
		return err
	})
	if err != nil {
		said = sentence(err)
	}
	return "whether this server reaches it (" + said + ")" + r.whereabouts(ctx, op)
}
