package bmc

import (
	"crypto/tls"
	"testing"
)

func (r *rig) secureBoot() (enable bool, current, mode string) {
	r.t.Helper()
	_, d := r.do("GET", SecureBootPath, nil, 200)
	return d["SecureBootEnable"].(bool), d["SecureBootCurrentBoot"].(string), d["SecureBootMode"].(string)
}

func (r *rig) enable(on bool, want int) {
	r.t.Helper()
	r.do("PATCH", SecureBootPath, map[string]any{"SecureBootEnable": on}, want)
}

func (r *rig) lastBoot() Boot {
	r.t.Helper()
	boots := r.machine.Boots()
	if len(boots) == 0 {
		r.t.Fatal("the machine never booted")
	}
	return boots[len(boots)-1]
}

func TestSecureBootChangesAtTheNextBoot(t *testing.T) {
	r := newRig(t)
	r.resetTo("On", 204)
	if !r.lastBoot().SecureBoot || !r.lastBoot().Keys {
		t.Errorf("from the factory: %+v", r.lastBoot())
	}
	r.enable(false, 204)
	if enable, current, _ := r.secureBoot(); enable || current != "Enabled" {
		t.Errorf("before the boot: enable %v, current %s", enable, current)
	}
	r.resetTo("ForceRestart", 204)
	if enable, current, mode := r.secureBoot(); enable || current != "Disabled" || mode != "UserMode" || r.lastBoot().SecureBoot {
		t.Errorf("after it: enable %v, current %s, mode %s, %+v", enable, current, mode, r.lastBoot())
	}
}

func TestSecureBootNeedsKeys(t *testing.T) {
	r := newRig(t)
	keys := func(kind string, want int) {
		r.do("POST", SecureBootPath+"/Actions/SecureBoot.ResetKeys", map[string]any{"ResetKeysType": kind}, want)
	}
	keys("DeleteAllKeys", 204)
	keys("LoseThem", 400)
	r.resetTo("On", 204)
	if enable, current, mode := r.secureBoot(); enable || current != "Disabled" || mode != "SetupMode" || r.lastBoot().Keys {
		t.Errorf("without keys: enable %v, current %s, mode %s, %+v", enable, current, mode, r.lastBoot())
	}
	r.enable(true, 400)
	keys("ResetAllKeysToDefault", 204)
	r.enable(true, 204)
	r.resetTo("ForceRestart", 204)
	if !r.lastBoot().SecureBoot || !r.lastBoot().Keys {
		t.Errorf("with keys again: %+v", r.lastBoot())
	}
}

func TestSettingFaults(t *testing.T) {
	for fault, want := range map[string]struct{ shownBefore, shownAfter, boots bool }{
		"":           {false, false, false},
		PatchIgnored: {true, true, true},
		NotApplied:   {false, false, true},
		AtReset:      {true, false, false},
	} {
		r := newRig(t)
		r.resetTo("On", 204)
		if fault != "" {
			r.plant(Fault{Name: fault})
		}
		r.enable(false, 204)
		before, _, _ := r.secureBoot()
		r.resetTo("ForceRestart", 204)
		after, _, _ := r.secureBoot()
		if before != want.shownBefore || after != want.shownAfter || r.lastBoot().SecureBoot != want.boots {
			t.Errorf("%s: shown %v, after the boot %v, boots %v; want %v", fault, before, after, r.lastBoot().SecureBoot, want)
		}
	}
	r := newRig(t)
	r.plant(Fault{Name: NeedsOff})
	r.resetTo("On", 204)
	r.enable(false, 400)
	r.resetTo("ForceOff", 204)
	r.enable(false, 204)
}

func TestBootModeOfAMachineThatHasBoth(t *testing.T) {
	m := NewFakeMachine().Pretend(func(i *Inventory) { i.Legacy = true })
	r := newRig(t, func(c *Config) { c.Machine = m })
	r.machine = m
	r.do("PATCH", SystemPath, map[string]any{"Boot": map[string]any{"BootSourceOverrideMode": "Legacy"}}, 204)
	r.resetTo("On", 204)
	if b := r.lastBoot(); !b.Legacy || b.SecureBoot {
		t.Errorf("boots %+v, want Legacy without Secure Boot", b)
	}
	r.enable(true, 400)
	r.enable(false, 204)
	r.enable(true, 400)
}

func TestBIOSMachineStartsLegacyUntilToldOtherwise(t *testing.T) {
	m := NewFakeMachine().Pretend(func(i *Inventory) { i.Legacy, i.StartsLegacy = true, true })
	r := newRig(t, func(c *Config) { c.Machine = m })
	r.machine = m
	r.resetTo("On", 204)
	if b := r.lastBoot(); !b.Legacy || b.SecureBoot {
		t.Errorf("boots %+v, want Legacy without Secure Boot", b)
	}
	r.resetTo("ForceOff", 204)
	r.do("PATCH", SystemPath, map[string]any{"Boot": map[string]any{"BootSourceOverrideMode": "UEFI"}}, 204)
	r.resetTo("On", 204)
	if b := r.lastBoot(); b.Legacy || b.SecureBoot || !b.Keys {
		t.Errorf("boots %+v, want UEFI with keys", b)
	}
}

func TestBootAndMediaFaults(t *testing.T) {
	r := newRig(t)
	insert := func(want int) {
		r.do("POST", MediaPath+"/Actions/VirtualMedia.InsertMedia", map[string]any{"Image": "http://192.0.2.1/a.iso"}, want)
	}
	eject := func() { r.do("POST", MediaPath+"/Actions/VirtualMedia.EjectMedia", map[string]any{}, 204) }
	image := func() any {
		_, d := r.do("GET", MediaPath, nil, 200)
		return d["Image"]
	}
	r.plant(Fault{Name: StaleMedia, Times: 1})
	insert(409)
	if image() != staleImage {
		t.Errorf("in the drive: %v", image())
	}
	eject()
	insert(204)
	r.plant(Fault{Name: EjectIgnored, Times: 1})
	eject()
	if image() == nil {
		t.Error("an ignored eject took the image out")
	}
	r.plant(Fault{Name: MediaLost, Times: 1}, Fault{Name: BootIgnored, Times: 1})
	r.setBoot(204, "Target", "Cd", "Enabled", "Once")
	r.resetTo("On", 204)
	if b := r.lastBoot(); b.First != "" || b.Media != "" || image() != nil {
		t.Errorf("the boot saw %+v, the drive has %v", b, image())
	}
	if got := r.system()["Boot"].(map[string]any)["BootSourceOverrideEnabled"]; got != "Once" {
		t.Errorf("the override that was ignored is %v", got)
	}
	r.plant(Fault{Name: NeedTransfer})
	insert(400)
	r.plant(Fault{Name: ImageRemains})
	insert(204)
	eject()
	_, d := r.do("GET", MediaPath, nil, 200)
	if d["Image"] == nil || d["ConnectedVia"] != "NotConnected" {
		t.Errorf("after the eject: %v", d)
	}
}

func TestAnotherCertificate(t *testing.T) {
	r := newRig(t)
	r.plant(Fault{Name: NewKey})
	if _, _, err := r.try(t.Context(), "GET", "/redfish/v1", nil); err == nil {
		t.Error("a client that trusts the old certificate was answered")
	}
	conf := r.client.Transport.(interface{ CloseIdleConnections() })
	conf.CloseIdleConnections()
	c, err := tls.Dial("tcp", r.bmc.addr, &tls.Config{ServerName: LabName, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.ConnectionState().PeerCertificates[0].Raw; string(got) != string(r.bmc.CertificateDER()) {
		t.Error("the lab's own client sees the other certificate too")
	}
}

func TestPowerShownWrong(t *testing.T) {
	r := newRig(t)
	r.plant(Fault{Name: PowerWrong, Times: 1})
	if r.system()["PowerState"] != "On" || r.system()["PowerState"] != "Off" {
		t.Error("the power state is not first wrong and then right")
	}
}

func TestSessionLimitAndPOST(t *testing.T) {
	r := newRig(t)
	r.plant(Fault{Name: SessionLimit, Times: 1}, Fault{Name: InPOST, Times: 2})
	login := map[string]any{"UserName": "admin", "Password": "right"}
	r.do("POST", sessionsPath, login, 503)
	r.do("POST", sessionsPath, login, 201)
	r.resetTo("On", 400)
	_, d := r.do("PATCH", SystemPath, map[string]any{"Boot": map[string]any{"BootSourceOverrideTarget": "Cd"}}, 400)
	if id := d["error"].(map[string]any)["code"]; id != "iLO.2.37.UnableToModifyDuringSystemPOST" {
		t.Errorf("refused with %v", id)
	}
	r.resetTo("On", 204)
	r.plant(Fault{Name: WholeBoot})
	r.setBoot(400, "Target", "Cd")
	r.setBoot(204, "Target", "Cd", "Enabled", "Once", "Mode", "UEFI")
}

// TestDatabasesOfKeys: certificates are added and taken away, and the next boot goes by them.
func TestDatabasesOfKeys(t *testing.T) {
	r := newRig(t)
	at := func(db string) string { return databasesPath + "/" + db + "/Certificates" }
	members := func(db string) []any {
		_, d := r.do("GET", at(db), nil, 200)
		return d["Members"].([]any)
	}
	first := members("db")[0].(map[string]any)["@odata.id"].(string)
	_, cert := r.do("GET", first, nil, 200)
	add := func(db string, want int) {
		r.do("POST", at(db), map[string]any{"CertificateType": "PEM", "CertificateString": cert["CertificateString"]}, want)
	}
	add("db", 409)
	add("PK", 400)
	add("dbx", 404)
	r.do("POST", at("KEK"), map[string]any{"CertificateType": "PEM", "CertificateString": "no"}, 400)
	r.plant(Fault{Name: CertRefused, Times: 1})
	add("KEK", 400)
	add("KEK", 201)
	r.do("DELETE", first, nil, 204)
	r.do("DELETE", first, nil, 404)
	if len(members("KEK")) != 3 || len(members("db")) != 1 || len(members("dbx")) != 0 {
		t.Errorf("KEK %v, db %v", members("KEK"), members("db"))
	}
	r.resetTo("On", 204)
	if k := r.lastBoot().KeyStore; k == nil || len(k.KEK) != 3 || len(k.DB) != 1 || len(k.PK) != 1 {
		t.Errorf("the boot has %+v", k)
	}
	r.do("POST", SecureBootPath+"/Actions/SecureBoot.ResetKeys", map[string]any{"ResetKeysType": "ResetAllKeysToDefault"}, 204)
	r.resetTo("ForceRestart", 204)
	if k := r.lastBoot().KeyStore; k != nil || !r.lastBoot().Keys {
		t.Errorf("after a reset the boot has %+v", k)
	}
	r.plant(Fault{Name: NoDatabases})
	r.do("GET", at("db"), nil, 404)
	if _, d := r.do("GET", SecureBootPath, nil, 200); d["SecureBootDatabases"] != nil {
		t.Error("databases that are not there are named")
	}
}

func TestSetupPassword(t *testing.T) {
	r := newRig(t)
	change := func(name, from, to string, want int) {
		r.do("POST", passwordPath, map[string]any{"PasswordName": name, "OldPassword": from, "NewPassword": to}, want)
	}
	change("AdministratorPassword", "", "one", 204)
	change("AdministratorPassword", "", "two", 400)
	change("UserPassword", "one", "two", 400)
	change("AdministratorPassword", "one", "", 204)
}
