package bmc

import (
	"net/http"
	"slices"
	"strconv"
)

// override is the boot override of the system, in Redfish's words.
type override struct {
	target  string // "None", "Cd", …
	enabled string // "Disabled", "Once", "Continuous"
}

var noOverride = override{target: "None", enabled: "Disabled"}

var overrideModes = []string{"Disabled", "Once", "Continuous"}

func (b *BMC) bootTargets() []string {
	return append([]string{"None"}, b.cfg.Machine.Inventory().BootTargets...)
}

// nextBoot implements NextBoot: it spends an override that is meant for one boot, and applies what was set for it.
func (b *BMC) nextBoot() Boot {
	_, lost := b.faults.strike(MediaLost)
	_, ignored := b.faults.strike(BootIgnored)
	b.mu.Lock()
	defer b.mu.Unlock()
	if lost {
		b.drive.image, b.drive.path = "", ""
	}
	b.applySettings()
	b.firm.applyBIOS()
	next := Boot{Media: b.drive.path, Legacy: b.legacy.now, SecureBoot: b.secure.now, Keys: b.keys.now.has()}
	if !b.keys.now.equal(b.factory) {
		next.KeyStore = b.keys.now
	}
	if ignored {
		return next
	}
	if b.boot.enabled != "Disabled" && b.boot.target != "None" {
		next.First = b.boot.target
	}
	if b.boot.enabled == "Once" {
		b.boot = noOverride
	}
	return next
}

func (b *BMC) getSystem(*http.Request) (doc, error) {
	inv := b.cfg.Machine.Inventory()
	power := b.powerState()
	if _, ok := b.faults.strike(PowerWrong); ok {
		power = map[string]string{"On": "Off", "Off": "On"}[power]
	}
	b.mu.Lock()
	order, version := slices.Clone(b.firm.order), b.firm.parts["bios"]
	boot, mode := b.boot, modeWord(b.legacy.shown(b.faults.has(AtReset)))
	b.mu.Unlock()
	d := doc{
		"@odata.id": SystemPath, "@odata.type": "#ComputerSystem.v1_16_0.ComputerSystem",
		"Id": "system", "Name": b.cfg.Name, "SystemType": "Physical", "PowerState": power, "BiosVersion": version,
		"Status": health(power),
		"Boot": doc{
			"BootOrder": order, "BootSourceOverrideTarget": boot.target, "BootSourceOverrideEnabled": boot.enabled,
			"BootSourceOverrideMode":                            mode,
			"BootSourceOverrideTarget@Redfish.AllowableValues":  b.bootTargets(),
			"BootSourceOverrideEnabled@Redfish.AllowableValues": overrideModes,
			"BootSourceOverrideMode@Redfish.AllowableValues":    b.bootModes(),
		},
		"Bios":               link(BIOSPath),
		"SecureBoot":         link(SecureBootPath),
		"EthernetInterfaces": link(SystemPath + "/EthernetInterfaces"),
		"LogServices":        link(SystemPath + "/LogServices"),
		"Links":              doc{"Chassis": []doc{link(ChassisPath)}, "ManagedBy": []doc{link(ManagerPath)}},
		"Actions": doc{"#ComputerSystem.Reset": doc{
			"target":                            SystemPath + "/Actions/ComputerSystem.Reset",
			"ResetType@Redfish.AllowableValues": resetTypes,
		}},
	}
	b.told(d, "TrustedModules", b.trustedModules())
	for k, v := range map[string]string{"UUID": inv.UUID, "Manufacturer": inv.Manufacturer, "Model": inv.Model,
		"SerialNumber": inv.Serial} {
		if v != "" {
			d[k] = v
		}
	}
	if inv.MemoryMiB > 0 {
		d["MemorySummary"] = doc{"TotalSystemMemoryGiB": float64(inv.MemoryMiB) / 1024, "Status": health(power)}
	}
	if inv.CPUs > 0 {
		d["ProcessorSummary"] = doc{"Count": 1, "CoreCount": inv.CPUs, "LogicalProcessorCount": inv.CPUs,
			"Model": inv.CPUModel, "Status": health(power)}
	}
	return d, nil
}

func health(power string) doc {
	if power == "On" {
		return doc{"Health": "OK", "State": "Enabled"}
	}
	return doc{"Health": "OK", "State": "Disabled"}
}

// patchSystem changes the boot override and the boot mode, all that can be changed on a system.
func (b *BMC) patchSystem(r *http.Request) (reply, error) {
	var ask struct {
		Boot *struct {
			BootSourceOverrideTarget  *string
			BootSourceOverrideEnabled *string
			BootSourceOverrideMode    *string
		}
	}
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	if ask.Boot == nil {
		return reply{}, problem{http.StatusBadRequest, "PropertyMissing", "The property Boot is required in a PATCH of this resource."}
	}
	if m := ask.Boot.BootSourceOverrideMode; m != nil {
		if b.faults.has(NoBootMode) {
			return reply{}, problem{http.StatusBadRequest, "PropertyNotWritable",
				"The property BootSourceOverrideMode is a read only property and cannot be assigned a value."}
		}
		if !slices.Contains(b.bootModes(), *m) {
			return reply{}, notInList("BootSourceOverrideMode", *m)
		}
	}
	if ask.Boot.BootSourceOverrideMode == nil || ask.Boot.BootSourceOverrideTarget == nil || ask.Boot.BootSourceOverrideEnabled == nil {
		if b.faults.has(WholeBoot) {
			return reply{}, problem{http.StatusBadRequest, "PropertyMissing",
				"BootSourceOverrideTarget, BootSourceOverrideEnabled and BootSourceOverrideMode must be given together."}
		}
	}
	targets := b.bootTargets()
	if m := ask.Boot.BootSourceOverrideMode; m != nil {
		if err := b.set(&b.legacy, *m == "Legacy", "BootSourceOverrideMode"); err != nil {
			return reply{}, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	next := b.boot
	if t := ask.Boot.BootSourceOverrideTarget; t != nil {
		b.counters.add("SetBoot." + *t)
		if !slices.Contains(targets, *t) {
			return reply{}, notInList("BootSourceOverrideTarget", *t)
		}
		// A target alone is for the next boot, if nothing else was in force (OpenBMC does the same).
		if next.target = *t; next.enabled == "Disabled" && *t != "None" {
			next.enabled = "Once"
		}
	}
	if e := ask.Boot.BootSourceOverrideEnabled; e != nil {
		if !slices.Contains(overrideModes, *e) {
			return reply{}, notInList("BootSourceOverrideEnabled", *e)
		}
		next.enabled = *e
	}
	if next.enabled == "Disabled" || next.target == "None" {
		next = noOverride
	}
	b.boot = next
	return reply{status: http.StatusNoContent}, nil
}

func notInList(property, value string) error {
	if len(value) > 64 {
		value = value[:64] + "…"
	}
	return problem{http.StatusBadRequest, "PropertyValueNotInList",
		"The value " + strconv.Quote(value) + " for the property " + property + " is not in the list of acceptable values."}
}

const nicsPath = SystemPath + "/EthernetInterfaces"

func (b *BMC) getNICs(*http.Request) (doc, error) {
	var paths []string
	for i := range b.cfg.Machine.MACs() {
		paths = append(paths, nicsPath+"/nic"+strconv.Itoa(i+1))
	}
	return collection(nicsPath, "EthernetInterface", paths...), nil
}

func (b *BMC) getNIC(r *http.Request) (doc, error) {
	id := r.PathValue("nic")
	for i, mac := range b.cfg.Machine.MACs() {
		if id == "nic"+strconv.Itoa(i+1) {
			return doc{"@odata.id": nicsPath + "/" + id, "@odata.type": "#EthernetInterface.v1_6_0.EthernetInterface",
				"Id": id, "Name": "NIC " + strconv.Itoa(i+1), "InterfaceEnabled": true, "LinkStatus": "LinkUp",
				"MACAddress": mac, "PermanentMACAddress": mac, "SpeedMbps": 1000, "Status": health("On")}, nil
		}
	}
	return nil, notFound(r)
}
