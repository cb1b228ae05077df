package bmc

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// The paths of what the firmware is set to and which versions there are.
const (
	BIOSPath     = SystemPath + "/Bios"
	biosSettings = BIOSPath + "/Settings"
	updatePath   = "/redfish/v1/UpdateService"
	firmwarePath = updatePath + "/FirmwareInventory"
)

// factoryBIOS are the attributes of a machine that nobody has touched.
var factoryBIOS = map[string]any{"AssetTag": "", "BootMode": "Uefi", "LogicalProc": "Enabled", "NumLock": "On", "QuietBoot": true,
	"SetupPassword": nil, "SriovGlobalEnable": "Disabled", "WatchdogMinutes": 0.0}

// firmware is what survives every tenant unless somebody looks: attributes, boot order, versions. The BMC's lock guards it.
type firmware struct {
	bios    map[string]any // in this boot, or the last
	pending map[string]any // for the next
	order   []string       // boot options, the first first
	parts   map[string]string
}

func newFirmware() firmware {
	return firmware{bios: maps.Clone(factoryBIOS), pending: map[string]any{}, order: []string{"Boot0000", "Boot0001", "Boot0002"},
		parts: map[string]string{"bios": "2.19.1", "bmc": "1.0.0", "nic-1": "22.31.6"}}
}

// InBand is what somebody on the machine itself changes of its firmware, with a maker's tool or an exploit. The BMC is not asked: its
// next answers show it.
type InBand struct {
	BIOS      map[string]any    `json:"bios,omitempty"`       // attributes; they must be there
	BootOrder []string          `json:"boot_order,omitempty"` // the whole order
	Firmware  map[string]string `json:"firmware,omitempty"`   // versions of parts; a new name is a new part
}

// ChangeInBand makes such a change. An attribute that there is not is an error, and nothing changes.
func (b *BMC) ChangeInBand(c InBand) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, value := range c.BIOS {
		if err := b.firm.fits(name, value); err != nil {
			return err
		}
	}
	maps.Copy(b.firm.bios, c.BIOS)
	maps.Copy(b.firm.parts, c.Firmware)
	if c.BootOrder != nil {
		b.firm.order = slices.Clone(c.BootOrder)
	}
	return nil
}

func (f *firmware) fits(name string, value any) error {
	is, ok := f.bios[name]
	if !ok {
		return fmt.Errorf("there is no BIOS attribute %q", name)
	}
	if is != nil && fmt.Sprintf("%T", is) != fmt.Sprintf("%T", value) {
		return fmt.Errorf("the BIOS attribute %s is a %T", name, is)
	}
	return nil
}

// applyBIOS is what a boot does with the attributes that were asked for; the lock is held.
func (f *firmware) applyBIOS() {
	maps.Copy(f.bios, f.pending)
	f.pending = map[string]any{}
}

func (b *BMC) getBIOS(*http.Request) (doc, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	actions := doc{"#Bios.ResetBios": doc{"target": BIOSPath + "/Actions/Bios.ResetBios"}}
	if !b.faults.has(NoSetupLock) {
		actions["#Bios.ChangePassword"] = doc{"target": passwordPath}
	}
	return doc{"@odata.id": BIOSPath, "@odata.type": "#Bios.v1_2_0.Bios", "Id": "Bios", "Name": "BIOS attributes", "AttributeRegistry": "LabBios.1.0.0",
		"Attributes": maps.Clone(b.firm.bios),
		"@Redfish.Settings": doc{"@odata.type": "#Settings.v1_3_3.Settings", "SettingsObject": link(biosSettings),
			"SupportedApplyTimes": []string{"OnReset"}},
		"Actions": actions}, nil
}

func (b *BMC) getBIOSSettings(*http.Request) (doc, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return doc{"@odata.id": biosSettings, "@odata.type": "#Bios.v1_2_0.Bios", "Id": "Settings", "Name": "BIOS attributes of the next boot",
		"Attributes": maps.Clone(b.firm.pending)}, nil
}

func (b *BMC) patchBIOSSettings(r *http.Request) (reply, error) {
	var ask struct{ Attributes map[string]any }
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	if len(ask.Attributes) == 0 {
		return reply{}, problem{http.StatusBadRequest, "PropertyMissing", "The property Attributes is required in a PATCH of this resource."}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, value := range ask.Attributes {
		if err := b.firm.fits(name, value); err != nil {
			return reply{}, problem{http.StatusBadRequest, "PropertyValueError", err.Error()}
		}
	}
	b.counters.add("Set.Bios")
	maps.Copy(b.firm.pending, ask.Attributes)
	return reply{status: http.StatusNoContent}, nil
}

// resetBIOS is the action Bios.ResetBios: the factory's attributes as of the next boot.
func (b *BMC) resetBIOS(*http.Request) (reply, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counters.add("ResetBios")
	b.firm.pending = maps.Clone(factoryBIOS)
	return reply{status: http.StatusNoContent}, nil
}

func (b *BMC) getUpdateService(*http.Request) (doc, error) {
	return doc{"@odata.id": updatePath, "@odata.type": "#UpdateService.v1_11_0.UpdateService", "Id": "UpdateService", "Name": "Update Service",
		"ServiceEnabled": true, "FirmwareInventory": link(firmwarePath)}, nil
}

func (b *BMC) getInventory(*http.Request) (doc, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var paths []string
	for _, id := range slices.Sorted(maps.Keys(b.firm.parts)) {
		paths = append(paths, firmwarePath+"/"+id)
	}
	return collection(firmwarePath, "SoftwareInventory", paths...), nil
}

func (b *BMC) getPart(r *http.Request) (doc, error) {
	id := r.PathValue("part")
	b.mu.Lock()
	version, ok := b.firm.parts[id]
	b.mu.Unlock()
	if !ok {
		return nil, notFound(r)
	}
	return doc{"@odata.id": firmwarePath + "/" + id, "@odata.type": "#SoftwareInventory.v1_4_0.SoftwareInventory", "Id": id, "Name": "Firmware of " + id,
		"Version": version, "Updateable": false, "Status": health("On")}, nil
}

// changeInBand is PUT /lab/inband.
func (b *BMC) changeInBand(w http.ResponseWriter, r *http.Request) {
	var c InBand
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		writeProblem(w, problem{http.StatusBadRequest, "PropertyValueError", err.Error()})
		return
	}
	if err := b.ChangeInBand(c); err != nil {
		writeProblem(w, problem{http.StatusBadRequest, "PropertyValueError", err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
