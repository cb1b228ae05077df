package conductor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// The plans of VIFs that come and go. Their callers wait for them.
var (
	attachVIFPlan = changed("attach vif", (*runner).attachVIF)
	detachVIFPlan = changed("detach vif", (*runner).detachVIF)
)

// changed is a question that changes something, which it finds again when it is asked twice.
func changed(name string, run func(*runner, context.Context, *Op) (Outcome, error)) plan {
	return plan{quiet: true, steps: []step{{name: name, class: checkable, run: run, limit: 2 * time.Minute, tries: 1}}}
}

// attachVIF chooses the port or the port group, tells the network service, and notes it in the transaction of its outcome.
// An instance that runs gets the network at once.
func (r *runner) attachVIF(ctx context.Context, op *Op) (Outcome, error) {
	w, err := r.wiring(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	v, err := wantedVIF(op)
	if err != nil {
		return Outcome{}, err
	}
	if slices.ContainsFunc(w.Ports, func(p *metal.Port) bool { return p.PhysicalNetwork != "" }) {
		if v.Physical, err = r.hw.Network.PhysicalNetworks(ctx, op.Node, v.ID); err != nil {
			return Outcome{}, err
		}
	}
	p, g, err := metal.AttachVIF(v, w.Ports, w.Groups)
	if err != nil {
		return Outcome{}, err
	}
	if err := r.hw.Network.AttachVIF(ctx, op.Node, w, v.ID, op.Node.ProvisionState == metal.Active); err != nil {
		return Outcome{}, err
	}
	uuid, what := "", "port group"
	if p != nil {
		uuid, what = p.UUID, "port"
	} else {
		uuid = g.UUID
	}
	notes := metal.Notes{}
	notes.Note(uuid, metal.TenantNetwork.VIFKey(), v.ID)
	keepNotes(op, notes)
	r.event(op, "step", "INFO", fmt.Sprintf("The VIF %s is attached to %s %s.", v.ID, what, uuid))
	return done, r.movePlaces(ctx, op, "")
}

// detachVIF tells the network service that a VIF is not this node's any more, and forgets it here.
func (r *runner) detachVIF(ctx context.Context, op *Op) (Outcome, error) {
	w, err := r.wiring(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	v, err := wantedVIF(op)
	if err != nil {
		return Outcome{}, err
	}
	if !slices.Contains(metal.VIFs(w.Ports, w.Groups), v.ID) {
		_, _, err := metal.DetachVIF(op.Node, v.ID, w.Ports, w.Groups)
		return Outcome{}, err
	}
	if err := r.hw.Network.DetachVIF(ctx, op.Node, w, v.ID); err != nil {
		return Outcome{}, err
	}
	op.Also(func(tx *store.Tx, n *metal.Node) error {
		w, err := wiringOf(tx, n)
		if err != nil {
			return err
		}
		return forgetVIF(tx, n, w, v.ID)
	})
	r.event(op, "step", "INFO", fmt.Sprintf("The VIF %s is detached.", v.ID))
	return done, r.movePlaces(ctx, op, macOf(w, v.ID))
}

// movePlaces notes the addresses of an instance that runs and got a network, or lost that of a MAC.
func (r *runner) movePlaces(ctx context.Context, op *Op, but string) error {
	if op.Node.ProvisionState != metal.Active {
		return nil
	}
	return r.notePlaces(ctx, op, but)
}

// macOf is the MAC of the port or the port group that has a VIF.
func macOf(w metal.Wiring, vif string) string {
	for _, p := range w.Ports {
		if metal.VIFOf(p.InternalInfo, p.Extra) == vif {
			return p.Address
		}
	}
	for _, g := range w.Groups {
		if metal.VIFOf(g.InternalInfo, g.Extra) == vif {
			return g.Address
		}
	}
	return ""
}

func wantedVIF(op *Op) (metal.VIF, error) {
	if op.Rec.Ask.VIF == nil {
		return metal.VIF{}, fault.New(fault.Invalid, "no VIF was named")
	}
	return *op.Rec.Ask.VIF, nil
}

// detachAll tells the network service that the machine's user has no use of it any more, and forgets it here. Source:
// lifecycle reference §10.
func (r *runner) detachAll(ctx context.Context, op *Op) (Outcome, error) {
	w, err := r.wiring(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	for _, vif := range metal.VIFs(w.Ports, w.Groups) {
		if err := r.hw.Network.DetachVIF(ctx, op.Node, w, vif); err != nil {
			return Outcome{}, err
		}
	}
	op.Also(detachVIFs)
	return done, nil
}

// detachVIFs: the networks of who used the node are not those of who uses it next. Source: lifecycle reference §10.
func detachVIFs(tx *store.Tx, n *metal.Node) error {
	w, err := wiringOf(tx, n)
	if err != nil {
		return err
	}
	for _, vif := range metal.VIFs(w.Ports, w.Groups) {
		if err := forgetVIF(tx, n, w, vif); err != nil {
			return err
		}
	}
	return nil
}

func forgetVIF(tx *store.Tx, n *metal.Node, w metal.Wiring, vif string) error {
	p, g, err := metal.DetachVIF(n, vif, w.Ports, w.Groups)
	switch {
	case err != nil:
		return err
	case p != nil:
		return tx.SavePort(p)
	}
	return tx.SavePortgroup(g)
}
