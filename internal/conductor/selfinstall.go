package conductor

import (
	"cmp"
	"context"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/osdef"
	"ingot/internal/source"
	"ingot/internal/store"
)

// A machine that installs itself (execution mode self_install) boots a medium of its user's, once, on its user's network. No agent of
// ours runs. What it says by the metadata service's channel is all that is known of it: its first request, its progress, and its last
// word, with which the installation has ended. See docs/decisions/0077-machines-that-install-themselves.md.

// selfRecord is what an operation remembers of a machine that installs itself.
type selfRecord struct {
	HeardAt time.Time `json:"heard_at,omitzero"` // the last change of its channel that was looked at
	Off     bool      `json:"off,omitempty"`     // the machine was off at the last look
	Log     string    `json:"log,omitempty"`     // what it said beside its progress, the end of it, scrubbed
}

// self tells whether the machine installs itself.
func (o *osRecord) self() bool { return o != nil && o.Self != nil }

// selfPlaces are the core steps of such a deployment where they stand among others.
var selfPlaces = []metal.Step{
	{Interface: "deploy", Step: "deploy", Priority: 100, Abortable: true},
	{Interface: "deploy", Step: installStep.Step, Priority: installStep.Priority, Abortable: true},
	{Interface: "deploy", Step: "tear_down_agent", Priority: 40, Abortable: true},
	{Interface: "deploy", Step: "boot_instance", Priority: 20, Abortable: true},
}

// selfSteps is the work behind each of them. Undone in reverse from any place, it leaves the machine off, its drive empty and its boot
// device the disk.
var selfSteps = map[string][]step{
	"deploy": {
		{name: "check installer medium", class: repeatable, run: (*runner).planMedium, limitOf: writeLimit},
		{name: "bring installer medium", class: repeatable, run: (*runner).bringMedium, undo: (*runner).dropImageUndo, limitOf: writeLimit},
		{name: "power off", class: atMostOnce, run: (*runner).askHardOff, verify: (*runner).seeOff, limit: 5 * time.Minute},
		setMode,
		enterNetwork(metal.TenantNetwork),
		pushMetadata,
		{name: "open channel", class: repeatable, run: (*runner).openChannel, undo: (*runner).closeChannel, limit: time.Minute},
		{name: "insert boot media", class: checkable, run: (*runner).offerInstaller, undo: (*runner).ejectUndo, limit: 10 * time.Minute},
		{name: "set boot device", class: checkable, run: (*runner).bootFromMedia, undo: (*runner).bootFromDiskUndo, limit: 5 * time.Minute},
		{name: "start installer", class: atMostOnce, run: (*runner).askOn, verify: (*runner).seeOn, undo: (*runner).powerOffUndo, limit: 5 * time.Minute},
		{name: "wait for installer", class: repeatable, run: (*runner).awaitInstaller, undo: (*runner).keepSelfLogs, limitBy: agentCallback, outside: true, late: (*runner).whyNoInstaller},
	},
	installStep.Step: {
		{name: "self install", class: repeatable, run: (*runner).awaitSelfInstall, limitOf: selfLimit, outside: true, late: (*runner).whyNoEnd},
	},
	"tear_down_agent": {
		{name: "stop installer", class: atMostOnce, run: (*runner).askSoftOff, verify: (*runner).askSoftOffAgain, limit: 5 * time.Minute},
		{name: "see power off", class: checkable, run: (*runner).awaitOff, limit: 10 * time.Minute},
		{name: "eject boot media", class: checkable, run: (*runner).ejectMedia, limit: 5 * time.Minute},
		{name: "close channel", class: repeatable, run: (*runner).channelClosed, limit: time.Minute},
	},
	"boot_instance": {
		{name: "switch secure boot on", class: checkable, run: (*runner).secureBootOn, undo: (*runner).secureBootBack, limit: 15 * time.Minute, skip: noSecureWish},
		{name: "boot from disk", class: checkable, run: (*runner).bootFromDisk, limit: 5 * time.Minute},
		{name: "start instance", class: atMostOnce, run: (*runner).askOn, verify: (*runner).seeOn, undo: (*runner).powerOffUndo, limit: 5 * time.Minute},
		{name: "see secure boot", class: repeatable, run: (*runner).seeSecureBoot, late: (*runner).whyNoSecureBoot, limitOf: settingLimit, skip: noSecureWish},
	},
}

// selfLimit is how long the installer may take from its first word to its last; 0: for ever.
func selfLimit(c *Config) time.Duration { return c.OSInstall.Limit }

// planSelf finds what would keep a machine from installing itself, before it is touched.
func (r *runner) planSelf(ctx context.Context, op *Op, i *store.OSInstall, d *osdef.Record) error {
	op.Rec.OS = &osRecord{Private: len(private(i, d)) > 0, Self: &selfRecord{}}
	op.Rec.Direct, op.Rec.Ramdisk = false, false // no agent runs
	if err := r.checkMedium(op); err != nil {
		return err
	}
	h, err := r.hiddenValues(ctx, op, i)
	if err != nil {
		return err
	}
	if _, err := osParameters(i, d, h); err != nil {
		return err
	}
	if drive, err := r.wantsDrive(op); err == nil && drive {
		r.event(op, "step", "INFO", "No config drive is written, for the installer writes the disks. The metadata service has what would be on it.")
	}
	showMode(op, osdef.ModeSelfInstall)
	return nil
}

// checkMedium says what keeps a node from booting an installer, without asking its machine or anybody else.
func (r *runner) checkMedium(op *Op) error {
	n := op.Node
	_, err := metal.InstallerOf(n)
	switch {
	case err != nil:
		return err
	case r.hw.NetBoot == "" && (r.hw.ByHand || r.hw.Media == nil || r.hw.Boot == nil):
		return fault.New(fault.NotSupported, "an installer is booted from virtual media or from the network, and node %s has the boot interface %q: set it to redfish-virtual-media, http, ipxe or http-ipxe", n.UUID, n.Interface("boot"))
	case r.c.images == nil:
		return fault.New(fault.Unavailable, "this server brings no images, and an installer is fetched and verified before its machine boots it")
	case r.hw.NetBoot != "":
		return r.checkNetInstaller(op)
	}
	return nil
}

// planMedium finds out what the installer must be. The user named its address: the BMC, which may reach more than the user, does not
// fetch from there, and firmware verifies nothing. They get it from us, who fetched it by the rules for images.
func (r *runner) planMedium(ctx context.Context, op *Op) (Outcome, error) {
	op.Rec.ISO, op.Rec.Installer, op.Rec.ISOURL, op.Rec.ISOBy, op.Rec.MediaURL = nil, nil, "", "", ""
	files, err := metal.InstallerOf(op.Node)
	if err != nil {
		return Outcome{}, err
	}
	if r.hw.NetBoot != "" {
		if _, err := r.installerFirmware(ctx, op); err != nil {
			return Outcome{}, err
		}
	}
	var out []Image
	for _, f := range files {
		digest, err := source.Checksum(ctx, f.URL, f.Checksum, r.c.origins.Rules())
		if err != nil {
			return Outcome{}, err
		}
		out = append(out, Image{URL: f.URL, Name: f.Field + " " + source.Safe(f.URL), As: installerNames[f.Field], Algorithm: digest.Algorithm, Hex: digest.Hex})
	}
	if r.hw.NetBoot == "" {
		op.Rec.ISO = &out[0]
		return done, nil
	}
	op.Rec.Installer = out
	return done, nil
}

// bringMedium has the installer where the machine, or its BMC, fetches it, verified.
func (r *runner) bringMedium(ctx context.Context, op *Op) (Outcome, error) {
	where, o, err := r.holdMedium(ctx, op)
	if err == nil && o == done {
		r.event(op, "step", "INFO", "The installer was verified and is "+where+".")
	}
	return o, err
}

func (r *runner) holdMedium(ctx context.Context, op *Op) (where string, o Outcome, err error) {
	files := op.Rec.Installer
	if op.Rec.ISO != nil {
		files = []Image{*op.Rec.ISO}
	}
	if len(files) == 0 || r.c.images == nil {
		return "", o, fault.New(fault.Unavailable, "this server brings no images, and an installer is fetched and verified before its machine boots it")
	}
	first := ""
	for i := range files {
		var at string
		at, where, err = r.c.images.Bring(ctx, op.Node.UUID, r.withAccess(op, &files[i]), r.mediumUntil())
		if fault.KindOf(err) == fault.Conflict {
			return "", again(r.c.config.Poll, "the installer, which is being brought for another machine"), nil
		}
		if err != nil {
			return "", o, err
		}
		first = cmp.Or(first, at)
	}
	op.Rec.ISOURL, op.Rec.ISOBy, op.Rec.MediaURL = first, r.c.process, first
	return where, done, nil
}

// mediumUntil is until when the machine may read the medium: as long as it installs.
func (r *runner) mediumUntil() time.Time {
	c := r.c.config.OSInstall
	longest := c.StartLimit + c.Limit
	if c.StartLimit <= 0 || c.Limit <= 0 {
		longest = longestBoot
	}
	return time.Now().Add(longest + time.Hour)
}

// openChannel begins the channel of this deployment. From here on the machine may read the parameters of all classes.
func (r *runner) openChannel(_ context.Context, op *Op) (Outcome, error) {
	id := op.row.UUID
	op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.OpenOSChannel(n, id) })
	op.Rec.OS.Self = &selfRecord{}
	return done, nil
}

func (r *runner) closeChannel(_ context.Context, op *Op) error {
	op.Also(func(tx *store.Tx, n *metal.Node) error { return tx.CloseOSChannel(n.ID) })
	return nil
}

// channelClosed closes it after success.
func (r *runner) channelClosed(ctx context.Context, op *Op) (Outcome, error) {
	return done, r.closeChannel(ctx, op)
}

// askSoftOff asks the installer to end itself. One that does not hear is switched off by the next step.
func (r *runner) askSoftOff(ctx context.Context, op *Op) (Outcome, error) {
	is, err := r.power(ctx, op)
	if err != nil || is == metal.PowerOff {
		return done, err
	}
	if err := r.hw.Power.SetPower(ctx, op.Node, metal.SoftPowerOff); err != nil {
		r.event(op, "step", "INFO", "The installer could not be asked to switch the machine off: "+sentence(err))
	}
	return done, nil
}

// askSoftOffAgain asks once more when nobody knows whether it was asked, but not by a button, whose second press may mean something else.
func (r *runner) askSoftOffAgain(ctx context.Context, op *Op) (Outcome, error) {
	if r.byButton(ctx, op, metal.SoftPowerOff) {
		return done, nil
	}
	return r.askSoftOff(ctx, op)
}
