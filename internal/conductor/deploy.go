package conductor

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/metal"
)

// deployPlan is the order of work behind "active". Its middle is composed: the core steps, with those of the caller,
// of deploy templates, of the driver and of the agent between them by priority.
var deployPlan = plan{
	done: metal.EventDone,
	fail: metal.EventFail,
	steps: []step{
		{name: "check deploy steps", class: repeatable, run: (*runner).composeDeploy, limit: time.Minute},
		{name: "check boot settings", class: repeatable, run: (*runner).checkFirmware, limit: 5 * time.Minute},
		{name: "check image", class: repeatable, run: (*runner).checkImage, limit: 10 * time.Minute, skip: noImage},
		{name: "bring image", class: repeatable, run: (*runner).bringImage, undo: (*runner).dropImageUndo, limitOf: writeLimit, skip: noBring},
		{name: "prepare metadata", class: repeatable, run: (*runner).prepareMetadata, limitOf: metadataLimit},
		{name: "build config drive", class: repeatable, run: (*runner).configDrive, limitOf: driveLimit, skip: noImage},
		{flow: true},
		{name: "finish deployment", class: repeatable, run: (*runner).deployed, limit: time.Minute},
	},
	onFail: func(_ *Op, n *metal.Node) {
		n.DeployStep = map[string]any{}
		delete(n.InternalInfo, metal.DeployProgressKey)
	},
}

// corePlaces are the steps of every deployment where they stand among others. Source: lifecycle reference §8.4.
var corePlaces = []metal.Step{
	{Interface: "deploy", Step: "deploy", Priority: 100, Abortable: true},
	{Interface: "deploy", Step: "write_image", Priority: 80, Abortable: true},
	{Interface: "deploy", Step: "prepare_instance_boot", Priority: 60, Abortable: true},
	{Interface: "deploy", Step: "tear_down_agent", Priority: 40, Abortable: true},
	{Interface: "deploy", Step: "switch_to_tenant_network", Priority: 30, Abortable: true},
	{Interface: "deploy", Step: "boot_instance", Priority: 20, Abortable: true},
}

// coreSteps is the work behind each of them.
var coreSteps = map[string][]step{
	"deploy": concat(limitedBy(agentCallback, bootAgent(nil, concat([]step{setMode}, forRamdisk(leaveTenant(keepsNetwork), enterNetwork(metal.ProvisioningNetwork)))...)), []step{
		{name: "see boot mode", class: repeatable, run: (*runner).seeBootMode, late: (*runner).whyNoMode, limitOf: settingLimit, skip: noModeWish},
		{name: getSteps(metal.DeploySteps), class: repeatable, run: (*runner).getDeploySteps, limit: 10 * time.Minute, tries: 10, skip: noRamdisk, outside: true},
	}),
	"write_image": {
		{name: "write image", class: checkable, run: (*runner).writeImage, limitOf: writeLimit, tries: 30, skip: noRamdisk, outside: true},
	},
	"prepare_instance_boot": {
		{name: "install boot entry", class: checkable, run: (*runner).installBootEntry, limit: 10 * time.Minute, tries: 10, skip: noRamdisk, outside: true},
	},
	"tear_down_agent":          leaveAgent,
	"switch_to_tenant_network": append(forRamdisk(leaveNetwork(metal.ProvisioningNetwork)), enterNetwork(metal.TenantNetwork)),
	"boot_instance": {
		pushMetadata,
		{name: "switch secure boot on", class: checkable, run: (*runner).secureBootOn, undo: (*runner).secureBootBack, limit: 15 * time.Minute, skip: noSecureWish},
		{name: "boot from disk", class: checkable, run: (*runner).bootFromDisk, limit: 5 * time.Minute, skip: noRamdisk},
		{name: "start instance", class: atMostOnce, run: (*runner).askOn, verify: (*runner).seeOn, undo: (*runner).powerOffUndo, limit: 5 * time.Minute},
		{name: "see secure boot", class: repeatable, run: (*runner).seeSecureBoot, late: (*runner).whyNoSecureBoot, limitOf: settingLimit, skip: noSecureWish},
	},
}

// composeDeploy composes with what is known before the agent runs: a list that cannot work is refused before the
// machine is touched.
func (r *runner) composeDeploy(ctx context.Context, op *Op) (Outcome, error) {
	op.Rec.Direct = r.hw.Deploys == ByAgent
	op.Rec.Ramdisk = op.Rec.Direct
	op.Rec.BootHosts = r.c.pusher != nil
	if err := r.planInstall(ctx, op); err != nil {
		return Outcome{}, err
	}
	flow, err := offers{core: op.corePlaces(), driver: r.driverSteps(op), final: !op.Rec.Direct}.deployment(op.Rec.Ask.Steps, op.Rec.Ask.TemplateSteps)
	if err != nil {
		return Outcome{}, err
	}
	return r.compose(op, flow)
}

// partitionFits refuses a partition image for a machine that could not be made to boot from it.
func partitionFits(op *Op) error {
	own, err := metal.Capabilities(op.Node.InstanceInfo.Expose()["capabilities"])
	switch {
	case err != nil:
		return fault.New(fault.Invalid, "instance_info: %s", err)
	case own["disk_label"] != "" && own["disk_label"] != image.GPT:
		return fault.New(fault.Invalid, "partition images get a GPT only: remove the capability disk_label from instance_info, or set it to gpt")
	case bootMode(op) == metal.BIOS:
		return fault.New(fault.Invalid, "partition images are deployed to machines that boot with UEFI, and node %s boots with a BIOS: use a whole-disk image", op.Node.UUID)
	case deployISO(op.Node) != "":
		return fault.New(fault.Invalid, "partition images are deployed by the agent of our own ramdisk only: use a whole-disk image, or remove deploy_iso")
	}
	return nil
}

// bootMode is how the machine is to boot, or does.
func bootMode(op *Op) string {
	return cmp.Or(op.Rec.Wish.Mode, op.Node.BootMode, metal.UEFI)
}

var base64Text = regexp.MustCompile(`^[A-Za-z0-9+/=\s]*$`)

// buildConfigDrive makes the drive of what was kept for the instance, where it is to have one: a ready one is there already.
func (r *runner) buildConfigDrive(ctx context.Context, op *Op) (Outcome, error) {
	want, err := r.wantsDrive(op)
	if err != nil || !want || op.Rec.ConfigDrive != "" {
		return done, err
	}
	s, err := r.instanceSeed(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	if s == nil {
		return Outcome{}, fault.New(fault.NotSupported, "a defect of this server: nothing was kept of the instance")
	}
	op.Rec.ConfigDrive, err = s.DriveAs(r.c.config.DriveFormat)
	return done, err
}

// wantsDrive tells whether the instance gets a config drive: where one was given, unless the node or the operator says otherwise.
func (r *runner) wantsDrive(op *Op) (bool, error) {
	info := op.Node.InstanceInfo.Expose()
	want, err := metal.WantsDrive(info)
	if err != nil || want != nil {
		return want != nil && *want, err
	}
	given := info["configdrive"]
	return r.c.config.ForceConfigDrive || given != nil && given != "", nil
}

// getDeploySteps asks what the agent can do, and composes for good. What was already run stays as it is: the steps
// before the boot of the ramdisk and that boot itself.
func (r *runner) getDeploySteps(ctx context.Context, op *Op) (Outcome, error) {
	steps, err := r.agentSteps(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	flow, err := offers{core: op.corePlaces(), driver: r.driverSteps(op), agent: steps, final: true}.deployment(op.Rec.Ask.Steps, op.Rec.Ask.TemplateSteps)
	if err != nil {
		return Outcome{}, err
	}
	boot := func(f flowStep) bool { return f.By == byCore && f.Step.Step == "deploy" }
	before, now := slices.IndexFunc(op.Rec.Flow, boot), slices.IndexFunc(flow, boot)
	if before < 0 || now < 0 {
		return Outcome{}, fault.New(fault.NotSupported, "a defect of this server: the flow has lost the step deploy.deploy")
	}
	flow = slices.Concat(op.Rec.Flow[:before], flow[now:])
	writes := func(f flowStep) bool { return f.By == byCore && f.Step.Step == "write_image" }
	if can := func(s metal.Step) bool { return s.Step == "write_image" }; slices.ContainsFunc(flow, writes) && !slices.ContainsFunc(steps, can) {
		return Outcome{}, fault.New(fault.Invalid, "the agent offers no deploy step write_image")
	}
	return r.compose(op, flow)
}

func (r *runner) writeImage(ctx context.Context, op *Op) (Outcome, error) {
	s := metal.Step{Interface: "deploy", Step: "write_image", Priority: 80}
	res, ended, err := r.stepCommandOf(ctx, op, s, "writing the image", func() (map[string]any, error) {
		info, err := r.imageForAgent(ctx, op)
		args := map[string]any{"image_info": info}
		if op.Rec.ConfigDrive != "" { // upstream's agent takes an empty one for one that is damaged
			args["configdrive"] = op.Rec.ConfigDrive
		}
		return args, err
	})
	if err != nil && res.CommandStatus == agentapi.Failed {
		anew, offerErr := r.offerAgain(ctx, op)
		if !anew && offerErr == nil {
			anew, offerErr = r.bringAgain(ctx, op)
		}
		if anew || offerErr != nil {
			op.Rec.Sent++ // what failed has ended
			return again(0, "the image to be written from another server"), offerErr
		}
	}
	switch {
	case errors.Is(err, errMismatch):
		return r.mismatch(ctx, op)
	case err != nil || ended:
		return done, err
	}
	return r.toEnd(op, "the agent to write the image"), nil
}

// installBootEntry makes the firmware boot the new disk first.
func (r *runner) installBootEntry(ctx context.Context, op *Op) (Outcome, error) {
	mode := bootMode(op)
	if mode == metal.BIOS {
		return done, nil // a whole disk brings its own; upstream's agent would try to install another
	}
	_, ended, err := r.command(ctx, op, ordered{name: "image.install_bootloader", what: "installing the boot entry"},
		ready(map[string]any{"root_uuid": nil, "efi_system_part_uuid": nil, "prep_boot_part_uuid": nil, "target_boot_mode": mode}))
	if err != nil || ended {
		return done, err
	}
	return r.toEnd(op, "the agent to install the boot entry"), nil
}

// deployed tidies up: what the deployment alone needed leaves the record. The node keeps its instance_info, the
// config drive in it too, until it is torn down: a rebuild needs it.
func (r *runner) deployed(ctx context.Context, op *Op) (Outcome, error) {
	if left := r.pause(op, "deploy", "storage"); left > 0 {
		return again(left, "the deployment to have taken its time"), nil
	}
	r.dropImage(ctx, op)
	installed(op)
	whole := op.Rec.Image == nil || op.Rec.Image.Partitions == nil
	op.Rec.ConfigDrive, op.Rec.Image, op.Rec.ImageFile, op.Rec.ImageBy, op.Rec.ImageFrom = "", nil, "", "", ""
	op.Change(func(n *metal.Node) {
		n.DeployStep = map[string]any{}
		if n.InternalInfo == nil {
			n.InternalInfo = map[string]any{}
		}
		n.InternalInfo["is_whole_disk_image"] = whole
	})
	return done, nil
}
