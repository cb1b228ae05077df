package drivertest

import (
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// firmware: a setting is what it was set to, whether it shows at once or after a boot.
func firmware(t *testing.T, b Bench) {
	if b.Firmware == nil {
		t.Skip("this driver does not set up firmware")
	}
	for _, on := range []bool{true, true, false, true} {
		if _, err := b.Firmware.SetSecureBoot(t.Context(), b.Node, on); err != nil {
			t.Fatalf("secure boot %v: %v", on, err)
		}
		reboot(t, b)
		s, err := b.Firmware.SecureBoot(t.Context(), b.Node)
		if err != nil || s.On != on || s.Setup || s.Booted == nil || *s.Booted != on {
			t.Errorf("secure boot is %+v, %v; want %v", s, err, on)
		}
	}
	for _, mode := range []string{metal.BIOS, metal.BIOS, metal.UEFI} {
		if _, err := b.Firmware.SetBootMode(t.Context(), b.Node, mode); err != nil {
			t.Fatalf("boot mode %s: %v", mode, err)
		}
		reboot(t, b)
		if got, err := b.Firmware.BootMode(t.Context(), b.Node); err != nil || got != mode {
			t.Errorf("boot mode is %q, %v; want %q", got, err, mode)
		}
		if mode != metal.BIOS {
			continue
		}
		_, _ = b.Firmware.SetSecureBoot(t.Context(), b.Node, false) // it may be off by the mode already
		if _, err := b.Firmware.SetSecureBoot(t.Context(), b.Node, true); fault.KindOf(err) != fault.Invalid {
			t.Errorf("secure boot on in mode bios: %v", err)
		}
	}
	if _, err := b.Firmware.SetBootMode(t.Context(), b.Node, "coreboot"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a boot mode that is none: %v", err)
	}
	if err := b.Firmware.ResetSecureBootKeys(t.Context(), b.Node, metal.DefaultKeys); err != nil {
		t.Errorf("reset keys: %v", err)
	}
}

func reboot(t *testing.T, b Bench) {
	t.Helper()
	for _, want := range []metal.Power{metal.PowerOff, metal.PowerOn} {
		if err := b.Power.SetPower(t.Context(), b.Node, want); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		is(t, b, want)
	}
}
