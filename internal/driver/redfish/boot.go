package redfish

import (
	"context"
	"slices"
	"strings"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// bootTargets are Ironic's boot devices and Redfish's words for them, the one to set first. A target that
// is not here (a UEFI shell, a recovery partition) is no device of Ironic's.
// Source: OpenStack Ironic, ironic/drivers/modules/redfish/management.py; DMTF ComputerSystem, BootSource.
var bootTargets = []struct {
	device  string
	targets []string
}{
	{"pxe", []string{"Pxe"}},
	{"disk", []string{"Hdd"}},
	{"cdrom", []string{"Cd", "UsbCd"}},
	{"bios", []string{"BiosSetup"}},
	{"uefihttp", []string{"UefiHttp"}},
}

// override is a machine's boot override as the BMC shows it.
type override struct {
	Target  string
	Enabled string // Disabled, Once, Continuous; "" where the BMC has no such thing
	Mode    string // UEFI, Legacy; "" where the BMC has no such thing
	allowed []string
}

func overrideOf(b schemas.Boot) override {
	o := override{Target: string(b.BootSourceOverrideTarget), Enabled: string(b.BootSourceOverrideEnabled), Mode: string(b.BootSourceOverrideMode)}
	for _, t := range b.AllowableBootSourceOverrideTargetValues {
		o.allowed = append(o.allowed, string(t))
	}
	return o
}

// device is the override in Ironic's words; the zero BootDevice for none.
func (o override) device() metal.BootDevice {
	if o.Enabled == "Disabled" {
		return metal.BootDevice{}
	}
	for _, t := range bootTargets {
		if slices.Contains(t.targets, o.Target) {
			return metal.BootDevice{Device: t.device, Persistent: o.Enabled == "Continuous"}
		}
	}
	return metal.BootDevice{}
}

// BootDevice reads what the machine boots from next; the zero BootDevice when the BMC overrides nothing or
// names something that Ironic has no word for.
func (d *Driver) BootDevice(ctx context.Context, n *metal.Node) (metal.BootDevice, error) {
	var dev metal.BootDevice
	err := d.call(ctx, n, "tell the boot device", func(c *call) error {
		s, err := c.system()
		if err == nil {
			dev = overrideOf(s.Boot).device()
		}
		return err
	})
	return dev, err
}

// BootDevices lists what SetBootDevice accepts for this machine.
func (d *Driver) BootDevices(ctx context.Context, n *metal.Node) ([]string, error) {
	var devices []string
	err := d.call(ctx, n, "list the boot devices", func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		allowed := c.allowed(s)
		for _, t := range bootTargets {
			if len(allowed) == 0 || slices.ContainsFunc(t.targets, func(x string) bool { return slices.Contains(allowed, x) }) {
				devices = append(devices, t.device)
			}
		}
		return nil
	})
	return devices, err
}

// allowed lists the targets that the BMC takes; none means it does not say. Dell's iDRAC10 says it in the
// settings resource only. Source: github.com/dell/iDRAC-Redfish-Scripting issue 324.
func (c *call) allowed(s *schemas.ComputerSystem) []string {
	if o := overrideOf(s.Boot); len(o.allowed) > 0 {
		return o.allowed
	}
	l, err := linksOf(s)
	if err != nil || l.Settings.SettingsObject.URI == "" {
		return nil
	}
	pending, err := schemas.GetObject[schemas.ComputerSystem](c, l.Settings.SettingsObject.URI)
	if err != nil {
		return nil
	}
	return overrideOf(pending.Boot).allowed
}

// SetBootDevice sets what the machine boots from: for the next boot or, persistent, for all. A device that
// the machine lacks is fault.Invalid. A BMC that knows only one-time overrides gets one for a persistent
// device, with a warning in the log: from the second boot on, the firmware's own order rules.
func (d *Driver) SetBootDevice(ctx context.Context, n *metal.Node, dev metal.BootDevice) error {
	return d.call(ctx, n, "boot from "+bounded(dev.Device, 20), func(c *call) error { return c.setBoot(dev) })
}

func (c *call) setBoot(dev metal.BootDevice) error {
	s, err := c.system()
	if err != nil {
		return err
	}
	q := c.quirk
	now := overrideOf(s.Boot)
	if q.keepDisk && dev.Device == "disk" && dev.Persistent && now.Mode != "Legacy" && now.Enabled != "Continuous" {
		return nil
	}
	target, err := c.target(s, q, dev.Device)
	if err != nil {
		return err
	}
	want := override{Target: target, Enabled: "Once", Mode: now.Mode}
	if dev.Persistent {
		want.Enabled = "Continuous"
	}
	if now.Target == want.Target && now.Enabled == want.Enabled {
		return nil
	}
	return c.writeBoot(s, now, want)
}

// target is the word to use for a device: the make's own, else the first of ours that the BMC takes.
func (c *call) target(s *schemas.ComputerSystem, q quirk, device string) (string, error) {
	var words []string
	for _, t := range bootTargets {
		if t.device == device {
			words = t.targets
		}
	}
	if words == nil {
		return "", fault.New(fault.Invalid, "%q is not a boot device for Redfish: use one of pxe, disk, cdrom, bios, uefihttp", bounded(device, 20))
	}
	allowed := c.allowed(s)
	if len(allowed) == 0 {
		return words[0], nil
	}
	if device == "cdrom" && slices.Contains(allowed, q.cdTarget) {
		return q.cdTarget, nil
	}
	for _, w := range words {
		if slices.Contains(allowed, w) {
			return w, nil
		}
	}
	return "", fault.New(fault.Invalid, "the BMC at %s cannot boot the machine from %s: it offers %s", c.bmc.host, device,
		bounded(scrub(strings.Join(allowed, ", "), c.hide), maxMessage))
}

// writeBoot asks in every form that BMCs are known to want, the plainest first, and sees that it took.
func (c *call) writeBoot(s *schemas.ComputerSystem, now, want override) error {
	places := []string{s.ODataID}
	if l, err := linksOf(s); err == nil && l.Settings.SettingsObject.URI != "" {
		places = append(places, l.Settings.SettingsObject.URI) // Dell iDRAC10 takes it only there (gofish, computersystem.go)
	}
	forms := []override{want}
	if c.quirk.wholeBoot {
		forms[0].Mode = firstOf(want.Mode, string(schemas.UEFIBootSourceOverrideMode))
	}
	if want.Mode != "" {
		// Supermicro falls back to Legacy unless the mode is sent along (github.com/DMTF/Redfishtool pull 106);
		// others refuse to be told it.
		forms = append(forms, override{Target: want.Target, Enabled: want.Enabled})
	}
	if now.Enabled == want.Enabled {
		// Some refuse what is so already (OpenStack story 2007355).
		forms = append(forms, override{Target: want.Target})
	}
	first, err := c.tryBoot(places, forms, want)
	if !first && refused(err) && want.Enabled == "Continuous" {
		want.Enabled = "Once"
		var again error
		if first, again = c.tryBoot(places, []override{want, {Target: want.Target, Enabled: "Once"}}, want); first {
			err = again
			c.bmc.cfg.Log.WarnContext(c.ctx, "BMC takes no persistent boot device, set for one boot", "bmc", c.bmc.host, "target", want.Target)
		}
	}
	return err
}

// tryBoot sends the forms until one is accepted, and then waits until the BMC shows it. Accepted is false
// with the first refusal when none was.
func (c *call) tryBoot(places []string, forms []override, want override) (accepted bool, err error) {
	var refusal error
	for _, place := range places {
		for _, form := range forms {
			err := c.patch(place, map[string]any{"Boot": form.fields()})
			if err == nil {
				return true, c.sawBoot(place, want)
			}
			if !refused(err) {
				return false, err
			}
			if refusal == nil {
				refusal = err
			}
		}
	}
	return false, refusal
}

func (o override) fields() map[string]string {
	m := map[string]string{"BootSourceOverrideTarget": o.Target}
	if o.Enabled != "" {
		m["BootSourceOverrideEnabled"] = o.Enabled
	}
	if o.Mode != "" {
		m["BootSourceOverrideMode"] = o.Mode
	}
	return m
}

// sawBoot waits until place shows the override; accepted and not applied is an error.
func (c *call) sawBoot(place string, want override) error {
	var got override
	ok, err := c.await(func() (bool, error) {
		s, err := schemas.GetObject[schemas.ComputerSystem](c, place)
		if err != nil {
			return false, err
		}
		got = overrideOf(s.Boot)
		return got.Target == want.Target && (got.Enabled == want.Enabled || got.Enabled == ""), nil
	})
	if err != nil || ok {
		return err
	}
	return fault.New(fault.Internal, "the BMC at %s accepted to %s (%s, %s) but still shows %s, %s after %s", c.bmc.host, c.doing,
		want.Target, want.Enabled, bounded(scrub(got.Target, c.hide), 30), bounded(scrub(got.Enabled, c.hide), 30), c.bmc.cfg.EffectWait)
}
