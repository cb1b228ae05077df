package conductor

import (
	"context"
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
		{name: "eject media", class: checkable, run: (*runner).ejectMedia, limit: 5 * time.Minute, skip: noRamdisk},
		leaveNetwork(metal.TenantNetwork),
		leaveProvisioning(),
		{name: "detach vifs", class: checkable, run: (*runner).detachAll, limit: networkLimit, skip: unwired},
		{name: "switch secure boot off", class: checkable, run: (*runner).secureBootOff, limit: 15 * time.Minute, skip: noSecureWish},
		{name: "forget instance", class: repeatable, run: (*runner).forgetInstance, limit: time.Minute},
	},
}

func (r *runner) forgetInstance(_ context.Context, op *Op) (Outcome, error) {
	if left := r.pause(op, "deploy"); left > 0 {
		return again(left, "the tear down to have taken its time"), nil
	}
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		if n.InternalInfo[metal.AutomaticLessee] == true {
			n.Lessee = ""
			delete(n.InternalInfo, metal.AutomaticLessee)
		}
		n.InstanceInfo, n.InstanceUUID, n.InstanceName = secret.Map{}, "", ""
		n.DeployStep = map[string]any{}
		for _, key := range []string{"is_whole_disk_image", "root_uuid_or_disk_id", "deploy_boot_mode"} {
			delete(n.InternalInfo, key)
		}
		if err := detachVIFs(tx, n); err != nil {
			return err
		}
		return tx.DeleteAllocationOf(n)
	})
	return done, nil
}

// detachVIFs: the networks of who used the node are not those of who uses it next. Source: lifecycle reference §10.
func detachVIFs(tx *store.Tx, n *metal.Node) error {
	ports, err := tx.PortsOf(n.ID)
	if err != nil {
		return err
	}
	groups, err := tx.Portgroups(store.PortgroupFilter{NodeID: n.ID}, store.Page{})
	if err != nil {
		return err
	}
	for _, vif := range metal.VIFs(ports, groups) {
		p, g, err := metal.DetachVIF(n, vif, ports, groups)
		switch {
		case err != nil:
			return err
		case p != nil:
			err = tx.SavePort(p)
		default:
			err = tx.SavePortgroup(g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
