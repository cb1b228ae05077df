package conductor

import (
	"cmp"
	"context"
	"strings"
	"time"

	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// The plans of requests that are answered at once: one step, tried once, its answer in the row.
var (
	validatePlan  = question("validate", (*runner).validate)
	readBootPlan  = question("read boot device", (*runner).readBoot)
	setBootPlan   = question("set boot device", (*runner).setBoot)
	bootKindsPlan = question("read boot devices", (*runner).bootKinds)
)

func question(name string, run func(*runner, context.Context, *Op) (Outcome, error)) plan {
	return plan{steps: []step{{name: name, class: repeatable, run: run, limit: time.Minute, tries: 1}}}
}

// validate says for each interface whether it could work. Source of the shape: rest-api reference §2.6.
func (r *runner) validate(_ context.Context, op *Op) (Outcome, error) {
	yes, no := true, false
	var driverInfo error
	if r.hw.Validator != nil {
		driverInfo = r.hw.Validator.Validate(op.Node)
	}
	if _, params, err := r.c.bootConfig(op.Node, secret.Secret{}); driverInfo == nil {
		driverInfo = cmp.Or(err, depot.CheckKernelParams(params))
	}
	verdict := func(err error) metal.Validation {
		if err != nil {
			return metal.Validation{Result: &no, Reason: sentence(err)}
		}
		return metal.Validation{Result: &yes}
	}
	out := map[string]metal.Validation{}
	for _, kind := range metal.InterfaceKinds {
		if kind.Name == "vendor" {
			continue
		}
		switch kind.Name {
		case "power", "management", "boot":
			out[kind.Name] = verdict(driverInfo)
		case "deploy":
			err := driverInfo
			if err == nil && !noRamdisk(op) && op.Node.InstanceInfo.Public("image_source") == "" {
				err = fault.New(fault.Invalid, "instance_info has no image_source")
			}
			out[kind.Name] = verdict(err)
		case "network", "storage":
			out[kind.Name] = verdict(nil)
		default:
			if have := op.Node.Interfaces[kind.Name]; have == "" || strings.HasPrefix(have, "no-") {
				out[kind.Name] = metal.Validation{Result: &no, Reason: "Driver " + op.Node.Driver + " does not support " + kind.Name + " (disabled or not implemented)."}
				continue
			}
			out[kind.Name] = verdict(nil)
		}
	}
	return done, op.Answer(out)
}

func (r *runner) canBoot(op *Op) error {
	if r.hw.Boot == nil {
		return fault.New(fault.Invalid, "Driver %s does not support management (disabled or not implemented).", op.Node.Driver)
	}
	return nil
}

func (r *runner) readBoot(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.canBoot(op); err != nil {
		return Outcome{}, err
	}
	d, err := r.hw.Boot.BootDevice(ctx, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	return done, op.Answer(d)
}

func (r *runner) setBoot(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.canBoot(op); err != nil {
		return Outcome{}, err
	}
	if op.Rec.Ask.BootDevice == nil {
		return Outcome{}, fault.New(fault.Invalid, "no boot device was asked for")
	}
	return done, r.hw.Boot.SetBootDevice(ctx, op.Node, *op.Rec.Ask.BootDevice)
}

func (r *runner) bootKinds(ctx context.Context, op *Op) (Outcome, error) {
	if err := r.canBoot(op); err != nil {
		return Outcome{}, err
	}
	kinds, err := r.hw.Boot.BootDevices(ctx, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	return done, op.Answer(kinds)
}
