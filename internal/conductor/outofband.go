package conductor

import (
	"context"
	"fmt"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// driverSteps is what the node's driver offers.
func (r *runner) driverSteps(op *Op) []metal.Step {
	if r.hw.Steps == nil {
		return nil
	}
	return r.hw.Steps.Steps(op.Node, op.kind())
}

// outOfBand has the driver run a composed step. The key tells the driver that a second entry means the same run.
func outOfBand(i int) func(*runner, context.Context, *Op) (Outcome, error) {
	return func(r *runner, ctx context.Context, op *Op) (Outcome, error) {
		f, kind := op.Rec.Flow[i], op.kind()
		if r.hw.Steps == nil {
			return Outcome{}, fault.New(fault.Invalid, "driver %s offers no steps any more", op.Node.Driver)
		}
		r.begin(op, i)
		s := f.Step
		var err error
		if s.Args, err = r.resolveArgs(ctx, op, f.Args); err != nil {
			return Outcome{}, err
		}
		waiting, err := r.hw.Steps.RunStep(ctx, op.Node, kind, s, fmt.Sprintf("%s/%d", op.row.UUID, i))
		if err != nil {
			return Outcome{}, r.refused(ctx, op, err)
		}
		if waiting = r.scrubbed(ctx, op, waiting); waiting != "" {
			return again(r.c.config.Poll, "%s step %s (%d of %d): %s", kind, f.Name(), i+1, len(op.Rec.Flow), waiting), nil
		}
		r.changed(ctx, op, s)
		r.event(op, "step", "INFO", fmt.Sprintf("%s step %s is done (%d of %d).", capital(string(kind)), f.Name(), i+1, len(op.Rec.Flow)))
		return done, nil
	}
}
