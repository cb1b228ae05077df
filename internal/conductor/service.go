package conductor

import (
	"context"
	"time"

	"ingot/internal/metal"
)

// servicePlan is the order of work behind "service": the caller's steps on a machine that has an instance. If one
// needs the agent the instance is stopped for the ramdisk, and boots again at the end, and when nothing was done to
// the machine also after a failure.
var servicePlan = plan{
	done:  metal.EventDone,
	fail:  metal.EventFail,
	abort: metal.EventAbort,
	steps: concat([]step{
		{name: "check service steps", class: repeatable, run: (*runner).composeBefore, limit: time.Minute},
		{name: "stop instance", class: atMostOnce, run: (*runner).askHardOff, verify: (*runner).seeOff, undo: (*runner).startAgain, limit: 5 * time.Minute, skip: noRamdisk},
	}, bootAgent(serviceCallback, forRamdisk(leaveTenant(always), enterNetwork(metal.ServicingNetwork))...), []step{
		{name: getSteps(metal.ServiceSteps), class: repeatable, run: (*runner).composeWithAgent, limit: 10 * time.Minute, tries: 10, skip: noRamdisk, outside: true},
		{flow: true},
	}, leaveAgent, forRamdisk(leaveNetwork(metal.ServicingNetwork)), unless(notStopped, []step{returnToTenant()}), []step{
		{name: "boot from disk", class: checkable, run: (*runner).bootFromDisk, limit: 5 * time.Minute, skip: noRamdisk},
		{name: "start instance", class: atMostOnce, run: (*runner).askOn, verify: (*runner).seeOn, limit: 5 * time.Minute, skip: notStopped},
		{name: "finish service", class: repeatable, run: (*runner).serviced, limit: time.Minute},
	}),
	onFail: func(op *Op, n *metal.Node) {
		n.ServiceStep = map[string]any{}
		if broke(op) {
			n.Maintenance, n.Fault, n.MaintenanceReason = true, "service failure", op.row.Error
		}
	},
}

// restorePlan is the order of work behind "abort" of a service that failed: the instance boots again.
var restorePlan = plan{
	steps: []step{
		{name: "power off", class: atMostOnce, run: (*runner).askHardOff, verify: (*runner).seeOff, limit: 5 * time.Minute, skip: noRamdisk},
		{name: "eject boot media", class: checkable, run: (*runner).ejectMedia, limit: 5 * time.Minute, skip: noRamdisk},
		returnToTenant(),
		{name: "boot from disk", class: checkable, run: (*runner).bootFromDisk, limit: 5 * time.Minute, skip: noRamdisk},
		{name: "start instance", class: atMostOnce, run: (*runner).askOn, verify: (*runner).seeOn, limit: 5 * time.Minute},
	},
}

// broke: a step had begun when the plan failed, and nobody had asked to stop it. Nobody knows what state the
// machine is in.
func broke(op *Op) bool { return op.Rec.Ran && !op.Rec.Aborted }

// notStopped: the instance ran all the while.
func notStopped(op *Op) bool { return noRamdisk(op) && !op.Rec.Ask.Restore }

// startAgain is how a service that did nothing to the machine ends: the instance runs as before. A machine on which
// a step broke off stays off until a person has looked. Source: lifecycle reference §12.
func (r *runner) startAgain(ctx context.Context, op *Op) error {
	if broke(op) {
		return nil
	}
	is, err := r.power(ctx, op)
	if err != nil || is == metal.PowerOn {
		return err
	}
	if err := r.hw.Power.SetPower(ctx, op.Node, metal.PowerOn); err != nil {
		return err
	}
	op.Change(func(n *metal.Node) { n.PowerState = metal.PowerOn })
	return nil
}

func (r *runner) serviced(_ context.Context, op *Op) (Outcome, error) {
	op.Change(func(n *metal.Node) { n.ServiceStep = map[string]any{} })
	return done, nil
}
