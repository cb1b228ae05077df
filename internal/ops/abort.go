package ops

import (
	"fmt"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// abort asks the live operation to stop; its conductor does, at the next moment that allows it. A step that must
// not be stopped in the middle shows abort_after until it ends. A service that failed has no operation any more:
// what is left to do is to boot the instance.
func (rq *request) abort() error {
	n := rq.node
	if min := metal.States[n.ProvisionState].Abort; rq.by.Minor < min {
		return fault.New(fault.NotAcceptable, "Aborting in state %q needs microversion 1.%d or newer.", n.ProvisionState, min)
	}
	if n.ProvisionState == metal.ServiceFailed {
		return rq.restore()
	}
	if rq.live == nil {
		return fault.New(fault.Conflict, "Nothing is under way on node %s that could be aborted.", n.UUID)
	}
	if err := rq.tx.AskAbort(n.ID, rq.by.who()); err != nil {
		return err
	}
	for _, step := range []map[string]any{n.CleanStep, n.DeployStep, n.ServiceStep} {
		if abortable, said := step["abortable"].(bool); said && !abortable {
			step["abort_after"] = true
		}
	}
	if err := rq.tx.SaveNode(n); err != nil {
		return err
	}
	return rq.said("An abort was asked for.")
}

// restore makes a node whose service failed active again. A node in maintenance is left alone: somebody has to
// look at the machine first.
func (rq *request) restore() error {
	n := rq.node
	if n.Maintenance {
		return fault.New(fault.Conflict, "Node %s is in maintenance: look at the machine, clear maintenance, and abort the service then.", n.UUID)
	}
	if rq.live != nil {
		return locked(n, rq.live)
	}
	o := newOperation(n, metal.PlanRestore, string(rq.Verb), rq.by, rq.ask)
	if err := rq.tx.CreateOperation(o); err != nil {
		return err
	}
	n.LastError = ""
	if err := transition(rq.tx, n, metal.EventAbort, "", rq.by, string(rq.Verb), o.UUID, fmt.Sprintf("%s gave the service up; the instance boots again.", rq.by.who())); err != nil {
		return err
	}
	return rq.tx.SaveNode(n)
}

// unhold lets an operation that is held go on. What was asked for stays its target.
func (rq *request) unhold() error {
	n := rq.node
	switch {
	case rq.live == nil:
		return fault.New(fault.Conflict, "Nothing is under way on node %s that could go on.", n.UUID)
	case rq.live.Undoing || rq.live.Abort != "":
		return locked(n, rq.live)
	}
	why := fmt.Sprintf("%s asked for %q.", rq.by.who(), rq.Verb)
	if err := transition(rq.tx, n, metal.EventUnhold, n.TargetProvisionState, rq.by, string(rq.Verb), rq.live.UUID, why); err != nil {
		return err
	}
	if err := rq.tx.SaveNode(n); err != nil {
		return err
	}
	return rq.tx.Wake(n.ID, metal.WaitUnhold)
}

func (rq *request) said(why string) error {
	return rq.tx.AppendEvent(rq.node.ID, metal.HistoryEvent{Kind: "request", Who: rq.by.who(), Verb: string(rq.Verb), Why: why})
}
