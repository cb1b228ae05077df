package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// InspectConfig is what an inspection does with what it finds.
type InspectConfig struct {
	// AddPorts says which NICs become ports: pxe (the one the ramdisk booted from; where it is not known, those
	// with an IP address), active (those with an IP address), all or disabled. Default pxe.
	AddPorts string
	// KeepPorts says which ports stay: all, present (those of NICs that are there) or added (those that AddPorts
	// chose). Default all.
	KeepPorts string
	// UpdatePXEEnabled sets pxe_enabled of ports by the NIC that the ramdisk booted from, where that is known.
	// Default true.
	UpdatePXEEnabled bool
	// PowerOff switches the machine off afterwards. Default true.
	PowerOff bool
	// MaskSecrets says for which inspection rules passwords in what a machine tells are masked: always, never or
	// sensitive (for rules that are not sensitive). "" is always.
	MaskSecrets string
	// BuiltInRules run after those of the API that have the same priority.
	BuiltInRules []*metal.InspectionRule
}

// inspectPlan is the order of work behind "inspect" of a node that its agent inspects.
var inspectPlan = plan{
	done: metal.EventDone,
	fail: metal.EventFail,
	steps: concat(inspectBoot(), []step{
		{name: "read inventory", class: repeatable, run: (*runner).readMachine, limit: 10 * time.Minute, tries: 10, outside: true},
		ruleStep,
	}, unlessInspectStays(leaveAgent), []step{leaveNetwork(metal.InspectionNetwork)}),
}

// probePlan is the order of work behind "inspect" of a node whose BMC is asked instead.
var probePlan = plan{
	done: metal.EventDone,
	fail: metal.EventFail,
	steps: []step{
		{name: "check driver info", class: repeatable, run: (*runner).checkDriverInfo, limit: time.Minute},
		{name: "read power", class: repeatable, run: (*runner).readPower, limit: 5 * time.Minute},
		{name: "ask bmc", class: repeatable, run: (*runner).askBMC, limit: 5 * time.Minute},
		ruleStep,
	},
}

// inspectBoot boots the ramdisk; what the machine reports by itself is as good as its agent's call.
func inspectBoot() []step {
	steps := bootAgent(inspectCallback, enterNetwork(metal.InspectionNetwork))
	steps[len(steps)-1].run = (*runner).awaitInventory
	undo := steps[len(steps)-1].undo
	steps[len(steps)-1].undo = func(r *runner, ctx context.Context, op *Op) error {
		op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.ForgetReport(n.ID) })
		return undo(r, ctx, op)
	}
	return steps
}

// unlessInspectStays leaves the machine running, without its boot media, where the operator wants that.
func unlessInspectStays(steps []step) []step {
	out := append([]step(nil), steps...)
	for i, s := range out {
		if s.name == "eject boot media" {
			continue
		}
		own := s.skip
		out[i].skip = func(op *Op) bool { return op.Rec.StayOn || own != nil && own(op) }
	}
	return out
}

// awaitInventory is done when the agent of this boot has called, or the machine has reported. A report without
// the boot's token waits a while for the agent, which has it: anybody who knows a MAC address of the machine may
// have sent it. Upstream's agents call when they have reported.
func (r *runner) awaitInventory(ctx context.Context, op *Op) (Outcome, error) {
	o, err := r.awaitAgent(ctx, op)
	if err != nil || o == done {
		return o, err
	}
	rep, err := r.report(ctx, op)
	switch {
	case err != nil:
		return Outcome{}, err
	case rep == nil:
		return o, nil
	case rep.Trusted:
		return done, nil
	}
	left := r.c.config.VouchLimit - time.Since(rep.At)
	if left <= 0 {
		r.event(op, "step", "INFO", "The machine's report came without the token of its boot, and no agent called: the report is taken as it is.")
		return done, nil
	}
	return again(left, "the agent to vouch for what the machine reported"), nil
}

func (r *runner) report(ctx context.Context, op *Op) (rep *store.Report, err error) {
	err = r.c.db.Read(ctx, func(tx *store.Tx) error {
		rep, err = tx.Report(op.Node.ID, op.Rec.Boot)
		return err
	})
	return rep, err
}

// readMachine takes the inventory from the agent, or from the machine's own report where no agent called, and
// keeps what it means for the node.
func (r *runner) readMachine(ctx context.Context, op *Op) (Outcome, error) {
	a, err := r.agentRow(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	rep, err := r.report(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	raw, plugins := []byte(nil), []byte("{}")
	if rep != nil {
		raw, plugins = rep.Inventory, rep.Plugins
	}
	if !a.LastHeartbeat.IsZero() && (rep == nil || !rep.Trusted) {
		if raw, err = r.askInventory(ctx, op); err != nil {
			return Outcome{}, err
		}
	}
	inv, err := agentapi.ParseInventory(raw)
	if err != nil {
		return Outcome{}, err
	}
	f, err := r.c.config.Inspect.judge(inv, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.ForgetReport(n.ID) })
	r.keep(op, f, raw, plugins)
	return done, nil
}

// askInventory asks the agent what its machine is made of.
func (r *runner) askInventory(ctx context.Context, op *Op) (json.RawMessage, error) {
	c, err := r.agent(ctx, op)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	call, cancel := context.WithTimeout(ctx, time.Minute) // upstream's command_timeout
	defer cancel()
	res, err := c.Run(call, "poll.get_hardware_info", struct{}{}, true)
	if err != nil {
		return nil, busyLater(err)
	}
	if res.CommandError != nil {
		return nil, fault.Wrap(fault.Unavailable, res.CommandError, "the agent cannot tell what its machine is made of: %s", res.CommandError.Error())
	}
	return res.CommandResult, nil
}

// askBMC makes an inventory of what the BMC knows, in the agent's form.
func (r *runner) askBMC(ctx context.Context, op *Op) (Outcome, error) {
	if r.hw.Inspector == nil {
		return Outcome{}, fault.New(fault.Invalid, "Driver %s cannot inspect out of band.", op.Node.Driver)
	}
	if left := r.pause(op, "inspect"); left > 0 {
		return again(left, "the inspection to have taken its time"), nil
	}
	info, err := r.hw.Inspector.Inspect(ctx, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	inv := agentapi.Inventory{Interfaces: []agentapi.Interface{}, Disks: []agentapi.Disk{},
		CPU:          agentapi.CPU{Count: info.CPUs, Architecture: info.CPUArch, Flags: []string{}},
		SystemVendor: agentapi.SystemVendor{ProductName: info.Model, SerialNumber: info.Serial, Manufacturer: info.Manufacturer},
		Boot:         agentapi.BootInfo{CurrentBootMode: info.BootMode, SecureBoot: info.SecureBoot}}
	if info.MemoryMiB > 0 {
		inv.Memory = agentapi.Memory{Total: int64(info.MemoryMiB) << 20, PhysicalMB: &info.MemoryMiB}
	}
	for i, mac := range info.MACs {
		inv.Interfaces = append(inv.Interfaces, agentapi.Interface{Name: fmt.Sprintf("NIC%d", i+1), MACAddress: mac})
	}
	f, err := r.c.config.Inspect.judge(inv, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	raw, err := json.Marshal(inv)
	if err != nil {
		return Outcome{}, fmt.Errorf("write the inventory: %w", err)
	}
	r.keep(op, f, raw, []byte("{}"))
	return done, nil
}

// keep writes what was found to the node, its ports and its inventory.
func (r *runner) keep(op *Op, f found, inventory, plugins []byte) {
	op.Change(f.apply)
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		if err := tx.SaveInventory(n.ID, inventory, plugins); err != nil {
			return err
		}
		told, err := r.c.config.Inspect.ports(tx, n, f)
		if err != nil {
			return err
		}
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Operation: op.row.UUID, Kind: "step", Who: r.c.config.Host, Verb: op.row.Verb, Step: op.row.StepName,
			Why: fmt.Sprintf("Found: %s; %s.", f, told)})
	})
}
