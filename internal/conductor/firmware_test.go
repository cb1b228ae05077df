package conductor

import (
	"context"
	"strings"
	"testing"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// firmwareJourneys are the plans that set up firmware, and wishes what their instances want of it.
var firmwareJourneys = []journey{
	{"secure deploy", metal.PlanDeploy, metal.Available, metal.EventDeploy, "{}", metal.Active, metal.DeployFailed, false, true, "image " + testHash},
	{"secure undeploy", metal.PlanTearDown, metal.Active, metal.EventDelete, "{}", metal.Available, metal.Error, true, false, "erased"},
	{"boot mode", metal.PlanBootMode, metal.Available, "", `{"ask":{"boot_mode":"bios"}}`, metal.Available, metal.Available, true, true, "user data"},
	{"secure boot", metal.PlanSecure, metal.Available, "", `{"ask":{"secure_boot":true}}`, metal.Available, metal.Available, true, true, "user data"},
}

var wishes = map[string]string{"secure deploy": "secure_boot:true,boot_mode:uefi", "secure undeploy": "secure_boot:true"}

// firmware is how a world's machine boots: settings, and what the last boot made of them.
type firmware struct {
	legacy, secure bool
	booted         bool // with Secure Boot
	late           bool // changes show after a boot only
	deaf           bool // changes are accepted and no boot applies them
	none           bool // there is no Secure Boot
	setup          bool // there are no keys
	pending        []func(*firmware)
}

func (f *firmware) change(set func(*firmware)) (shown bool) {
	if f.late || f.deaf {
		f.pending = append(f.pending, set)
		return false
	}
	set(f)
	return true
}

func (f *firmware) boot() {
	if !f.deaf {
		for _, set := range f.pending {
			set(f)
		}
		f.pending = nil
	}
	f.booted = f.secure && !f.legacy
}

func (w *world) BootMode(context.Context, *metal.Node) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.firm.legacy {
		return metal.BIOS, nil
	}
	return metal.UEFI, nil
}

func (w *world) SetBootMode(_ context.Context, _ *metal.Node, mode string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count("mode " + mode)
	return w.firm.change(func(f *firmware) { f.legacy = mode == metal.BIOS }), nil
}

func (w *world) SecureBoot(context.Context, *metal.Node) (metal.SecureBoot, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.firm.none {
		return metal.SecureBoot{}, fault.New(fault.NotSupported, "the BMC offers nothing for Secure Boot")
	}
	booted := w.firm.booted
	return metal.SecureBoot{On: w.firm.secure, Booted: &booted, Setup: w.firm.setup}, nil
}

func (w *world) SetSecureBoot(_ context.Context, _ *metal.Node, on bool) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.count("secure")
	return w.firm.change(func(f *firmware) { f.secure = on }), nil
}

func (w *world) ResetSecureBootKeys(context.Context, *metal.Node, metal.KeyReset) error { return nil }

// TestInstanceNeverRunsWithoutThePromisedBoot: a setting that no boot applies fails the deploy, with what was seen, and
// the machine is off.
func TestInstanceNeverRunsWithoutThePromisedBoot(t *testing.T) {
	for _, row := range []struct {
		name, wish string
		firm       firmware
		state      metal.State
		why        string
	}{
		{"late", "secure_boot:true", firmware{late: true, legacy: true}, metal.Active, ""},
		{"deaf to mode", "boot_mode:bios", firmware{deaf: true}, metal.DeployFailed, "its BMC accepted that and shows uefi"},
		{"deaf to secure boot", "secure_boot:true", firmware{deaf: true}, metal.DeployFailed, "accepted to switch it on and shows it as off"},
		{"no secure boot", "secure_boot:true", firmware{none: true}, metal.DeployFailed, "offers nothing for Secure Boot"},
		{"no keys", "secure_boot:true", firmware{setup: true}, metal.DeployFailed, "in setup mode"},
		{"nonsense", "secure_boot:perhaps", firmware{}, metal.DeployFailed, "neither true nor false"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.tune = func(c *Config) { c.SettingLimit = 50 * time.Millisecond }
			w.firm = row.firm
			w.node.ProvisionState = metal.Available
			w.node.InstanceInfo = w.node.InstanceInfo.With("capabilities", row.wish)
			w.save()
			w.ask(metal.PlanDeploy, metal.EventDeploy, "{}")
			w.run(w.conductor("c1", nil))
			n, _ := w.state()
			if n.ProvisionState != row.state || !strings.Contains(n.LastError, row.why) || row.why == "" && n.LastError != "" {
				t.Errorf("%s, %q; want %s, %q", n.ProvisionState, n.LastError, row.state, row.why)
			}
			if w.on != (row.state == metal.Active) {
				t.Errorf("the machine is on: %v", w.on)
			}
			if row.state == metal.Active && !w.firm.booted {
				t.Error("it runs without Secure Boot")
			}
		})
	}
}

// TestSettingThatIsNotShown: a request for a setting is not answered with silence.
func TestSettingThatIsNotShown(t *testing.T) {
	for rec, plan := range map[string]metal.Plan{`{"ask":{"secure_boot":true}}`: metal.PlanSecure, `{"ask":{"boot_mode":"bios"}}`: metal.PlanBootMode} {
		w := newWorld(t)
		w.firm.deaf = true
		w.ask(plan, "", rec)
		w.run(w.conductor("c1", nil))
		if n, _ := w.state(); !strings.Contains(n.LastError, "does not show it") || !strings.Contains(n.LastError, "Reboot the machine") {
			t.Errorf("%s: last_error %q", plan, n.LastError)
		}
	}
}

// TestWhyNoAgent: a ramdisk that never calls is explained by what the BMC shows.
func TestWhyNoAgent(t *testing.T) {
	for want, spoil := range map[string]func(*world){
		"the virtual drive is empty":               func(w *world) { w.media = "" },
		"the machine is \"power off\"":             func(w *world) { w.on = false },
		"still shows the boot override":            func(*world) {},
		"the boot medium is in the drive: look at": func(w *world) { w.boot = metal.BootDevice{} },
	} {
		w := newWorld(t)
		w.silent = true
		w.node.ProvisionState = metal.Available
		w.save()
		w.ask(metal.PlanDeploy, metal.EventDeploy, "{}")
		w.tune = func(c *Config) { c.DeployCallbackLimit = 20 * time.Millisecond }
		w.onWait = spoil
		w.run(w.conductor("c1", nil))
		n, _ := w.state()
		if !strings.Contains(n.LastError, want) || !strings.Contains(n.LastError, "time is over") {
			t.Errorf("last_error %q, want %q", n.LastError, want)
		}
	}
}

// TestNotNowIsAskedUntilTheLimit: a BMC in POST is asked more often than one that fails, and is given up when time is over.
func TestNotNowIsAskedUntilTheLimit(t *testing.T) {
	w := newWorld(t)
	asked := 0
	p := *plans[metal.PlanPower]
	p.steps = []step{{name: "ask", class: repeatable, limit: time.Hour, run: func(*runner, context.Context, *Op) (Outcome, error) {
		if asked++; asked < 20 {
			return Outcome{}, fault.New(fault.Locked, "the machine is in POST")
		}
		return done, nil
	}}}
	old := plans[metal.PlanPower]
	plans[metal.PlanPower] = &p
	defer func() { plans[metal.PlanPower] = old }()
	w.ask(metal.PlanPower, "", "{}")
	w.run(w.conductor("c1", nil))
	if n, _ := w.state(); asked != 20 || n.LastError != "" {
		t.Errorf("asked %d times, last_error %q", asked, n.LastError)
	}
}
