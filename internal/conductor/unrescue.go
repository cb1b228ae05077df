package conductor

import (
	"context"
	"time"

	"ingot/internal/metal"
)

// unrescuePlan is the order of work behind "unrescue": whatever a rescue left, however it ended, goes, and the instance boots.
// It has nothing to undo but a machine that must not run: asked for again, it does what is left.
var unrescuePlan = plan{
	done: metal.EventDone,
	fail: metal.EventFail,
	steps: concat([]step{
		{name: "check unrescue", class: repeatable, run: (*runner).checkUnrescue, limit: 2 * time.Minute},
		{name: "unrescue", class: repeatable, run: (*runner).restFor, limit: time.Hour, skip: byRamdisk},
		{name: "power off", class: atMostOnce, run: (*runner).askHardOff, verify: (*runner).seeOff, limit: 5 * time.Minute, skip: noRamdisk},
		{name: "eject boot media", class: checkable, run: (*runner).ejectMedia, limit: 5 * time.Minute, skip: noRamdisk},
	}, forRamdisk(leaveNetwork(metal.RescuingNetwork), returnToTenant()), []step{
		{name: "boot from disk", class: checkable, run: (*runner).bootFromDisk, limit: 5 * time.Minute, skip: noRamdisk},
		{name: "switch secure boot on", class: checkable, run: (*runner).secureBootReturnsToInstance, limit: 15 * time.Minute, skip: noSecureInstance},
		{name: "start instance", class: atMostOnce, run: (*runner).askOn, verify: (*runner).seeOn, undo: (*runner).powerOffUndo, limit: 5 * time.Minute, skip: noRamdisk},
		{name: "see secure boot", class: repeatable, run: (*runner).seeSecureBoot, late: (*runner).whyNoSecureBoot, limitOf: settingLimit, skip: noSecureInstance},
	}),
}

// checkUnrescue finds out what the instance ran with.
func (r *runner) checkUnrescue(ctx context.Context, op *Op) (Outcome, error) {
	op.Rec.SecureWas = op.Rec.Wish.SecureBoot || secureAside(op.Node)
	return r.checkDriverInfo(ctx, op)
}

// noSecureInstance: the instance did not run with Secure Boot, or nobody has to care.
func noSecureInstance(op *Op) bool { return noRamdisk(op) || !op.Rec.SecureWas }

func (r *runner) secureBootReturnsToInstance(ctx context.Context, op *Op) (Outcome, error) {
	return done, r.secureBootReturns(ctx, op)
}
