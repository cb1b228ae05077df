package conductor

import (
	"context"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// The plans of vendor passthru. A driver may do anything: a call is tried once.
var (
	vendorPlan     = once(accepted("call vendor method", (*runner).checkVendor, (*runner).callVendor))
	vendorWaitPlan = question("call vendor method", (*runner).answerVendor)
	vendorListPlan = question("list vendor methods", (*runner).vendorMethods)
)

func once(p plan) plan {
	p.steps[1].class, p.steps[1].verify, p.steps[1].tries = atMostOnce, (*runner).unknownVendor, 1
	return p
}

// methodsOf are the node's vendor methods: none where it has chosen to have none.
func (r *runner) methodsOf(op *Op) map[string]metal.VendorMethod {
	if r.hw.Vendor == nil || lacks(op, "vendor") {
		return map[string]metal.VendorMethod{}
	}
	return r.hw.Vendor.VendorMethods(op.Node)
}

func (r *runner) vendorMethods(_ context.Context, op *Op) (Outcome, error) {
	return done, op.Answer(r.methodsOf(op))
}

// checkVendor finds the method and asks the driver whether the call can be made.
func (r *runner) checkVendor(op *Op) error {
	ask := op.Rec.Ask.Vendor
	if ask == nil {
		return fault.New(fault.Invalid, "no method was asked for")
	}
	m, known := r.methodsOf(op)[ask.Method]
	switch {
	case !known:
		return fault.New(fault.Invalid, "No handler for method %s", ask.Method)
	case !slices.Contains(m.HTTP, ask.HTTP):
		return fault.New(fault.Invalid, "The method %s does not support HTTP %s; it supports %s", ask.Method, ask.HTTP, strings.Join(m.HTTP, ", "))
	}
	return r.hw.Vendor.CheckVendor(op.Node, *ask)
}

func (r *runner) callVendor(ctx context.Context, op *Op) (Outcome, error) {
	return done, r.act(ctx, func() error {
		_, err := r.hw.Vendor.CallVendor(ctx, op.Node, *op.Rec.Ask.Vendor)
		return err
	})
}

// unknownVendor is what is known of a call whose end nobody saw.
func (r *runner) unknownVendor(_ context.Context, op *Op) (Outcome, error) {
	return Outcome{}, fault.New(fault.Unavailable, "the server stopped during the call of the vendor method %s: nobody knows what became of it", op.Rec.Ask.Vendor.Method)
}

func (r *runner) answerVendor(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.checkVendor(op); err != nil {
		return Outcome{}, err
	}
	return done, asked(r.act(ctx, func() error {
		v, err := r.hw.Vendor.CallVendor(ctx, op.Node, *op.Rec.Ask.Vendor)
		if err != nil {
			return err
		}
		return op.Answer(v)
	}))
}
