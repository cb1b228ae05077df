package conductor

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// verifyPlan is the order of work behind "manage" of an enrolled node: can it be managed at all?
var verifyPlan = plan{
	done: metal.EventDone,
	fail: metal.EventFail,
	steps: []step{
		{name: "check driver info", class: repeatable, run: (*runner).checkDriverInfo, limit: time.Minute},
		{name: "read power", class: repeatable, run: (*runner).readPower, limit: 5 * time.Minute},
		{name: "read inventory", class: repeatable, run: (*runner).readInventory, limit: 5 * time.Minute},
		{name: "read settings", class: repeatable, run: (*runner).cacheSettings, limit: time.Minute, tries: 1},
	},
}

func (r *runner) checkDriverInfo(_ context.Context, op *Op) (Outcome, error) {
	if r.hw.Validator == nil {
		return done, nil
	}
	return done, r.hw.Validator.Validate(op.Node)
}

func (r *runner) readPower(ctx context.Context, op *Op) (Outcome, error) {
	if r.hw.Power == nil {
		return done, nil
	}
	_, err := r.power(ctx, op)
	return done, err
}

// readInventory notes what the BMC tells of the machine: its kind and, for a node without ports, its NICs.
func (r *runner) readInventory(ctx context.Context, op *Op) (Outcome, error) {
	if r.hw.Facts == nil {
		return done, nil
	}
	info, err := r.hw.Facts.Inspect(ctx, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	op.Change(func(n *metal.Node) {
		n.BootMode, n.SecureBoot = info.BootMode, info.SecureBoot
		if n.Properties == nil {
			n.Properties = map[string]any{}
		}
		for key, value := range map[string]any{"cpu_arch": info.CPUArch, "cpus": info.CPUs, "memory_mb": info.MemoryMiB, "vendor": info.Manufacturer, metal.SystemUUIDProperty: info.UUID} {
			if _, set := n.Properties[key]; !set && value != "" && value != 0 {
				n.Properties[key] = value
			}
		}
	})
	op.Also(func(tx *store.Tx, n *metal.Node) error { return addPorts(tx, n, info.MACs) })
	return done, nil
}

// addPorts enrols the NICs of a node that has no ports yet. An address that another node owns is left out:
// the operator decides.
func addPorts(tx *store.Tx, n *metal.Node, macs []string) error {
	have, err := tx.PortsOf(n.ID)
	if err != nil || len(have) > 0 {
		return err
	}
	now, err := tx.Now()
	if err != nil {
		return err
	}
	for _, mac := range macs {
		if _, err := tx.Port(mac); fault.KindOf(err) != fault.NotFound {
			if err != nil {
				return err
			}
			continue
		}
		p := &metal.Port{UUID: uuid.NewString(), NodeUUID: n.UUID, Address: strings.ToLower(mac), PXEEnabled: true, CreatedAt: now}
		if err := tx.CreatePort(p); err != nil {
			return err
		}
	}
	return nil
}
