package conductor

import (
	"context"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// powerPlan is the order of work behind PUT states/power.
var powerPlan = plan{
	steps: []step{
		{name: "switch off", class: atMostOnce, run: (*runner).askOff, verify: (*runner).seeOff, limit: 15 * time.Minute,
			skip: func(o *Op) bool { return o.Rec.Ask.Power == metal.PowerOn }},
		{name: "switch on", class: atMostOnce, run: (*runner).askOn, verify: (*runner).seeOn, limit: 10 * time.Minute,
			skip: func(o *Op) bool { return o.Rec.Ask.Power == metal.PowerOff || o.Rec.Ask.Power == metal.SoftPowerOff }},
		{name: "record power", class: repeatable, run: (*runner).recordPower, limit: time.Minute},
	},
}

// askOff asks for off, softly if the caller said so.
func (r *runner) askOff(ctx context.Context, op *Op) (Outcome, error) {
	want := metal.PowerOff
	if p := op.Rec.Ask.Power; p == metal.SoftPowerOff || p == metal.SoftReboot {
		want = metal.SoftPowerOff
	}
	return r.ask(ctx, op, want)
}

func (r *runner) askOn(ctx context.Context, op *Op) (Outcome, error) {
	return r.ask(ctx, op, metal.PowerOn)
}

// ask looks first and then asks the BMC for the state, unless the machine is there already.
func (r *runner) ask(ctx context.Context, op *Op, want metal.Power) (Outcome, error) {
	reached := want
	if want == metal.SoftPowerOff {
		reached = metal.PowerOff
	}
	is, err := r.power(ctx, op)
	if err != nil || is == reached {
		return done, err
	}
	if err := r.hw.Power.SetPower(ctx, op.Node, want); err != nil {
		return Outcome{}, err
	}
	op.Rec.AskedAt = time.Now()
	return r.see(ctx, op, reached)
}

func (r *runner) seeOff(ctx context.Context, op *Op) (Outcome, error) {
	return r.see(ctx, op, metal.PowerOff)
}

func (r *runner) seeOn(ctx context.Context, op *Op) (Outcome, error) {
	return r.see(ctx, op, metal.PowerOn)
}

// see waits until the machine is in the state that was asked for. A request that shows no effect within
// its grace did not happen, and is an error.
func (r *runner) see(ctx context.Context, op *Op, want metal.Power) (Outcome, error) {
	is, err := r.power(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	if is == want {
		return done, nil
	}
	if op.Rec.AskedAt.IsZero() { // the process died between the try and its record
		op.Rec.AskedAt, op.Rec.Unsure = time.Now(), true
	}
	allowed, asked := r.patience(op), "being asked"
	if op.Rec.Unsure {
		asked = "when it was asked, or was not: the conductor died then"
	}
	if op.Rec.Unsure && allowed < r.c.config.PowerGrace && time.Since(op.Rec.AskedAt) > allowed && r.byButton(ctx, op, want) {
		allowed = r.c.config.PowerGrace
	}
	if time.Since(op.Rec.AskedAt) > allowed {
		op.Rec.AskedAt, op.Rec.Unsure = time.Time{}, false
		return Outcome{}, fault.New(fault.Unavailable, "the machine did not reach %q within %s of %s: it is %q", want, allowed, asked, is)
	}
	return again(r.c.config.Poll, "the machine to reach %q", want), nil
}

// byButton tells whether the machine was asked by a press of its button; so it is taken to be where that cannot be found out.
func (r *runner) byButton(ctx context.Context, op *Op, want metal.Power) bool {
	b, ok := r.hw.Power.(Button)
	if !ok {
		return false
	}
	pressed, err := b.ByButton(ctx, op.Node, want)
	return pressed || err != nil
}

// patience is how long a machine may take. One that perhaps was never asked is asked soon again, which does no harm but where
// it was asked softly, or by its button: a second press may be for something else.
func (r *runner) patience(op *Op) time.Duration {
	allowed := r.c.config.PowerGrace
	if p := op.Rec.Ask.Power; p == metal.SoftPowerOff || p == metal.SoftReboot {
		allowed = r.c.config.SoftPowerLimit
	} else if op.Rec.Unsure {
		return min(allowed, r.c.config.PowerDoubt)
	}
	if s := op.Rec.Ask.Seconds; s > 0 {
		allowed = time.Duration(s) * time.Second
	}
	return allowed
}

// power reads the state and notes it for the node.
func (r *runner) power(ctx context.Context, op *Op) (metal.Power, error) {
	if r.hw.Power == nil {
		return "", fault.New(fault.Invalid, "driver %s cannot control power", op.Node.Driver)
	}
	is, err := r.hw.Power.Power(ctx, op.Node)
	if err == nil && (op.row.Verb != verbSync || is == op.Rec.Ask.Power) { // a sync brings it to what is recorded
		op.Change(func(n *metal.Node) { n.PowerState = is })
	}
	return is, err
}

func (r *runner) recordPower(ctx context.Context, op *Op) (Outcome, error) {
	_, err := r.power(ctx, op)
	op.Change(func(n *metal.Node) { n.TargetPowerState = "" })
	return done, err
}
