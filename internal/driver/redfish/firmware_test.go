package redfish_test

import (
	"net/http"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/lab/bmc"
)

// TestSettingsThatAreNotWhatTheySeem: what is accepted is shown, or the caller is told that it is not.
func TestSettingsThatAreNotWhatTheySeem(t *testing.T) {
	for _, row := range []struct {
		fault        string
		shown        bool
		before, boot bool // the setting before a boot, and what the boot enforces
	}{
		{"", true, false, false},
		{bmc.AtReset, false, true, false},
		{bmc.PatchIgnored, false, true, true},
		{bmc.NotApplied, true, false, true},
	} {
		r := newRig(t, quick())
		if row.fault != "" {
			r.plant(t, bmc.Fault{Name: row.fault})
		}
		shown, err := r.SetSecureBoot(t.Context(), r.node, false)
		if err != nil || shown != row.shown {
			t.Errorf("%s: shown %v, %v", row.fault, shown, err)
		}
		if s, err := r.SecureBoot(t.Context(), r.node); err != nil || s.On != row.before {
			t.Errorf("%s: %+v, %v", row.fault, s, err)
		}
		if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
			t.Fatal(err)
		}
		if s, err := r.SecureBoot(t.Context(), r.node); err != nil || s.Booted == nil || *s.Booted != row.boot {
			t.Errorf("%s: after the boot %+v, %v", row.fault, s, err)
		}
	}
}

func TestSecureBootWithoutKeys(t *testing.T) {
	r := newRig(t, quick())
	if err := r.ResetSecureBootKeys(t.Context(), r.node, metal.NoKeys); err != nil {
		t.Fatal(err)
	}
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	_, err := r.SetSecureBoot(t.Context(), r.node, true)
	if told := is(t, err, fault.Invalid); !strings.Contains(told, "setup mode") || !strings.Contains(told, "reset them to the maker's defaults") {
		t.Errorf("told %q", told)
	}
	is(t, r.ResetSecureBootKeys(t.Context(), r.node, "lost"), fault.Invalid)
	if err := r.ResetSecureBootKeys(t.Context(), r.node, metal.DefaultKeys); err != nil {
		t.Fatal(err)
	}
}

func TestSecureBootThatIsNotThere(t *testing.T) {
	s := newStub(t)
	d := driver(t, quick())
	_, err := d.SetSecureBoot(t.Context(), s.node, true)
	is(t, err, fault.NotSupported)
	mergeInto(s.docs[sys], doc{"SecureBoot": at(sys + "/SecureBoot")})
	_, err = d.SecureBoot(t.Context(), s.node)
	is(t, err, fault.NotSupported)
	s.docs[sys+"/SecureBoot"] = doc{"SecureBootEnable": false}
	is(t, d.ResetSecureBootKeys(t.Context(), s.node, metal.DefaultKeys), fault.NotSupported)
	if got, err := d.SecureBoot(t.Context(), s.node); err != nil || got != (metal.SecureBoot{}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBootModeThatIsNotThere(t *testing.T) {
	s := newStub(t)
	delete(s.docs[sys]["Boot"].(doc), "BootSourceOverrideMode")
	s.on("PATCH "+sys, func(w http.ResponseWriter, _ *http.Request) { refuse(w, 400, "unknown property") })
	d := driver(t, quick())
	if mode, err := d.BootMode(t.Context(), s.node); mode != "" || err != nil {
		t.Errorf("%q, %v", mode, err)
	}
	_, err := d.SetBootMode(t.Context(), s.node, metal.UEFI)
	is(t, err, fault.NotSupported)
}

func TestSettingsRefusedWhileOn(t *testing.T) {
	r := newRig(t, quick())
	r.plant(t, bmc.Fault{Name: bmc.NeedsOff})
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	_, err := r.SetSecureBoot(t.Context(), r.node, false)
	if told, _ := fault.PublicOf(err); !strings.Contains(told, "only while the system is off") {
		t.Errorf("told %q", told)
	}
	if err := r.SetPower(t.Context(), r.node, metal.PowerOff); err != nil {
		t.Fatal(err)
	}
	if shown, err := r.SetSecureBoot(t.Context(), r.node, false); err != nil || !shown {
		t.Errorf("shown %v, %v", shown, err)
	}
}
