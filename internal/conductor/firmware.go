package conductor

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// The plans of PUT states/boot_mode and states/secure_boot. They change the setting; they do not reboot a machine that
// somebody may be using: the next boot goes by it.
var (
	bootModePlan = plan{steps: []step{
		{name: "set boot mode", class: checkable, run: (*runner).askBootMode, limit: 5 * time.Minute},
	}}
	secureBootPlan = plan{steps: []step{
		{name: "set secure boot", class: checkable, run: (*runner).askSecureBoot, limit: 5 * time.Minute},
	}}
)

// setMode goes before a deploy's boot: the disk is written for the mode that the machine boots in.
var setMode = step{name: "set boot mode", class: checkable, run: (*runner).setBootMode, limit: 15 * time.Minute, skip: noModeWish}

// settingLimit is time for one look at the BMC where the operator wants no wait for a boot.
func settingLimit(c *Config) time.Duration { return cmp.Or(c.SettingLimit, time.Minute) }

func noModeWish(op *Op) bool   { return op.Rec.Wish.Mode == "" }
func noSecureWish(op *Op) bool { return !op.Rec.Wish.SecureBoot }

// checkFirmware finds before the machine is touched whether it can boot as its instance wants.
func (r *runner) checkFirmware(ctx context.Context, op *Op) (Outcome, error) {
	if _, err := metal.WishOf(op.Node); err != nil {
		return Outcome{}, fault.New(fault.Invalid, "%s", err)
	}
	if noSecureWish(op) {
		return done, nil
	}
	s, err := r.secureBoot(ctx, op)
	if fault.KindOf(err) == fault.NotSupported {
		return Outcome{}, fault.Wrap(fault.NotSupported, err, "%s; the instance's capabilities ask for secure_boot", sentence(err))
	}
	if err != nil {
		return Outcome{}, err
	}
	if s.Setup {
		return Outcome{}, fault.New(fault.Invalid, "the machine has no Secure Boot keys (its firmware is in setup mode): reset them to the maker's defaults (clean step management.reset_secure_boot_keys_to_default), "+
			"or take secure_boot out of the instance's capabilities")
	}
	op.Rec.SecureWas = s.On
	return done, nil
}

func (r *runner) secureBoot(ctx context.Context, op *Op) (metal.SecureBoot, error) {
	if r.hw.Secure == nil {
		return metal.SecureBoot{}, fault.New(fault.NotSupported, "driver %s cannot switch Secure Boot", op.Node.Driver)
	}
	return r.hw.Secure.SecureBoot(ctx, op.Node)
}

// setBootMode sets what the instance wants. A machine whose mode nobody can tell or change is taken as it is: it has
// one only, as a rule. Source: images reference §10, "Sync before boot".
func (r *runner) setBootMode(ctx context.Context, op *Op) (Outcome, error) {
	want := op.Rec.Wish.Mode
	if r.hw.Mode == nil {
		return done, nil
	}
	is, err := r.hw.Mode.BootMode(ctx, op.Node)
	if err != nil || is == want {
		return done, err
	}
	_, err = r.hw.Mode.SetBootMode(ctx, op.Node, want)
	if is == "" && fault.KindOf(err) == fault.NotSupported {
		r.event(op, "step", "WARN", "The boot mode is taken to be "+want+": "+sentence(err))
		return done, nil
	}
	return done, err
}

// seeBootMode: by now the machine has booted, in the mode that was asked for or not at all as it should.
func (r *runner) seeBootMode(ctx context.Context, op *Op) (Outcome, error) {
	want := op.Rec.Wish.Mode
	if r.hw.Mode == nil {
		return done, nil
	}
	is, err := r.hw.Mode.BootMode(ctx, op.Node)
	if err != nil {
		return Outcome{}, err
	}
	if is != "" && is != want && r.c.config.SettingLimit > 0 {
		return again(r.c.config.Poll, "the machine to be in boot mode %s", want), nil
	}
	op.Change(func(n *metal.Node) { n.BootMode = want })
	return done, nil
}

// secureBootOn is for the instance: the ramdisk has done its work, the machine is off and its next boot is from its disk.
func (r *runner) secureBootOn(ctx context.Context, op *Op) (Outcome, error) {
	return r.switchSecureBoot(ctx, op, true)
}

// secureBootBack leaves Secure Boot as it was before the deploy that failed.
func (r *runner) secureBootBack(ctx context.Context, op *Op) error {
	_, err := r.switchSecureBoot(ctx, op, op.Rec.SecureWas)
	return err
}

// secureBootOff: the next user's ramdisk and image may be signed by nobody. A machine without Secure Boot is as wanted.
func (r *runner) secureBootOff(ctx context.Context, op *Op) (Outcome, error) {
	o, err := r.switchSecureBoot(ctx, op, false)
	if fault.KindOf(err) == fault.NotSupported {
		return done, nil
	}
	return o, err
}

// switchSecureBoot looks and then switches. Whether the machine goes by it is seen when it boots.
func (r *runner) switchSecureBoot(ctx context.Context, op *Op, on bool) (Outcome, error) {
	s, err := r.secureBoot(ctx, op)
	if err == nil && s.On != on {
		_, err = r.hw.Secure.SetSecureBoot(ctx, op.Node, on)
	}
	if err == nil {
		op.Change(func(n *metal.Node) { n.SecureBoot = &on })
	}
	return done, err
}

// seeSecureBoot waits until the BMC says that the instance was booted with Secure Boot; an instance that was promised it
// must not run without. A BMC that does not tell of boots is believed its setting.
func (r *runner) seeSecureBoot(ctx context.Context, op *Op) (Outcome, error) {
	s, err := r.secureBoot(ctx, op)
	switch {
	case err != nil:
		return Outcome{}, err
	case s.Booted != nil && *s.Booted, s.Booted == nil && s.On, r.c.config.SettingLimit <= 0:
		return done, nil
	}
	return again(r.c.config.Poll, "the machine to boot with Secure Boot"), nil
}

// whyNoMode and whyNoSecureBoot say what a BMC shows of a setting that no boot applied.
func (r *runner) whyNoMode(ctx context.Context, op *Op) string {
	is, err := r.hw.Mode.BootMode(ctx, op.Node)
	if err != nil {
		return sentence(err)
	}
	return "its BMC accepted that and shows " + is + ": set it in the firmware's setup"
}

func (r *runner) whyNoSecureBoot(ctx context.Context, op *Op) string {
	switch s, err := r.secureBoot(ctx, op); {
	case err != nil:
		return sentence(err)
	case !s.On:
		return "its BMC accepted to switch it on and shows it as off: set it in the firmware's setup"
	}
	return "it is switched on, and the BMC shows a boot without: look at the machine's console, and at its firmware's setup"
}

func (r *runner) askBootMode(ctx context.Context, op *Op) (Outcome, error) {
	want := op.Rec.Ask.BootMode
	if r.hw.Mode == nil {
		return Outcome{}, fault.New(fault.NotSupported, "driver %s cannot change the boot mode", op.Node.Driver)
	}
	shown := true
	is, err := r.hw.Mode.BootMode(ctx, op.Node)
	if err == nil && is != want {
		shown, err = r.hw.Mode.SetBootMode(ctx, op.Node, want)
	}
	if err == nil && !shown {
		err = unshown("boot mode " + want)
	}
	if err == nil {
		op.Change(func(n *metal.Node) { n.BootMode = want })
	}
	return done, err
}

func (r *runner) askSecureBoot(ctx context.Context, op *Op) (Outcome, error) {
	if op.Rec.Ask.SecureBoot == nil {
		return Outcome{}, fault.New(fault.Invalid, "nothing was asked for")
	}
	want := *op.Rec.Ask.SecureBoot
	shown := true
	is, err := r.secureBoot(ctx, op)
	if err == nil && is.On != want {
		shown, err = r.hw.Secure.SetSecureBoot(ctx, op.Node, want)
	}
	if err == nil && !shown {
		err = unshown(map[bool]string{true: "Secure Boot on", false: "Secure Boot off"}[want])
	}
	if err == nil {
		op.Change(func(n *metal.Node) { n.SecureBoot = &want })
	}
	return done, err
}

// unshown is the end of a request whose effect nobody can see.
func unshown(what string) error {
	return fault.New(fault.Conflict, "the BMC accepted %s and does not show it: some apply it at the next boot only. Reboot the machine and ask for its states again; "+
		"if nothing has changed then, set it in the firmware's setup", what)
}

// whyNoAgent looks at what the BMC shows of a boot that brought no agent.
func (r *runner) whyNoAgent(ctx context.Context, op *Op) string {
	if is, err := r.hw.Power.Power(ctx, op.Node); err == nil && is != metal.PowerOn {
		return fmt.Sprintf("the machine is %q: it went off, or never came on", is)
	}
	if r.hw.NetBoot != "" {
		return r.whyNoNetBoot(ctx, op)
	}
	if r.hw.Media == nil {
		return "somebody else boots this machine (boot interface " + op.Node.Interface("boot") + "): see " + r.meeting(ctx, op)
	}
	in, err := r.hw.Media.Media(ctx, op.Node)
	switch {
	case err != nil:
		return "the BMC cannot be asked what the machine booted from: " + sentence(err)
	case in == "":
		return "the virtual drive is empty: the BMC lost the boot medium when the machine was switched on"
	}
	if dev, err := r.hw.Boot.BootDevice(ctx, op.Node); err == nil && dev.Device == "cdrom" && !dev.Persistent {
		return "the BMC still shows the boot override from the virtual drive as unused: the machine booted from something else. " +
			"Look at its console, and at the boot order in its firmware's setup"
	}
	return "the boot medium is in the drive: look at the machine's console, and " + r.meeting(ctx, op) + r.secureRefusal(ctx, op)
}
