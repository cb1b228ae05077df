package conductor

import (
	"context"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// cleanPlan is the order of work behind "provide", and after every tear down: nothing of the last user is
// left when a machine becomes available.
var cleanPlan = plan{
	done: metal.EventDone,
	fail: metal.EventFail,
	steps: concat([]step{
		{name: "skip cleaning", class: repeatable, run: (*runner).uncleaned, limit: time.Minute, skip: func(op *Op) bool { return !notCleaned(op) }},
	}, unless(notCleaned, concat([]step{
		{name: "check clean steps", class: repeatable, run: (*runner).composeBefore, limit: time.Minute},
	}, bootAgent(cleanCallback, forRamdisk(enterNetwork(metal.CleaningNetwork))...), []step{
		{name: getSteps(metal.CleanSteps), class: repeatable, run: (*runner).composeWithAgent, limit: 10 * time.Minute, tries: 10, skip: noRamdisk, outside: true},
		{flow: true},
	}, leaveAgent, forRamdisk(leaveNetwork(metal.CleaningNetwork)), []step{
		compareStep,
		{name: "finish cleaning", class: repeatable, run: (*runner).cleaned, limit: time.Minute},
	}))),
	onFail: cleanFailed,
}

// manualPlan is the order of work behind "clean": the caller's steps, in the caller's order. The ramdisk is booted
// if one of them needs it.
var manualPlan = plan{
	done: metal.EventManage,
	fail: metal.EventFail,
	want: metal.Manageable,
	steps: concat([]step{
		{name: "check clean steps", class: repeatable, run: (*runner).composeBefore, limit: time.Minute},
	}, bootAgent(cleanCallback, forRamdisk(enterNetwork(metal.CleaningNetwork))...), []step{
		{name: getSteps(metal.CleanSteps), class: repeatable, run: (*runner).composeWithAgent, limit: 10 * time.Minute, tries: 10, skip: noRamdisk, outside: true},
		{flow: true},
	}, leaveAgent, forRamdisk(leaveNetwork(metal.CleaningNetwork)), []step{
		{name: "finish cleaning", class: repeatable, run: (*runner).cleaned, limit: time.Minute},
	}),
	onFail: cleanFailed,
}

// cleanFailed sets maintenance if a step was begun and nobody asked to stop: the disks may be half erased, and a
// person should look before the machine is used.
func cleanFailed(op *Op, n *metal.Node) {
	n.CleanStep = map[string]any{}
	if op.Rec.Ran && !op.Rec.Aborted {
		n.Maintenance, n.Fault, n.MaintenanceReason = true, "clean failure", op.row.Error
	}
}

// unless skips all steps of a list where the condition holds, besides their own.
func unless(cond func(*Op) bool, steps []step) []step {
	for i := range steps {
		own := steps[i].skip
		steps[i].skip = func(op *Op) bool { return cond(op) || own != nil && own(op) }
	}
	return steps
}

// notCleaned: the operator switched automated cleaning off, for this node or for all.
func notCleaned(op *Op) bool { return !op.Rec.Clean }

// composeBefore composes what can be known before the agent runs, so that what cannot work is refused while the
// machine is as it was; and decides whether the agent is needed.
func (r *runner) composeBefore(ctx context.Context, op *Op) (Outcome, error) {
	op.Rec.Direct = r.hw.Deploys == ByAgent
	automatic := metal.Plan(op.row.Plan) == metal.PlanClean
	if err := r.planOSService(ctx, op); err != nil {
		return Outcome{}, err
	}
	offer := offers{core: r.serviceOffers(op), driver: r.driverSteps(op), final: !op.Rec.Direct || op.Rec.Ask.NoRamdisk}
	if automatic {
		op.Rec.Ramdisk = op.Rec.Direct
	}
	flow, err := r.composed(op, offer)
	if err != nil {
		return Outcome{}, err
	}
	if !automatic {
		op.Rec.Ramdisk = op.Rec.Direct && !op.Rec.Ask.NoRamdisk && (needsRamdisk(flow) || op.Rec.Ask.Restore)
	}
	return r.compose(op, flow)
}

// composeWithAgent composes for good, now that the agent has said what it offers.
func (r *runner) composeWithAgent(ctx context.Context, op *Op) (Outcome, error) {
	steps, err := r.agentSteps(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	flow, err := r.composed(op, offers{core: r.serviceOffers(op), driver: r.driverSteps(op), agent: steps, final: true})
	if err != nil {
		return Outcome{}, err
	}
	if len(flow) == 0 {
		return Outcome{}, fault.New(fault.Invalid, "neither the agent nor the driver offers an enabled clean step: nothing would be erased. "+
			"Enable one, or set automated_clean to false on the node.")
	}
	return r.compose(op, flow)
}

func (r *runner) composed(op *Op, offer offers) ([]flowStep, error) {
	if metal.Plan(op.row.Plan) == metal.PlanClean {
		return offer.automatic(r.c.config.StepPriority), nil
	}
	return offer.inOrder(op.Rec.Ask.Steps)
}

// compose makes a flow the operation's, if it can work.
func (r *runner) compose(op *Op, flow []flowStep) (Outcome, error) {
	if _, err := places(flow, op.Rec.Ramdisk && op.kind() != metal.DeploySteps, op.Rec.Direct); err != nil {
		return Outcome{}, err
	}
	op.Rec.Flow = flow
	return done, nil
}

func (r *runner) cleaned(ctx context.Context, op *Op) (Outcome, error) {
	r.readSettings(ctx, op)
	automatic := metal.Plan(op.row.Plan) == metal.PlanClean
	op.Change(func(n *metal.Node) {
		n.CleanStep = map[string]any{}
		if automatic {
			delete(n.InternalInfo, metal.NotCleaned)
		}
	})
	return done, nil
}
