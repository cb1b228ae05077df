package conductor

import (
	"context"
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// The plans of what a machine has beside its disks. Those that go on after their caller was answered have two steps:
// the first says whether the driver can do it at all, and the caller waits for that; the second does it.
var (
	attachMediaPlan = accepted("attach virtual media", (*runner).mayAttach, (*runner).attachMedia)
	detachMediaPlan = accepted("detach virtual media", (*runner).canAttach, (*runner).detachMedia)
	readMediaPlan   = question("list virtual media", (*runner).readMedia)
	consolePlan     = accepted("set console", (*runner).maySetConsole, (*runner).setConsole)
	readConsolePlan = question("read console", (*runner).readConsole)
	nmiPlan         = question("inject nmi", (*runner).injectNMI)
	indicatorsPlan  = question("list indicators", (*runner).listIndicators)
	readLightPlan   = question("read indicator", (*runner).readLight)
	setLightPlan    = question("set indicator", (*runner).setLight)
)

// accepted is a plan whose caller waits for its first step.
func accepted(name string, check func(*runner, *Op) error, do func(*runner, context.Context, *Op) (Outcome, error)) plan {
	judge := func(r *runner, _ context.Context, op *Op) (Outcome, error) {
		err := check(r, op)
		if op.Rec.Begun = err == nil; op.Rec.Begun && op.row.Exclusive {
			op.Change(func(n *metal.Node) {
				if metal.States[n.ProvisionState].Kind != metal.Failed { // there it says why
					n.LastError = ""
				}
			})
		}
		return done, err
	}
	return plan{quiet: true, steps: []step{
		{name: "check", class: repeatable, run: judge, limit: time.Minute, tries: 1},
		{name: name, class: checkable, run: do, limit: 5 * time.Minute},
	}}
}

// asked turns what a driver finds that its machine has not into the answer of one that the driver cannot do: for a
// caller both mean that there is nothing to ask for.
func asked(err error) error {
	if fault.KindOf(err) == fault.NotSupported {
		return fault.Wrap(fault.Invalid, err, "%s", sentence(err))
	}
	return err
}

// act does something to the machine, under the fence.
func (r *runner) act(ctx context.Context, do func() error) error {
	if err := metal.Fence(ctx); err != nil {
		return err
	}
	return do()
}

// lacks tells whether the node has chosen not to have an interface.
func lacks(op *Op, kind string) bool {
	have := op.Node.Interface(kind)
	return have == "noop" || metal.Lacks(have)
}

func (r *runner) canAttach(op *Op) error {
	if r.hw.Drives == nil || lacks(op, "management") {
		return unsupported(op.Node, "attach_virtual_media")
	}
	return nil
}

func (r *runner) mayAttach(op *Op) error {
	if op.Rec.Ask.Medium == nil {
		return fault.New(fault.Invalid, "no image was asked for")
	}
	return r.canAttach(op)
}

func (r *runner) attachMedia(ctx context.Context, op *Op) (Outcome, error) {
	return done, r.act(ctx, func() error { return r.hw.Drives.AttachMedia(ctx, op.Node, *op.Rec.Ask.Medium) })
}

func (r *runner) detachMedia(ctx context.Context, op *Op) (Outcome, error) {
	return done, r.act(ctx, func() error { return r.hw.Drives.DetachMedia(ctx, op.Node, op.Rec.Ask.MediaKinds) })
}

func (r *runner) readMedia(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.canAttach(op); err != nil {
		return Outcome{}, err
	}
	list, err := r.hw.Drives.MediaDevices(ctx, op.Node)
	if err != nil {
		return Outcome{}, asked(err)
	}
	return done, op.Answer(list)
}

func (r *runner) hasConsole(op *Op) error {
	if r.hw.Terminal == nil || lacks(op, "console") {
		return unsupported(op.Node, "console")
	}
	return nil
}

func (r *runner) maySetConsole(op *Op) error {
	if op.Rec.Ask.Console == nil {
		return fault.New(fault.Invalid, "nothing was asked for")
	}
	return r.hasConsole(op)
}

func (r *runner) setConsole(ctx context.Context, op *Op) (Outcome, error) {
	on, change := *op.Rec.Ask.Console, r.hw.Terminal.StopConsole
	if on {
		change = r.hw.Terminal.StartConsole
	}
	if err := r.act(ctx, func() error { return change(ctx, op.Node) }); err != nil {
		return Outcome{}, err
	}
	op.Change(func(n *metal.Node) { n.ConsoleEnabled = on })
	return done, nil
}

// readConsole answers nil for a console that is not enabled.
func (r *runner) readConsole(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.hasConsole(op); err != nil {
		return Outcome{}, err
	}
	if !op.Node.ConsoleEnabled {
		return done, op.Answer(nil)
	}
	info, err := r.hw.Terminal.ConsoleInfo(ctx, op.Node)
	if err != nil {
		return Outcome{}, asked(err)
	}
	return done, op.Answer(info)
}

func (r *runner) injectNMI(ctx context.Context, op *Op) (Outcome, error) {
	if r.hw.NMI == nil || lacks(op, "management") {
		return Outcome{}, unsupported(op.Node, "inject_nmi")
	}
	return done, asked(r.act(ctx, func() error { return r.hw.NMI.InjectNMI(ctx, op.Node) }))
}

func (r *runner) hasLights(op *Op) error {
	if r.hw.Lights == nil || lacks(op, "management") {
		return unsupported(op.Node, "indicators")
	}
	return nil
}

func (r *runner) listIndicators(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.hasLights(op); err != nil {
		return Outcome{}, err
	}
	list, err := r.hw.Lights.Indicators(ctx, op.Node)
	if err != nil {
		return Outcome{}, asked(err)
	}
	return done, op.Answer(list)
}

func (r *runner) readLight(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.hasLights(op); err != nil {
		return Outcome{}, err
	}
	state, err := r.hw.Lights.Indicator(ctx, op.Node, op.Rec.Ask.Indicator)
	if err != nil {
		return Outcome{}, asked(err)
	}
	return done, op.Answer(state)
}

func (r *runner) setLight(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.hasLights(op); err != nil {
		return Outcome{}, err
	}
	if state := op.Rec.Ask.Light; !slices.Contains(metal.IndicatorStates, state) {
		return Outcome{}, fault.New(fault.Invalid, "%q is not a state of an indicator: use one of %s", state, strings.Join(metal.IndicatorStates, ", "))
	}
	return done, asked(r.act(ctx, func() error { return r.hw.Lights.SetIndicator(ctx, op.Node, op.Rec.Ask.Indicator, op.Rec.Ask.Light) }))
}
