package conductor

import (
	"context"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// checkRescuePlan answers whether a rescue could be done; ops asks it before anything of the node changes. The plan of the
// rescue itself begins with the same check.
var checkRescuePlan = question("check rescue", (*runner).checkRescue)

// checkRescue finds what would keep a rescue from getting anywhere: what it says is for whoever asked.
func (r *runner) checkRescue(ctx context.Context, op *Op) (Outcome, error) {
	if len(op.missing) > 0 {
		return Outcome{}, fault.New(fault.Invalid, "This server does not have %s of node %s.", op.missingWords(), op.Node.UUID)
	}
	if out, err := r.checkDriverInfo(ctx, op); err != nil {
		return out, err
	}
	return done, r.checkRescueHash(ctx, op)
}

// checkRescueHash tells whether the hash of the password can be had; it is not kept.
func (r *runner) checkRescueHash(ctx context.Context, op *Op) error {
	ref := op.Rec.Ask.Secrets
	switch {
	case ref == nil:
		return nil
	case r.c.secrets == nil:
		return fault.New(fault.NotSupported, "This server can not fetch the password of a rescue.")
	}
	_, err := r.c.secrets.StepSecret(ctx, ref, op.row.UUID, metal.RescueHash)
	return err
}
