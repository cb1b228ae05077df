package conductor

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"ingot/internal/depot"
	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/source"
	"ingot/internal/store"
)

// The plans of requests that are answered at once: one step, tried once, its answer in the row.
var (
	validatePlan  = question("validate", (*runner).validate)
	readBootPlan  = question("read boot device", (*runner).readBoot)
	setBootPlan   = question("set boot device", (*runner).setBoot)
	bootKindsPlan = question("read boot devices", (*runner).bootKinds)
)

func question(name string, run func(*runner, context.Context, *Op) (Outcome, error)) plan {
	return plan{quiet: true, steps: []step{{name: name, class: repeatable, run: run, limit: time.Minute, tries: 1}}}
}

// validate says for each interface whether it could work. Source of the shape: rest-api reference §2.6.
func (r *runner) validate(ctx context.Context, op *Op) (Outcome, error) {
	yes, no := true, false
	out := map[string]metal.Validation{}
	for _, kind := range metal.InterfaceKinds {
		if kind.Name == "vendor" {
			continue
		}
		if err := r.validOne(ctx, op, kind.Name); err != nil {
			out[kind.Name] = metal.Validation{Result: &no, Reason: sentence(err)}
			continue
		}
		out[kind.Name] = metal.Validation{Result: &yes}
	}
	if *out["network"].Result {
		warnings, err := r.checkNetworks(ctx, op)
		if out["network"] = (metal.Validation{Result: &yes, Reason: strings.Join(warnings, " ")}); err != nil {
			out["network"] = metal.Validation{Result: &no, Reason: sentence(err)}
		}
	}
	if v := out["management"]; *v.Result && r.hw.Guard != nil {
		v.Reason = strings.Join(r.guardWarnings(ctx, op), " ")
		out["management"] = v
	}
	return done, op.Answer(out)
}

// validOne says what would keep one interface of a node from working.
func (r *runner) validOne(ctx context.Context, op *Op, kind string) error {
	n, name := op.Node, op.Node.Interface(kind)
	switch {
	case slices.Contains(op.missing, kind):
		return fault.New(fault.Invalid, "The %s interface %q is not enabled on this server.", kind, name)
	case metal.Lacks(name) && (name != "" || r.hw.Parts != nil):
		return unsupported(n, kind)
	case !r.hw.Type.Built(kind, name):
		return metal.Unbuilt(n, r.hw.Type, kind)
	}
	if err := r.hw.check(kind, n); err != nil {
		return err
	}
	polled, _ := metal.PollOnly(n, r.c.config.PollOnly) // what cannot be read is said next
	if err := r.c.checkPolled(n, r.hw.Part, polled, deployISO(n)); kind == "boot" && err != nil {
		return err
	}
	switch {
	case kind == "rescue":
		return r.validRescue(ctx, op)
	case kind == "boot" && r.hw.NetBoot != "":
		return r.checkNetNode(op)
	case kind == "boot" && !r.hw.ByHand:
		_, params, err := r.c.tryConfig(n)
		return cmp.Or(err, depot.CheckKernelParams(params))
	case kind == "deploy" && r.hw.Installs && metal.HasInstaller(n) && n.InstanceInfo.Public("image_source") == "": // an installer of its own
		return r.checkMedium(op)
	case kind == "deploy" && r.hw.Installs && n.InstanceInfo.Public("image_source") == "": // a definition need not have one
		return r.checkInstallBoot(op)
	case kind == "deploy" && r.hw.Deploys == ByAgent && n.InstanceInfo.Public("image_source") == "":
		return fault.New(fault.Invalid, "instance_info has no image_source")
	case kind == "deploy" && r.hw.Deploys == ByAgent:
		_, err := r.c.imageSource(n, polled)
		info := n.InstanceInfo.Expose()
		return cmp.Or(err, r.c.config.ImageRules.CheckDeclared(info), source.CheckImage(info, r.c.origins.Rules()), r.validInstall(ctx, op))
	}
	return nil
}

// validInstall is checkInstallBoot for a node that has an image and is installed with more, which a rebuild does again: only then its machine
// boots the ramdisk that installs.
func (r *runner) validInstall(ctx context.Context, op *Op) error {
	if !r.hw.Installs {
		return nil
	}
	var i *store.OSInstall
	err := r.c.db.Read(ctx, func(tx *store.Tx) (err error) {
		i, err = tx.OSInstall(op.Node)
		return err
	})
	if err != nil || i == nil || i.Mode != osdef.ModeInstall || i.DefinitionID == 0 && i.Package == "" {
		return err
	}
	return r.checkInstallBoot(op)
}

// unsupported is upstream's answer to what a node's driver does not have.
func unsupported(n *metal.Node, kind string) error {
	return fault.New(fault.Invalid, "Driver %s does not support %s (disabled or not implemented).", n.Driver, kind)
}

// canBoot tells whether the node's management can be asked at all, and how long it takes.
func (r *runner) canBoot(op *Op) (wait time.Duration, err error) {
	switch name := op.Node.Interface("management"); {
	case !r.hw.Type.Built("management", name):
		return 0, metal.Unbuilt(op.Node, r.hw.Type, "management")
	case r.hw.Boot == nil:
		return 0, unsupported(op.Node, "management")
	}
	return r.pause(op, "management"), nil
}

func (r *runner) readBoot(ctx context.Context, op *Op) (Outcome, error) {
	if wait, err := r.canBoot(op); err != nil || wait > 0 {
		return again(wait, "the machine's management to answer"), err
	}
	d, err := r.hw.Boot.BootDevice(ctx, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	return done, op.Answer(d)
}

func (r *runner) setBoot(ctx context.Context, op *Op) (Outcome, error) {
	if wait, err := r.canBoot(op); err != nil || wait > 0 {
		return again(wait, "the machine's management to answer"), err
	}
	if op.Rec.Ask.BootDevice == nil {
		return Outcome{}, fault.New(fault.Invalid, "no boot device was asked for")
	}
	return done, r.hw.Boot.SetBootDevice(ctx, op.Node, *op.Rec.Ask.BootDevice)
}

func (r *runner) bootKinds(ctx context.Context, op *Op) (Outcome, error) {
	if wait, err := r.canBoot(op); err != nil || wait > 0 {
		return again(wait, "the machine's management to answer"), err
	}
	kinds, err := r.hw.Boot.BootDevices(ctx, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	return done, op.Answer(kinds)
}
