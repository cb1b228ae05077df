package conductor

import (
	"context"
	"time"

	"ingot/internal/metal"
)

// rescuePlan is the order of work behind "rescue": the machine of an instance boots a ramdisk on the rescuing network, lets
// its user in, and goes back to the tenant's network with it. Undone in reverse, it leaves the machine off, its drive empty
// and its NICs on the tenant's network. Of a node whose rescue interface is fake nothing is done to the machine.
var rescuePlan = plan{
	done: metal.EventDone,
	fail: metal.EventFail,
	steps: concat([]step{
		{name: "check rescue", class: repeatable, run: (*runner).checkRescue, limit: 2 * time.Minute},
		{name: "rescue", class: repeatable, run: (*runner).restFor, limit: time.Hour, skip: byRamdisk},
	}, limitedBy(rescueCallback, bootAgent(nil, step{name: "switch secure boot off", class: checkable, run: (*runner).secureBootAside, undo: (*runner).secureBootReturns, limit: 15 * time.Minute, skip: secureBootStays},
		leaveTenant(always), enterNetwork(metal.RescuingNetwork))), []step{
		{name: "finalize rescue", class: atMostOnce, run: (*runner).finalizeRescue, verify: (*runner).finalizeRescue, limit: 10 * time.Minute, tries: 4, skip: noRamdisk},
	}, forRamdisk(leaveNetwork(metal.RescuingNetwork), returnToTenant()), []step{ // first: its user is root by now, on a network of the operator's
		{name: "eject boot media", class: checkable, run: (*runner).ejectMedia, limit: 5 * time.Minute, skip: noRamdisk},
	}),
	onFail: func(op *Op, n *metal.Node) {
		if op.Rec.Aborted && op.Rec.Unclean {
			n.Maintenance, n.Fault, n.MaintenanceReason = true, "rescue abort failure", op.row.Error
		}
	},
}

// byRamdisk: the machine is rescued by a ramdisk.
func byRamdisk(op *Op) bool { return op.Rec.Ramdisk }

// rescueCallback is how long a machine may take to call back: as the request says, else as the configuration does; 0: for ever.
func rescueCallback(c *Config, op *Op) time.Duration {
	if own := op.Rec.Ask.RescueSeconds; own != nil {
		return time.Duration(*own) * time.Second
	}
	return c.RescueCallbackLimit
}

// limitedBy gives the step that waits for the agent a limit that an operation may have for itself.
func limitedBy(limit func(*Config, *Op) time.Duration, steps []step) []step {
	for i := range steps {
		if steps[i].name == "wait for agent" {
			steps[i].limitOf, steps[i].limitBy = nil, limit
		}
	}
	return steps
}

// restFor lets pass the time that the fake interface is configured to take.
func (r *runner) restFor(_ context.Context, op *Op) (Outcome, error) {
	if left := r.pause(op, "rescue"); left > 0 {
		return again(left, "the fake rescue to take its time"), nil
	}
	return done, nil
}
