package conductor

import (
	"context"
	"slices"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// kinds says what a plan's composed steps are part of.
var kinds = map[metal.Plan]metal.StepKind{
	metal.PlanClean: metal.CleanSteps, metal.PlanManual: metal.CleanSteps, metal.PlanDeploy: metal.DeploySteps, metal.PlanService: metal.ServiceSteps,
}

func (o *Op) kind() metal.StepKind { return kinds[metal.Plan(o.row.Plan)] }

// stepLimit is how long one composed step may take.
func stepLimit(k metal.StepKind) func(*Config) time.Duration {
	return func(c *Config) time.Duration {
		switch k {
		case metal.CleanSteps:
			return c.CleanStepLimit
		case metal.ServiceSteps:
			return c.ServiceStepLimit
		}
		return c.DeployStepLimit
	}
}

func callback(k metal.StepKind) func(*Config) time.Duration {
	switch k {
	case metal.CleanSteps:
		return cleanCallback
	case metal.ServiceSteps:
		return serviceCallback
	}
	return deployCallback
}

// flowSteps turns the composed steps into steps of the plan: one, or as many as the work has parts that a restart
// may fall between.
func (o *Op) flowSteps() []step {
	where, err := places(o.Rec.Flow, o.Rec.Ramdisk && o.kind() != metal.DeploySteps, o.Rec.Direct)
	if err != nil { // whoever composed the flow has looked
		where = make([]place, len(o.Rec.Flow))
	}
	var out []step
	for i, f := range o.Rec.Flow {
		out = append(out, o.expand(i, f, where[i])...)
	}
	return out
}

func (o *Op) expand(i int, f flowStep, at place) []step {
	kind, label := o.kind(), labelOf(o.kind(), i, f)
	var out []step
	switch {
	case f.By == byCore && f.Step.OS():
		out = []step{{name: label, class: checkable, run: osStep(i), limitOf: osLimit, tries: 10, firm: !f.Abortable, outside: true}}
	case f.By == byCore:
		return shown(i, o.coreSteps(f.Step.Step))
	case f.By == byDriver:
		out = []step{{name: label, class: checkable, run: outOfBand(i), limitOf: stepLimit(kind), firm: !f.Abortable}}
	case f.By == byAgent, f.By == byNobody:
		out = []step{{name: label, class: checkable, run: inBand(i), limitOf: stepLimit(kind), tries: 30, firm: !f.Abortable, outside: true}}
	case f.Step.Step == metal.StepHold:
		out = []step{{name: label, class: repeatable, run: holdHere(i, at.up)}}
	case f.Step.Step == metal.StepWait:
		limit := callback(kind)
		if seconds, _ := waitSeconds(f.Step); seconds > 0 {
			limit = func(*Config) time.Duration { return time.Duration(seconds)*time.Second + time.Hour }
		}
		out = []step{{name: label, class: repeatable, run: waitHere(i), limitOf: limit, outside: true}}
	case f.Step.Step == metal.StepPowerOff:
		return shown(i, []step{powerOff(label)})
	case f.Step.Step == metal.StepPowerOn && (!at.up || !at.off):
		return shown(i, []step{powerOn(label)})
	case f.Step.Step == metal.StepPowerOn:
		return shown(i, rebootSteps(label, kind, at.up)[1:])
	case f.Step.Step == metal.StepReboot:
		return shown(i, rebootSteps(label, kind, at.up))
	}
	if f.RebootRequested {
		out = append(out, rebootSteps(label, kind, at.up)...)
	}
	return out
}

func powerOff(name string) step {
	return step{name: name + ": power off", class: atMostOnce, run: (*runner).askHardOff, verify: (*runner).seeOff, limit: 5 * time.Minute}
}

func powerOn(name string) step {
	return step{name: name + ": power on", class: atMostOnce, run: (*runner).askOn, verify: (*runner).seeOn, limit: 5 * time.Minute}
}

// rebootSteps switch the machine off and on. Where the agent runs, its ramdisk is booted again with an identity and
// a token of its own, and is waited for. They have no undo: that of the first boot undoes whichever boot is the
// last.
func rebootSteps(name string, kind metal.StepKind, up bool) []step {
	if !up {
		return []step{powerOff(name), powerOn(name)}
	}
	back := name + ": prepare boot" // a composed power_on begins there
	return concat([]step{
		powerOff(name),
		{name: back, class: repeatable, run: (*runner).prepareOff, limit: 15 * time.Minute},
	}, anew(back, []step{
		{name: name + ": insert boot media", class: checkable, run: (*runner).insertMedia, limit: 10 * time.Minute},
		{name: name + ": set boot device", class: checkable, run: (*runner).bootFromMedia, limit: 5 * time.Minute},
		powerOn(name),
		{name: name + ": wait for agent", class: repeatable, run: (*runner).awaitAgent, limitOf: callback(kind), outside: true},
	}))
}

// shown shows the composed step in the node's field while any of the steps behind it runs.
func shown(i int, steps []step) []step {
	out := slices.Clone(steps)
	for n := range out {
		run := out[n].run
		out[n].run = func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
			r.show(op, i)
			return run(r, ctx, op)
		}
	}
	return out
}

// show puts the composed step that runs into the node's field, as Ironic does.
func (r *runner) show(op *Op, i int) {
	f, kind := op.Rec.Flow[i], op.kind()
	stop := r.abort.Load() != nil
	op.Change(func(n *metal.Node) {
		shown := map[string]any{"interface": f.Interface, "step": f.Step.Step, "priority": f.Priority, "abortable": f.Abortable}
		if stop && !f.Abortable {
			shown["abort_after"] = true
		}
		*fieldOf(n, kind) = shown
	})
}

// begin notes that the work of a composed step has begun.
func (r *runner) begin(op *Op, i int) {
	op.Rec.Running, op.Rec.Ran = true, true
	r.show(op, i)
}

// fieldOf is the node's field for the step of a kind that runs.
func fieldOf(n *metal.Node, kind metal.StepKind) *map[string]any {
	switch kind {
	case metal.CleanSteps:
		return &n.CleanStep
	case metal.ServiceSteps:
		return &n.ServiceStep
	}
	return &n.DeployStep
}

// holdHere parks the operation until somebody asks for unhold: the node is held then, and is not any more.
func holdHere(i int, up bool) func(*runner, context.Context, *Op) (Outcome, error) {
	return func(r *runner, _ context.Context, op *Op) (Outcome, error) {
		r.show(op, i)
		if op.Rec.Running && metal.States[op.Node.ProvisionState].Kind != metal.Held {
			return done, nil
		}
		op.Rec.Running, op.Rec.Ran = true, true
		o := hold(metal.WaitUnhold, "somebody to ask for unhold or abort")
		if up {
			o = o.asking(store.AwaitSign)
		}
		return o, nil
	}
}

// waitHere waits for some seconds, or for the next call of the agent. It costs no process: the row is due then.
func waitHere(i int) func(*runner, context.Context, *Op) (Outcome, error) {
	return func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
		first := !op.Rec.Running
		r.begin(op, i)
		seconds, err := waitSeconds(op.Rec.Flow[i].Step)
		if err != nil {
			return Outcome{}, err
		}
		if seconds > 0 {
			if first {
				op.Rec.AskedAt = time.Now()
			}
			left := time.Until(op.Rec.AskedAt.Add(time.Duration(seconds) * time.Second))
			if left <= 0 {
				return done, nil
			}
			return again(left, "%d seconds to pass", seconds), nil
		}
		a, err := r.agentRow(ctx, op)
		if err != nil {
			return Outcome{}, err
		}
		if first {
			op.Rec.HeardAt = a.LastHeartbeat
		}
		if a.LastHeartbeat.After(op.Rec.HeardAt) {
			return done, nil
		}
		return waitFor(metal.WaitAgent, "the agent to call again").asking(store.AwaitSign), nil
	}
}
