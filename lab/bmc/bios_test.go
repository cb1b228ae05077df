package bmc

import (
	"slices"
	"testing"
)

func (r *rig) attribute(name string) any {
	r.t.Helper()
	_, d := r.do("GET", BIOSPath, nil, 200)
	attributes, _ := d["Attributes"].(map[string]any)
	return attributes[name]
}

func TestBIOSAttributesChangeAtTheNextBoot(t *testing.T) {
	r := newRig(t)
	if r.attribute("NumLock") != "On" || r.attribute("SetupPassword") != nil {
		t.Errorf("from the factory: %v, %v", r.attribute("NumLock"), r.attribute("SetupPassword"))
	}
	r.do("PATCH", biosSettings, map[string]any{"Attributes": map[string]any{"NumLock": "Off"}}, 204)
	for _, wrong := range []map[string]any{{"Turbo": "On"}, {"NumLock": 1}, {}} {
		r.do("PATCH", biosSettings, map[string]any{"Attributes": wrong}, 400)
	}
	if r.attribute("NumLock") != "On" {
		t.Error("it is changed before the boot")
	}
	r.resetTo("On", 204)
	if r.attribute("NumLock") != "Off" {
		t.Error("the boot did not change it")
	}
	r.do("POST", BIOSPath+"/Actions/Bios.ResetBios", map[string]any{}, 204)
	r.resetTo("ForceRestart", 204)
	if r.attribute("NumLock") != "On" {
		t.Error("the reset to the factory's attributes did nothing")
	}
}

// TestATenantChangesFirmwareInBand: at once, and the BMC only tells of it.
func TestATenantChangesFirmwareInBand(t *testing.T) {
	r := newRig(t)
	r.do("PUT", "/lab/inband", map[string]any{"bios": map[string]any{"SriovGlobalEnable": "Enabled"}, "boot_order": []string{"Boot0002", "Boot0000"},
		"firmware": map[string]any{"bmc": "6.6.6", "nic-2": "1"}}, 204)
	_, system := r.do("GET", SystemPath, nil, 200)
	boot, _ := system["Boot"].(map[string]any)
	order, _ := boot["BootOrder"].([]any)
	_, manager := r.do("GET", ManagerPath, nil, 200)
	_, part := r.do("GET", firmwarePath+"/nic-2", nil, 200)
	_, parts := r.do("GET", firmwarePath, nil, 200)
	if r.attribute("SriovGlobalEnable") != "Enabled" || !slices.Equal(order, []any{"Boot0002", "Boot0000"}) || manager["FirmwareVersion"] != "6.6.6" ||
		part["Version"] != "1" || parts["Members@odata.count"] != 4.0 {
		t.Errorf("%v, %v, %v, %v", order, manager["FirmwareVersion"], part["Version"], parts)
	}
	r.do("PUT", "/lab/inband", map[string]any{"bios": map[string]any{"Turbo": "On"}}, 400)
	r.do("PUT", "/lab/inband", map[string]any{"colour": "red"}, 400)
	r.do("GET", firmwarePath+"/nothing", nil, 404)
}
