package redfish_test

import (
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/lab/bmc"
)

// answers is a report as "name=answer", with ! where something is to be done.
func answers(r metal.SecurityReport) string {
	var out []string
	for _, f := range r.Findings {
		word := f.Name + "=" + string(f.Answer)
		if !f.Good {
			word += "!"
		}
		if f.Detail == "" || !f.Good && f.Advice == "" {
			word += " without words"
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

func TestSecurityAsTheBMCTellsIt(t *testing.T) {
	for _, row := range []struct {
		faults []string
		want   string
	}{
		{nil, "signed_firmware=yes tpm=yes secure_boot=yes host_interface=yes! boot_settings_lockable=yes ipmi_over_lan=no"},
		{[]string{bmc.NoTPM, bmc.Unproved, bmc.IPMIOn, bmc.NoSetupLock}, "signed_firmware=no! tpm=no! secure_boot=yes host_interface=yes! boot_settings_lockable=no! ipmi_over_lan=yes!"},
		{[]string{bmc.TellsNothing, bmc.NoDatabases}, "signed_firmware=unknown! tpm=unknown! secure_boot=yes host_interface=unknown! boot_settings_lockable=yes ipmi_over_lan=no"},
		{[]string{bmc.IPMIUntold}, "signed_firmware=yes tpm=yes secure_boot=yes host_interface=yes! boot_settings_lockable=yes ipmi_over_lan=yes!"},
	} {
		r := newRig(t, quick())
		var list []bmc.Fault
		for _, f := range row.faults {
			list = append(list, bmc.Fault{Name: f})
		}
		r.plant(t, list...)
		got, err := r.Security(t.Context(), r.node)
		if err != nil || answers(got) != row.want {
			t.Errorf("%v:\n got %s, %v\nwant %s", row.faults, answers(got), err, row.want)
		}
		if shown := len(got.Keys) == 3; shown == (len(row.faults) > 1 && row.faults[1] == bmc.NoDatabases) {
			t.Errorf("%v: keys %+v", row.faults, got.Keys)
		}
	}
}

func TestSecureBootInAReport(t *testing.T) {
	r := newRig(t, quick())
	find := func() metal.SecurityFinding {
		got, err := r.Security(t.Context(), r.node)
		if err != nil {
			t.Fatal(err)
		}
		return got.Findings[2]
	}
	if _, err := r.SetSecureBoot(t.Context(), r.node, false); err != nil {
		t.Fatal(err)
	}
	if f := find(); f.Answer != metal.No || f.Detail != "Secure Boot is off." {
		t.Errorf("off: %+v", f)
	}
	if err := r.SetPower(t.Context(), r.node, metal.PowerOn); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetSecureBoot(t.Context(), r.node, true); err != nil {
		t.Fatal(err)
	}
	if f := find(); f.Answer != metal.No || !strings.Contains(f.Detail, "the last boot was without") {
		t.Errorf("on, not booted: %+v", f)
	}
	if err := r.ResetSecureBootKeys(t.Context(), r.node, metal.NoKeys); err != nil {
		t.Fatal(err)
	}
	for _, p := range []metal.Power{metal.PowerOff, metal.PowerOn} {
		if err := r.SetPower(t.Context(), r.node, p); err != nil {
			t.Fatal(err)
		}
	}
	if f := find(); f.Answer != metal.No || !strings.Contains(f.Detail, "setup mode") {
		t.Errorf("no keys: %+v", f)
	}
}

// TestABMCThatTellsNothingOfItself: an old one with a machine and little else.
func TestABMCThatTellsNothingOfItself(t *testing.T) {
	s := newStub(t)
	d := driver(t, quick())
	got, err := d.Security(t.Context(), s.node)
	if err != nil || !strings.HasPrefix(answers(got), "signed_firmware=unknown! tpm=unknown! secure_boot=unknown! host_interface=unknown! boot_settings_lockable=unknown! ipmi_over_lan=") {
		t.Errorf("%s, %v", answers(got), err)
	}
	mergeInto(s.docs[sys], doc{"Bios": at(sys + "/Bios")})
	s.docs[sys+"/Bios"] = doc{"Attributes": doc{}}
	if got, err = d.Security(t.Context(), s.node); err != nil || got.Findings[4].Answer != metal.No {
		t.Errorf("a firmware without a password: %+v, %v", got.Findings[4], err)
	}
	s.docs[sys+"/Bios"] = doc{"Actions": doc{"#Bios.ChangePassword": doc{"target": sys + "/Bios/Actions/Bios.ChangePassword"}}}
	if got, err = d.Security(t.Context(), s.node); err != nil || got.Findings[4].Answer != metal.Yes {
		t.Errorf("a firmware with one: %+v, %v", got.Findings[4], err)
	}
	s.Close()
	if _, err := d.Security(t.Context(), s.node); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a BMC that is gone: %v", err)
	}
}

func TestInBandAccessIsClosed(t *testing.T) {
	step := func(name string) metal.Step { return metal.Step{Interface: "management", Step: name} }
	r := newRig(t, quick())
	for _, row := range []struct {
		step string
		want metal.Answer
	}{{"disable_host_interface", metal.No}, {"disable_host_interface", metal.No}, {"enable_host_interface", metal.Yes}} {
		if _, err := r.RunStep(t.Context(), r.node, metal.ServiceSteps, step(row.step), "op/0"); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Security(t.Context(), r.node); err != nil || got.Findings[3].Answer != row.want {
			t.Errorf("%s: %+v, %v", row.step, got.Findings[3], err)
		}
	}
	if n := r.bmc.Counters()["Set.InterfaceEnabled"]; n != 2 {
		t.Errorf("it was switched %d times; what is so already is not asked for", n)
	}
	for name, want := range map[string]struct {
		kind fault.Kind
		said string
	}{
		bmc.HostIfRefused: {fault.Internal, "refuses to close its host interface (400)"},
		bmc.HostIfIgnored: {fault.Conflict, "accepted to close its host interface (usb0) and does not show it"},
		bmc.TellsNothing:  {fault.NotSupported, "shows no host interface"},
	} {
		r.plant(t, bmc.Fault{Name: name})
		_, err := r.RunStep(t.Context(), r.node, metal.CleanSteps, step("disable_host_interface"), "op/0")
		if told := is(t, err, want.kind); !strings.Contains(told, want.said) {
			t.Errorf("%s: told %q", name, told)
		}
	}
}

func TestWarnsOfIPMI(t *testing.T) {
	r := newRig(t, quick())
	if got := r.Warnings(t.Context(), r.node); len(got) != 0 || r.bmc.Counters()["ipmi.ping"] != 0 {
		t.Errorf("warned of %v", got)
	}
	for name, want := range map[string]string{bmc.IPMIOn: "says that IPMI over LAN is enabled.", bmc.IPMIUntold: "answers IPMI over LAN."} {
		r.plant(t, bmc.Fault{Name: name})
		if got := r.Warnings(t.Context(), r.node); len(got) != 1 || !strings.Contains(got[0], want) || !strings.Contains(got[0], "Disable IPMI over LAN") {
			t.Errorf("%s: warned of %v", name, got)
		}
	}
	r.plant(t, bmc.Fault{Name: bmc.Gone})
	if got := r.Warnings(t.Context(), r.node); len(got) != 0 {
		t.Errorf("a BMC that is gone: warned of %v", got)
	}
}
