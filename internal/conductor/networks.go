package conductor

import (
	"context"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// networkLimit is how long a machine may take to be on a network: a port of Neutron may take a quarter of an hour to be
// bound. Source: lifecycle reference §27.
const networkLimit = 20 * time.Minute

// unwired: the machine stays on the network that it is cabled to.
func unwired(op *Op) bool { return !op.Rec.Wired }

// forRamdisk are steps of plans that boot a ramdisk.
func forRamdisk(steps ...step) []step { return unless(noRamdisk, steps) }

// enterNetwork puts the machine on the network of a role, and off it when that is undone.
func enterNetwork(role metal.NetworkRole) step {
	return step{name: "enter " + string(role) + " network", class: checkable, limit: networkLimit, skip: unwired,
		run:  func(r *runner, ctx context.Context, op *Op) (Outcome, error) { return r.enterNetwork(ctx, op, role) },
		undo: func(r *runner, ctx context.Context, op *Op) error { return r.unplug(ctx, op, role) }}
}

// leaveNetwork takes the machine off the network of a role.
func leaveNetwork(role metal.NetworkRole) step {
	return step{name: "leave " + string(role) + " network", class: checkable, limit: networkLimit, skip: unwired,
		run: func(r *runner, ctx context.Context, op *Op) (Outcome, error) { return done, r.unplug(ctx, op, role) }}
}

// leaveTenant takes the machine off the networks of its user, for whom it works again when that is undone: where the
// plan began with an instance.
func leaveTenant(had func(*Op) bool) step {
	s := leaveNetwork(metal.TenantNetwork)
	s.undo = func(r *runner, ctx context.Context, op *Op) error {
		if !had(op) {
			return nil
		}
		waiting, err := r.plug(ctx, op, metal.TenantNetwork)
		if err == nil && waiting != "" {
			return unfinished(waiting)
		}
		return err
	}
	return s
}

// returnToTenant ends a plan that began with an instance. It has no undo: that of leaveTenant leads to the same.
func returnToTenant() step {
	s := enterNetwork(metal.TenantNetwork)
	s.undo = nil
	return s
}

// always: the plan begins with an instance.
func always(*Op) bool { return true }

// rebuilds: the machine has an instance already. One whose deploy failed has none that could be given back its network.
func rebuilds(op *Op) bool { return op.row.Verb == string(metal.VerbRebuild) && !op.Rec.Ask.NoInstance }

// leaveProvisioning is how a tear down ends: off that network, and off whatever an operation left the machine on that
// was put an end to.
func leaveProvisioning() step {
	s := leaveNetwork(metal.ProvisioningNetwork)
	s.run = func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
		if err := r.unplug(ctx, op, metal.ProvisioningNetwork); err != nil {
			return Outcome{}, err
		}
		w, err := r.wiring(ctx, op)
		if err != nil {
			return Outcome{}, err
		}
		return done, r.leaveOthers(ctx, op, w, metal.ProvisioningNetwork)
	}
	return s
}

// keepsNetwork: the machine's user has its network back if the rebuild fails. One that an OS definition was installing is not let onto
// it before that has ended well.
func keepsNetwork(op *Op) bool { return rebuilds(op) && op.Rec.OS == nil }

func (r *runner) enterNetwork(ctx context.Context, op *Op, role metal.NetworkRole) (Outcome, error) {
	waiting, err := r.plug(ctx, op, role)
	if err == nil && waiting != "" {
		return again(r.c.config.Poll, "the %s network: %s", role, waiting), nil
	}
	if err == nil && role == metal.TenantNetwork {
		err = r.notePlaces(ctx, op, "")
	}
	return done, err
}

// plug puts the machine on the network of a role, and off those of the operator's that it was left on: a machine is never
// on two of them.
func (r *runner) plug(ctx context.Context, op *Op, role metal.NetworkRole) (waiting string, err error) {
	w, err := r.wiring(ctx, op)
	if err != nil {
		return "", err
	}
	if err := r.leaveOthers(ctx, op, w, role); err != nil {
		return "", err
	}
	notes, waiting, err := r.hw.Network.Plug(ctx, op.Node, w, role)
	keepNotes(op, notes)
	return waiting, err
}

func (r *runner) unplug(ctx context.Context, op *Op, role metal.NetworkRole) error {
	w, err := r.wiring(ctx, op)
	if err != nil {
		return err
	}
	notes, err := r.hw.Network.Unplug(ctx, op.Node, w, role)
	keepNotes(op, notes)
	return err
}

// leaveOthers takes the machine off the operator's networks that are noted, but for one. w is as it is afterwards.
func (r *runner) leaveOthers(ctx context.Context, op *Op, w metal.Wiring, but metal.NetworkRole) error {
	for _, role := range metal.NetworkRoles {
		if role == but || role == metal.TenantNetwork || !w.On(role) {
			continue
		}
		notes, err := r.hw.Network.Unplug(ctx, op.Node, w, role)
		keepNotes(op, notes)
		if err != nil {
			return err
		}
		w.Note(notes)
	}
	return nil
}

// wiring is the node's NICs as they are noted now.
func (r *runner) wiring(ctx context.Context, op *Op) (w metal.Wiring, err error) {
	if r.hw.Network == nil {
		return w, fault.New(fault.NotSupported, "this server does not have the network interface %q of node %s any more", op.Node.Interface("network"), op.Node.UUID)
	}
	err = r.c.db.Read(ctx, func(tx *store.Tx) error {
		w, err = wiringOf(tx, op.Node)
		return err
	})
	return w, err
}

func wiringOf(tx *store.Tx, n *metal.Node) (w metal.Wiring, err error) {
	if w.Ports, err = tx.PortsOf(n.ID); err != nil {
		return w, err
	}
	w.Groups, err = tx.Portgroups(store.PortgroupFilter{NodeID: n.ID}, store.Page{})
	return w, err
}

// keepNotes writes what a network interface remembers, with the step's outcome, also when that is an error: the way back finds
// by it what was done.
func keepNotes(op *Op, notes metal.Notes) {
	if len(notes) == 0 {
		return
	}
	op.noted = append(op.noted, func(tx *store.Tx, n *metal.Node) error {
		w, err := wiringOf(tx, n)
		if err != nil {
			return err
		}
		return saveNotes(tx, w, notes)
	})
}

// saveNotes writes notes to the ports and port groups that there still are.
func saveNotes(tx *store.Tx, w metal.Wiring, notes metal.Notes) error {
	now, err := tx.Now()
	if err != nil {
		return err
	}
	w.Note(notes)
	for _, p := range w.Ports {
		if len(notes[p.UUID]) == 0 {
			continue
		}
		p.UpdatedAt = now
		if err := tx.SavePort(p); err != nil {
			return err
		}
	}
	for _, g := range w.Groups {
		if len(notes[g.UUID]) == 0 {
			continue
		}
		g.UpdatedAt = now
		if err := tx.SavePortgroup(g); err != nil {
			return err
		}
	}
	return nil
}
