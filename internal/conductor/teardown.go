package conductor

import (
	"context"
	"errors"
	"time"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// tearDownPlan is the order of work behind "deleted". Cleaning follows. Instance data goes only when the
// machine is off: a failure leaves it to be looked at.
var tearDownPlan = plan{
	done: metal.EventClean,
	fail: metal.EventFail,
	next: metal.PlanClean,
	steps: []step{
		{name: "power off", class: atMostOnce, run: (*runner).askHardOff, verify: (*runner).seeOff, limit: 10 * time.Minute},
		{name: "eject media", class: checkable, run: (*runner).ejectAll, limit: 5 * time.Minute, skip: noRamdisk},
		leaveNetwork(metal.TenantNetwork),
		leaveProvisioning(),
		{name: "detach vifs", class: checkable, run: (*runner).detachAll, limit: networkLimit, skip: unwired},
		{name: "switch secure boot off", class: checkable, run: (*runner).secureBootAfter, limit: 15 * time.Minute, skip: noSecureChange},
		{name: "forget instance", class: repeatable, run: (*runner).forgetInstance, limit: time.Minute},
	},
}

// ejectAll also gives up what an operation that this one superseded had on boot hosts.
func (r *runner) ejectAll(ctx context.Context, op *Op) (Outcome, error) {
	o, err := r.ejectMedia(ctx, op)
	if err == nil {
		op.Rec.Bring = &Image{}
		r.dropImage(ctx, op)
	}
	return o, err
}

func (r *runner) forgetInstance(ctx context.Context, op *Op) (Outcome, error) {
	if left := r.pause(op, "deploy"); left > 0 {
		return again(left, "the tear down to have taken its time"), nil
	}
	r.withdrawMetadata(ctx, op)
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		if n.InternalInfo[metal.AutomaticLessee] == true {
			n.Lessee = ""
			delete(n.InternalInfo, metal.AutomaticLessee)
		}
		n.InstanceInfo, n.InstanceUUID, n.InstanceName = secret.Map{}, "", ""
		n.DeployStep = map[string]any{}
		forgetInstall(n)
		for _, key := range []string{"is_whole_disk_image", "root_uuid_or_disk_id", "deploy_boot_mode"} {
			delete(n.InternalInfo, key)
		}
		if err := detachVIFs(tx, n); err != nil {
			return err
		}
		if err := tx.DropInstance(n.ID); err != nil { // a server before this one may have taken the request
			return err
		}
		if err := errors.Join(tx.CloseOSChannel(n.ID), tx.DropOSInstall(n.ID)); err != nil {
			return err
		}
		return tx.DeleteAllocationOf(n)
	})
	return done, nil
}
