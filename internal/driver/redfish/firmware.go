package redfish

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// BootMode tells how the firmware boots next: metal.UEFI, metal.BIOS, or "" where the BMC does not say.
func (d *Driver) BootMode(ctx context.Context, n *metal.Node) (string, error) {
	var mode string
	err := d.call(ctx, n, "tell the boot mode", func(c *call) error {
		s, err := c.system()
		if err == nil {
			mode, err = c.bootMode(s)
		}
		return err
	})
	return mode, err
}

func (c *call) bootMode(s *schemas.ComputerSystem) (string, error) {
	if q := c.quirk.bootMode; q.name != "" {
		switch v, err := c.biosAttribute(s, q.name); {
		case err != nil && !partial(err):
			return "", err
		case v == q.uefi:
			return metal.UEFI, nil
		case v == q.legacy:
			return metal.BIOS, nil
		}
	}
	return modeOf(s.Boot.BootSourceOverrideMode), nil
}

func modeOf(m schemas.BootSourceOverrideMode) string {
	switch m {
	case schemas.UEFIBootSourceOverrideMode:
		return metal.UEFI
	case schemas.LegacyBootSourceOverrideMode:
		return metal.BIOS
	}
	return ""
}

// SetBootMode changes how the firmware boots from the next boot on. Shown tells whether the BMC shows the change, or
// is of a make that shows it after a boot; of any other, only the boot can tell whether it was applied.
func (d *Driver) SetBootMode(ctx context.Context, n *metal.Node, mode string) (shown bool, err error) {
	if mode != metal.UEFI && mode != metal.BIOS {
		return false, fault.New(fault.Invalid, "%q is not a boot mode: use uefi or bios", bounded(mode, 20))
	}
	err = d.call(ctx, n, "change the boot mode to "+mode, func(c *call) (err error) {
		shown, err = c.setBootMode(mode)
		return err
	})
	return shown, err
}

func (c *call) setBootMode(mode string) (shown bool, err error) {
	s, err := c.system()
	if err != nil {
		return false, err
	}
	if now, err := c.bootMode(s); err != nil || now == mode {
		return now == mode, err
	}
	if a := c.quirk.bootMode; a.name != "" {
		value := a.uefi
		if mode == metal.BIOS {
			value = a.legacy
		}
		if err := c.setBIOSAttribute(s, a.name, value); err == nil || !refused(err) {
			return err == nil, err // a BIOS attribute always waits for a boot
		}
	}
	word := schemas.UEFIBootSourceOverrideMode
	if mode == metal.BIOS {
		word = schemas.LegacyBootSourceOverrideMode
	}
	if err := c.writeBootMode(s, string(word)); err != nil {
		if s.Boot.BootSourceOverrideMode == "" && refused(err) {
			return false, fault.Wrap(fault.NotSupported, err, "the BMC at %s neither tells nor changes the boot mode: change it in the firmware's setup", c.bmc.host)
		}
		return false, err
	}
	return c.showsLater(func() (bool, error) {
		s, err := c.system()
		return err == nil && modeOf(s.Boot.BootSourceOverrideMode) == mode, err
	})
}

// writeBootMode sends the mode alone, or with the override as it is where the make wants all of Boot.
func (c *call) writeBootMode(s *schemas.ComputerSystem, mode string) error {
	now := overrideOf(s.Boot)
	whole := map[string]string{"BootSourceOverrideMode": mode, "BootSourceOverrideTarget": firstOf(now.Target, "None"),
		"BootSourceOverrideEnabled": firstOf(now.Enabled, "Once")}
	forms := []map[string]string{{"BootSourceOverrideMode": mode}, whole}
	if c.quirk.wholeBoot {
		forms = forms[1:]
	}
	places := []string{s.ODataID}
	if l, err := linksOf(s); err == nil && l.Settings.SettingsObject.URI != "" {
		places = append(places, l.Settings.SettingsObject.URI)
	}
	var refusal error
	for _, place := range places {
		for _, form := range forms {
			err := c.patch(place, map[string]any{"Boot": form})
			if err == nil || !refused(err) {
				return err
			}
			if refusal == nil {
				refusal = err
			}
		}
	}
	return refusal
}

// showsLater waits until a change that was accepted shows; not at all for a make that shows it after a boot.
func (c *call) showsLater(seen func() (bool, error)) (bool, error) {
	if c.quirk.lateShow {
		return true, nil
	}
	return c.await(seen)
}

// secureBootView is the part of the SecureBoot resource that matters. Source: DMTF SecureBoot v1.1.0.
type secureBootView struct {
	uri                   string
	SecureBootEnable      *bool
	SecureBootCurrentBoot string
	SecureBootMode        string
	SecureBootDatabases   link
	Actions               struct {
		ResetKeys struct {
			Target  string   `json:"target"`
			Allowed []string `json:"ResetKeysType@Redfish.AllowableValues"`
		} `json:"#SecureBoot.ResetKeys"`
	}
}

func (c *call) secureBootOf(s *schemas.ComputerSystem) (*secureBootView, error) {
	l, err := linksOf(s)
	if err != nil {
		return nil, err
	}
	v := &secureBootView{uri: l.SecureBoot.URI}
	if v.uri == "" {
		return nil, fault.New(fault.NotSupported, "the BMC at %s offers nothing for Secure Boot: its licence may forbid it, or the firmware has none", c.bmc.host)
	}
	if err := c.read(v.uri, v); err != nil {
		if statusOf(err) == http.StatusNotFound {
			return nil, fault.Wrap(fault.NotSupported, err, "the BMC at %s offers nothing for Secure Boot at the place it names", c.bmc.host)
		}
		return nil, err
	}
	return v, nil
}

func (v *secureBootView) state() metal.SecureBoot {
	s := metal.SecureBoot{Setup: v.SecureBootMode == "SetupMode"}
	if v.SecureBootEnable != nil {
		s.On = *v.SecureBootEnable
	}
	if v.SecureBootCurrentBoot != "" {
		on := v.SecureBootCurrentBoot == "Enabled"
		s.Booted = &on
	}
	return s
}

// SecureBoot tells how Secure Boot stands; fault.NotSupported where the BMC has nothing to say about it.
func (d *Driver) SecureBoot(ctx context.Context, n *metal.Node) (metal.SecureBoot, error) {
	var state metal.SecureBoot
	err := d.call(ctx, n, "tell the state of Secure Boot", func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		v, err := c.secureBootOf(s)
		if err == nil {
			state = v.state()
		}
		return err
	})
	return state, err
}

// SetSecureBoot switches Secure Boot for the next boot on. Shown is as for SetBootMode. It does not switch on what
// could not work: without keys, or in boot mode bios, it is fault.Invalid with what to do.
func (d *Driver) SetSecureBoot(ctx context.Context, n *metal.Node, on bool) (shown bool, err error) {
	doing := "switch Secure Boot off"
	if on {
		doing = "switch Secure Boot on"
	}
	err = d.call(ctx, n, doing, func(c *call) (err error) {
		shown, err = c.setSecureBoot(on)
		return err
	})
	return shown, err
}

func (c *call) setSecureBoot(on bool) (shown bool, err error) {
	s, err := c.system()
	if err != nil {
		return false, err
	}
	v, err := c.secureBootOf(s)
	if err != nil {
		return false, err
	}
	now := v.state()
	if on && now.Setup {
		return false, fault.New(fault.Invalid, "the machine behind the BMC at %s has no Secure Boot keys (its firmware is in setup mode): reset them to the maker's defaults first (clean step management.reset_secure_boot_keys_to_default)", c.bmc.host)
	}
	if now.On == on && v.SecureBootEnable != nil {
		return true, nil
	}
	if mode, err := c.bootMode(s); err != nil || on && mode == metal.BIOS {
		if err != nil {
			return false, err
		}
		return false, fault.New(fault.Invalid, "the machine behind the BMC at %s boots in mode bios: Secure Boot needs uefi, set the boot mode first", c.bmc.host)
	}
	if err := c.patch(v.uri, map[string]any{"SecureBootEnable": on}); err != nil {
		return false, err
	}
	return c.showsLater(func() (bool, error) {
		v, err := c.secureBootOf(s)
		return err == nil && v.SecureBootEnable != nil && *v.SecureBootEnable == on, err
	})
}

// keyResets are our words for resets of keys and Redfish's. Source: DMTF SecureBoot v1.1.0, ResetKeysType.
var keyResets = map[metal.KeyReset]string{metal.DefaultKeys: "ResetAllKeysToDefault", metal.NoKeys: "DeleteAllKeys"}

// ResetSecureBootKeys puts the factory's keys in place, or deletes all; the next boot goes by it.
func (d *Driver) ResetSecureBootKeys(ctx context.Context, n *metal.Node, how metal.KeyReset) error {
	word := keyResets[how]
	if word == "" {
		return fault.New(fault.Invalid, "%q is not a way to reset keys: use default or none", bounded(string(how), 20))
	}
	return d.call(ctx, n, "reset the Secure Boot keys", func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		v, err := c.secureBootOf(s)
		if err != nil {
			return err
		}
		reset := v.Actions.ResetKeys
		if reset.Target == "" || len(reset.Allowed) > 0 && !slices.Contains(reset.Allowed, word) {
			return fault.New(fault.NotSupported, "the BMC at %s has no way to reset Secure Boot keys like that: use the firmware's setup", c.bmc.host)
		}
		resp, err := c.Post(reset.Target, map[string]string{"ResetKeysType": word})
		schemas.DeferredCleanupHTTPResponse(resp)
		return err
	})
}

// biosView is the part of a Bios resource that matters. Source: DMTF Bios v1.1.0; DSP0266, "Settings resource".
type biosView struct {
	Attributes map[string]any
	Settings   struct{ SettingsObject link } `json:"@Redfish.Settings"`
}

func (c *call) bios(s *schemas.ComputerSystem) (biosView, error) {
	l, err := linksOf(s)
	if err != nil {
		return biosView{}, err
	}
	var v biosView
	return v, c.read(l.Bios.URI, &v)
}

func (c *call) biosAttribute(s *schemas.ComputerSystem, name string) (string, error) {
	v, err := c.bios(s)
	if err != nil || v.Attributes[name] == nil {
		return "", err
	}
	return bounded(fmt.Sprint(v.Attributes[name]), 60), nil
}

// setBIOSAttribute asks for an attribute as of the next boot.
func (c *call) setBIOSAttribute(s *schemas.ComputerSystem, name, value string) error {
	v, err := c.bios(s)
	if err != nil {
		return err
	}
	return c.patch(v.Settings.SettingsObject.URI, map[string]any{"Attributes": map[string]string{name: value}})
}
