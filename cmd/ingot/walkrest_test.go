package main

import (
	"fmt"
	"strings"
	"time"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/policy"
	"ingot/internal/store"
	"ingot/lab/simulate"
)

// restLimit is when a walk that does not come to rest is given up: many times what all its limits take.
const restLimit = 30 * time.Second

// rest lets everybody work until no operation lives but those that hold, and sees how the nodes rest.
func (w *walk) rest() error {
	for i := range w.conductors {
		if w.conductors[i] == nil {
			if err := w.revive(i, false); err != nil {
				return err
			}
		}
	}
	over, sweeps := time.Now().Add(restLimit), 60
	for {
		changed := w.db.Changed()
		if err := w.call(); err != nil {
			return err
		}
		did := false
		for _, c := range w.conductors {
			one, err := c.WorkOne(w.ctx)
			if err != nil {
				return err
			}
			if one {
				did, w.worked = true, w.worked+1
			}
		}
		if did {
			continue
		}
		waits, err := w.waits()
		if err != nil {
			return err
		}
		if waits == "" && sweeps > 0 { // what comes round by itself ejects what was left, and takes nodes out of maintenance
			sweeps--
			if err := w.sweep(sweeps%walkConductors, 1); err != nil {
				return err
			}
			continue
		}
		if waits == "" {
			break
		}
		if time.Now().After(over) {
			return w.stranded(-1, "it does not come to rest: "+waits)
		}
		select { // a limit passes, a lease runs out
		case <-changed:
		case <-time.After(2 * time.Millisecond):
		}
	}
	for i := range w.names {
		if err := w.rests(i); err != nil {
			return err
		}
	}
	return nil
}

// waits names an exclusive operation that lives and does not hold; "" if there is none.
func (w *walk) waits() (what string, err error) {
	err = w.db.Read(w.ctx, func(tx *store.Tx) error {
		for _, name := range w.names {
			n, err := tx.Node(name)
			if err != nil {
				continue // it was deleted
			}
			o, err := tx.LiveOperation(n.ID)
			if err != nil {
				return err
			}
			if o != nil && (metal.States[n.ProvisionState].Kind != metal.Held || o.Abort != "") {
				what = fmt.Sprintf("node %s is %s: %s at step %q, waiting for %q", name, n.ProvisionState, o.Plan, o.StepName, o.WaitingWhy)
			}
		}
		return nil
	})
	return what, err
}

// rests is what must be true of a node that rests.
func (w *walk) rests(i int) error {
	n := w.node(i)
	if n == nil {
		return nil
	}
	kind := metal.States[n.ProvisionState].Kind
	w.ended[string(n.ProvisionState)]++
	held := kind == metal.Held
	var media string
	w.fleet.With(n.UUID, func(m *simulate.Machine) { media = m.Media })
	var agent *store.Agent
	err := w.db.Read(w.ctx, func(tx *store.Tx) (err error) {
		agent, err = tx.Agent(n)
		return err
	})
	if err != nil {
		return err
	}
	switch {
	case kind == metal.Busy || kind == metal.Waiting:
		return w.stranded(i, "nobody works on it")
	case kind == metal.Failed && n.LastError == "":
		return w.stranded(i, "it failed without a reason")
	case kind == metal.Stable && n.TargetProvisionState != "":
		return w.stranded(i, "it rests and has a target")
	case n.TargetPowerState != "":
		return w.stranded(i, "its power has a target and nobody works on it")
	case media != "" && !held:
		return w.stranded(i, "a medium is left in its drive")
	case agent != nil && !held:
		return w.stranded(i, "an agent's row is left")
	}
	return nil
}

// next is a verb that leads on from where a node rests, and where to.
var next = map[metal.State]struct {
	verb metal.Verb
	to   metal.State
}{
	metal.Enroll:         {metal.VerbManage, metal.Manageable},
	metal.Manageable:     {metal.VerbProvide, metal.Available},
	metal.Available:      {metal.VerbActive, metal.Active},
	metal.Active:         {metal.VerbDeleted, metal.Available},
	metal.Error:          {metal.VerbDeleted, metal.Available},
	metal.DeployFailed:   {metal.VerbDeleted, metal.Available},
	metal.ServiceFailed:  {metal.VerbDeleted, metal.Available},
	metal.CleanFailed:    {metal.VerbManage, metal.Manageable},
	metal.InspectFailed:  {metal.VerbManage, metal.Manageable},
	metal.AdoptFailed:    {metal.VerbManage, metal.Manageable},
	metal.Rescue:         {metal.VerbUnrescue, metal.Active},
	metal.RescueFailed:   {metal.VerbUnrescue, metal.Active},
	metal.UnrescueFailed: {metal.VerbDeleted, metal.Available},
	metal.CleanHold:      {metal.VerbAbort, metal.CleanFailed},
	metal.DeployHold:     {metal.VerbAbort, metal.DeployFailed},
	metal.ServiceHold:    {metal.VerbAbort, metal.Active}, // the instance boots again
}

// leadsOn sees that the next verb works now that nothing is broken.
func (w *walk) leadsOn(i int) error {
	n := w.node(i)
	if n == nil {
		return nil
	}
	_, err := w.service.UpdateNode(w.ctx, walker, n.UUID, []policy.Rule{"node:update"}, false, func(n *metal.Node) error {
		n.Maintenance, n.Protected, n.Retired = false, false, false
		n.InstanceInfo = n.InstanceInfo.With("image_source", "http://127.0.0.1:1/i.raw").With("image_os_hash_value", strings.Repeat("ab", 32))
		return nil
	})
	if err != nil && metal.States[n.ProvisionState].Kind != metal.Held {
		return w.stranded(i, "it cannot be patched: "+err.Error())
	}
	step, ok := next[n.ProvisionState]
	if !ok {
		return w.stranded(i, "no verb leads on from there")
	}
	if err := w.service.SetProvision(w.ctx, walker, n.UUID, ops.Provision{Verb: step.verb}); err != nil {
		return w.stranded(i, fmt.Sprintf("%q is refused: %v", step.verb, err))
	}
	if err := w.rest(); err != nil {
		return err
	}
	if n = w.node(i); n.ProvisionState != step.to {
		return w.stranded(i, fmt.Sprintf("%q should have led to %q", step.verb, step.to))
	}
	return nil
}

func (w *walk) stranded(i int, why string) error {
	e := &strandedError{what: why}
	for k := range w.names {
		if i >= 0 && k != i {
			continue
		}
		n := w.node(k)
		if n == nil {
			continue
		}
		e.what = fmt.Sprintf("node %s, %q (target %q), last_error %q, power %q: %s", n.Name, n.ProvisionState, n.TargetProvisionState, n.LastError, n.PowerState, why)
		_ = w.db.Read(w.ctx, func(tx *store.Tx) error {
			events, err := tx.Events(n, store.Page{Limit: 1000})
			for _, ev := range events {
				e.history += fmt.Sprintf("  %s %s %s %s %s->%s %s: %s\n", n.Name, ev.At.Format("05.000"), ev.Kind, ev.Verb, ev.From, ev.To, ev.Step, ev.Why)
			}
			return err
		})
	}
	return e
}

// steps adds what some verbs need: steps that there are, one that there is not, and holds.
func (w *walk) steps(p *ops.Provision, k int) {
	list := [][]metal.Step{
		{{Interface: "deploy", Step: "erase_devices_metadata"}},
		{{Interface: "deploy", Step: "hold"}, {Interface: "deploy", Step: "erase_devices_metadata"}},
		{{Interface: "power", Step: "reboot"}, {Interface: "deploy", Step: "erase_devices_metadata"}},
		{{Interface: "deploy", Step: "unknown"}},
	}[k%4]
	switch p.Verb {
	case metal.VerbClean:
		p.CleanSteps, p.NoRamdisk = list, k%11 == 0
	case metal.VerbService:
		p.ServiceSteps, p.NoRamdisk = list, k%11 == 0
	case metal.VerbActive, metal.VerbRebuild:
		if k%7 == 0 {
			p.DeploySteps = []metal.Step{{Interface: "deploy", Step: "hold", Priority: 90}}
		}
	}
}
