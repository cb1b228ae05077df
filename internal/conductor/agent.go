package conductor

import (
	"context"
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

// agentRow reads the agent of the operation's boot; fault.Conflict if another boot took its place.
func (r *runner) agentRow(ctx context.Context, op *Op) (*store.Agent, error) {
	var a *store.Agent
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		a, err = tx.Agent(op.Node)
		return err
	})
	if err == nil && (a == nil || a.Boot != op.Rec.Boot) {
		return nil, fault.New(fault.Conflict, "the boot of this operation is over: another took its place")
	}
	return a, err
}

// agent connects to the agent of the operation's boot; close it after use.
func (r *runner) agent(ctx context.Context, op *Op) (*agentapi.Client, error) {
	a, err := r.agentRow(ctx, op)
	if err != nil {
		return nil, err
	}
	if a.URL == "" {
		return nil, fault.New(fault.Unavailable, "the agent has not called back yet")
	}
	if op.Rec.PollOnly { // what it answers to whoever asks it from now on is news
		op.Rec.HeardAt = a.LastHeartbeat
	}
	client, err := r.c.agentClient(a, a.URL)
	if err == nil {
		client.Before(metal.Fence)
		client.As(agentapi.Holder{Operation: op.row.ID, Generation: op.row.Generation}) // the agent's fence: agent/server/fence.go
	}
	return client, err
}

// ordered is the nth command of its name since the agent started; the agent keeps all, in order. It is
// how a command is known again after a crash between sending and recording it: a started one is never
// sent twice.
type ordered struct {
	name string // "<extension>.<command>"
	nth  int    // from 0
	what string // for people
	to   string // the start of the agent that it is for; empty: whichever answers
}

// key names the command for agents of ours: operation, boot of the agent, step of the plan, and which command of its
// name. Whoever resumes finds the same.
func (o ordered) key(op *Op) string {
	return fmt.Sprintf("%s/%s/%d/%d", op.row.UUID, op.Rec.Boot, op.row.Step, o.nth)
}

func (o ordered) short() string {
	_, short, _ := strings.Cut(o.name, ".")
	return short
}

// errMismatch: the agent's parts are not those that listed the steps.
var errMismatch = errors.New("the agent's parts are of other versions than those that listed the steps")

// ready is parameters that need no preparation.
func ready(params any) func() (any, error) { return func() (any, error) { return params, nil } }

// command sees to it that the agent has executed a command: it looks whether it was sent, sends it if not,
// and watches it. ended tells that it succeeded, with its result. params are made when the command is sent.
func (r *runner) command(ctx context.Context, op *Op, o ordered, params func() (any, error)) (res agentapi.Result, ended bool, err error) {
	c, err := r.agent(ctx, op)
	if err != nil {
		return res, false, err
	}
	defer c.Close()
	c.For(o.to)
	sent, err := c.Commands(ctx)
	if err != nil {
		return res, false, err
	}
	key := o.key(op)
	found, count := false, 0
	for _, s := range sent {
		if s.Key == key {
			res, found = s, true
			break
		}
		if s.CommandName == o.short() || s.CommandName == o.name {
			if count == o.nth {
				res, found = s, true
			}
			count++
		}
	}
	if !found {
		if count < o.nth {
			return res, false, fault.New(fault.Conflict, "the agent was restarted in the middle of its work: it remembers %d of %d commands", count, o.nth)
		}
		p, err := params()
		if err != nil {
			return res, false, err
		}
		if res, err = c.RunOnce(ctx, key, o.name, p, false); err != nil {
			return res, false, r.refused(ctx, op, busyLater(err))
		}
	}
	switch res.CommandStatus {
	case agentapi.Running:
		if res.Progress != nil {
			res.Progress.What, res.Progress.Message = r.scrubbed(ctx, op, res.Progress.What), r.scrubbed(ctx, op, res.Progress.Message)
		}
		op.Say(res.Progress, time.Now())
		return res, false, nil
	case agentapi.Succeeded:
		return res, true, nil
	}
	if res.CommandStatus == agentapi.VersionMismatch || res.CommandStatus == "VERSION_MISMATCH" {
		return res, false, errMismatch
	}
	if res.CommandError != nil {
		return res, false, fault.New(fault.Invalid, "%s: %s", o.what, r.complaint(ctx, op, res.CommandError.Error()))
	}
	return res, false, fault.New(fault.Invalid, "%s: the agent answered %s", o.what, res.CommandStatus)
}

// busyLater makes a busy agent something to come back to.
func busyLater(err error) error {
	if errors.Is(err, agentapi.ErrBusy) {
		return fault.Wrap(fault.Locked, err, "the agent is busy with another command")
	}
	return err
}

// partingLimit is how long an agent may take to answer when it is told to switch off: its machine may be gone
// before the answer is on its way.
const partingLimit = 20 * time.Second

// stopAgent asks the agent to switch its machine off, once: a machine that is off, or an agent that was
// asked, is left alone. An agent that does not answer is going down; what follows waits for power off and
// does without it.
func (r *runner) stopAgent(ctx context.Context, op *Op) (Outcome, error) {
	if is, err := r.power(ctx, op); err != nil || is == metal.PowerOff {
		return done, err
	}
	if a, err := r.agentRow(ctx, op); err == nil && a.URL == "" {
		return done, nil // a machine that was only heard of is switched off by its BMC
	}
	c, err := r.agent(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	defer c.Close()
	call, cancel := context.WithTimeout(ctx, partingLimit)
	defer cancel()
	sent, err := c.Commands(call)
	if err == nil && !slices.ContainsFunc(sent, func(s agentapi.Result) bool { return strings.HasSuffix(s.CommandName, "power_off") }) {
		if r.c.config.CollectLogs == LogsAlways {
			if err := r.keepLogs(ctx, op); err != nil {
				return Outcome{}, err
			}
		}
		call, cancel := context.WithTimeout(ctx, partingLimit)
		defer cancel()
		_, err = c.RunOnce(call, ordered{name: "standby.power_off"}.key(op), "standby.power_off", struct{}{}, false)
	}
	if errors.Is(err, agentapi.ErrConnection) {
		return done, nil
	}
	return done, err
}
