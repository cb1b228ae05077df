package main

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"ingot/internal/conductor"
	"ingot/internal/config"
	"ingot/internal/driver/fake"
	"ingot/internal/driver/neutron"
	"ingot/internal/driver/redfish"
	"ingot/internal/driver/vswitch"
	"ingot/internal/metal"
)

// hardware makes the hardware types that the configuration enables, each with the interfaces that it enables.
func hardware(conf config.Config, log *slog.Logger) (types map[string]conductor.Hardware, closeAll func(), err error) {
	c := redfish.Defaults()
	c.Log = log
	c.ReadLimit, c.ActLimit, c.CallLimit = conf.Redfish.ReadTimeout, conf.Redfish.ActTimeout, conf.Redfish.CallTimeout
	c.EffectWait, c.Concurrency = conf.Redfish.EffectTimeout, conf.Redfish.Concurrency
	rf := redfish.New(c)
	delays, err := fakeDelays(conf.Fake)
	if err != nil {
		return nil, nil, err
	}
	on, err := enabledTypes(designs(), conf.Default.EnabledHardwareTypes)
	if err != nil {
		return nil, nil, err
	}
	all := parts(rf, fake.New(delays))
	closeSwitch, err := addSwitch(conf, all, on, log)
	if err != nil {
		return nil, nil, err
	}
	closeNeutron, err := addNeutron(conf, all, on, log)
	if err != nil {
		closeSwitch()
		return nil, nil, err
	}
	types, err = all.Compose(on, enabledInterfaces(conf.Choices))
	if err != nil {
		closeSwitch()
		closeNeutron()
		return nil, nil, err
	}
	return types, func() { rf.Close(); closeSwitch(); closeNeutron() }, nil
}

// addNeutron lets the network interfaces flat and neutron work where the configuration has a Neutron.
func addNeutron(conf config.Config, all conductor.Parts, on []conductor.Design, log *slog.Logger) (closeIt func(), err error) {
	if !conf.Neutron.Configured() {
		return func() {}, nil
	}
	d, err := neutron.New(neutron.Options{Config: conf.Neutron, Log: log})
	if err != nil {
		return nil, err
	}
	all["network"]["flat"] = conductor.Part{Network: neutron.Flat{Driver: d}}
	all["network"]["neutron"] = conductor.Part{Network: neutron.Neutron{Driver: d}}
	for i := range on {
		on[i].Fields = withFields(on[i].Fields, neutron.Fields())
	}
	return d.Close, nil
}

// addSwitch adds the network interface vswitch where a switch API is configured, behind upstream's. Upstream has no such
// interface: where there is none, nothing names it.
func addSwitch(conf config.Config, all conductor.Parts, on []conductor.Design, log *slog.Logger) (closeIt func(), err error) {
	if conf.VSwitch.URL == "" {
		if slices.Contains(conf.Choices.EnabledNetwork, "vswitch") {
			return nil, errors.New("[DEFAULT] enabled_network_interfaces: vswitch needs [vswitch] url")
		}
		return func() {}, nil
	}
	vs, err := vswitch.New(conf.VSwitch, log)
	if err != nil {
		return nil, err
	}
	all["network"]["vswitch"] = conductor.Part{Network: vs}
	for i := range on {
		on[i].Supports["network"] = append(slices.Clone(on[i].Supports["network"]), "vswitch")
		on[i].Fields = withFields(on[i].Fields, vswitch.Fields())
	}
	return vs.Close, nil
}

// withFields adds those that are not there.
func withFields(have, more []metal.Field) []metal.Field {
	out := slices.Clone(have)
	for _, f := range more {
		if !slices.ContainsFunc(out, func(x metal.Field) bool { return x.Name == f.Name }) {
			out = append(out, f)
		}
	}
	return out
}

func enabledTypes(all []conductor.Design, names []string) ([]conductor.Design, error) {
	var on []conductor.Design
	for _, name := range names {
		i := slices.IndexFunc(all, func(d conductor.Design) bool { return d.Name == name })
		if i < 0 {
			known := make([]string, len(all))
			for k, d := range all {
				known[k] = d.Name
			}
			return nil, fmt.Errorf("[DEFAULT] enabled_hardware_types: there is no hardware type %q; there are %s", name, strings.Join(known, ", "))
		}
		if !slices.ContainsFunc(on, func(d conductor.Design) bool { return d.Name == name }) {
			on = append(on, all[i])
		}
	}
	return on, nil
}

func enabledInterfaces(c config.Choices) conductor.Enabled {
	return conductor.Enabled{
		Interfaces: map[string][]string{"bios": c.EnabledBIOS, "boot": c.EnabledBoot, "console": c.EnabledConsole, "deploy": c.EnabledDeploy,
			"firmware": c.EnabledFirmware, "inspect": c.EnabledInspect, "management": c.EnabledManagement, "network": c.EnabledNetwork,
			"power": c.EnabledPower, "raid": c.EnabledRAID, "rescue": c.EnabledRescue, "storage": c.EnabledStorage, "vendor": c.EnabledVendor},
		Defaults: map[string]string{"bios": c.DefaultBIOS, "boot": c.DefaultBoot, "console": c.DefaultConsole, "deploy": c.DefaultDeploy,
			"firmware": c.DefaultFirmware, "inspect": c.DefaultInspect, "management": c.DefaultManagement, "network": c.DefaultNetwork,
			"power": c.DefaultPower, "raid": c.DefaultRAID, "rescue": c.DefaultRescue, "storage": c.DefaultStorage, "vendor": c.DefaultVendor},
	}
}

// unbuilt is an implementation that nodes may name and whose work is still to come.
var unbuilt = conductor.Part{Unbuilt: true}

// none is an implementation that says that there is nothing of its kind.
var none = conductor.Part{}

// parts is the only list of interface implementations. Source of the names: OpenStack Ironic, its entry points
// ironic.hardware.interfaces.*.
func parts(rf *redfish.Driver, fk *fake.Driver) conductor.Parts {
	management := conductor.Part{Validator: rf, Firmware: rf, Boot: rf, Mode: rf, Secure: rf, Facts: rf, Steps: rf, Guard: rf, Drives: rf}
	media := conductor.Part{Validator: rf, Media: rf, Console: rf}
	return conductor.Parts{
		"bios": {"no-bios": none, "redfish": unbuilt, "idrac-redfish": unbuilt, "fake": {Steps: fk, Settings: fk}},
		"boot": {"ipxe": {NetBoot: metal.BootIPXE}, "pxe": {NetBoot: metal.BootPXE}, "http": {NetBoot: metal.BootHTTP}, "http-ipxe": {NetBoot: metal.BootHTTPIPXE}, "redfish-https": unbuilt,
			"redfish-virtual-media": media, "idrac-redfish-virtual-media": media, "fake": {ByHand: true, Pause: fk.Pause(fake.Boot)}},
		"console": {"no-console": none, "ipmitool-socat": unbuilt, "ipmitool-shellinabox": unbuilt, "redfish-graphical": unbuilt, "fake": {Terminal: fk}},
		"deploy": {"direct": {Deploys: conductor.ByAgent}, metal.DeployOS: {Deploys: conductor.ByAgent, Installs: true}, "ramdisk": unbuilt, "custom-agent": unbuilt, "ansible": unbuilt, "anaconda": unbuilt,
			"bootc": unbuilt, "autodetect": unbuilt, "fake": {Pause: fk.Pause(fake.Deploy)}},
		"firmware":   {"no-firmware": none, "redfish": unbuilt, "fake": {Steps: fk, Components: fk, Pause: fk.Pause(fake.Firmware)}},
		"inspect":    {"no-inspect": none, "agent": none, "redfish": {Validator: rf, Inspector: rf}, "idrac-redfish": {Validator: rf, Inspector: rf}, "inspector": unbuilt, "fake": {Inspector: fk, Pause: fk.Pause(fake.Inspect)}},
		"management": {"noop": {Boot: conductor.NoManagement{}}, "redfish": management, "idrac-redfish": management, "ipmitool": unbuilt, "fake": {Firmware: fk, Boot: fk, Mode: fk, Secure: fk, Facts: fk, Steps: fk, Guard: fk, Drives: fk, Lights: fk, Pause: fk.Pause(fake.Management)}},
		"network":    {"noop": none, "flat": unbuilt, "neutron": unbuilt},
		"power":      {"redfish": {Validator: rf, Power: rf}, "idrac-redfish": {Validator: rf, Power: rf}, "ipmitool": unbuilt, "agent": unbuilt, "fake": {Power: fk}},
		"raid":       {"no-raid": none, "agent": none, "redfish": unbuilt, "idrac-redfish": unbuilt, "fake": {Steps: fk, RAID: fk}},
		"rescue":     {"no-rescue": none, "agent": {Rescues: true}, "fake": {Pause: fk.Pause(fake.Rescue)}},
		"storage":    {"noop": none, "cinder": unbuilt, "external": unbuilt, "fake": {Pause: fk.Pause(fake.Storage)}},
		"vendor":     {"no-vendor": none, "ipmitool": unbuilt, "redfish": unbuilt, "idrac-redfish": unbuilt, "fake": {Vendor: fk}},
	}
}

// generic is what every hardware type supports. Source: OpenStack Ironic, ironic/drivers/generic.py and
// hardware_type.py; agent inspection goes before none there, too. What Ironic has not, os-install, goes last.
var generic = map[string][]string{
	"bios":     {"no-bios"},
	"boot":     {"ipxe", "pxe", "http-ipxe", "http"},
	"console":  {"no-console"},
	"deploy":   {"direct", "ansible", "ramdisk", "anaconda", "custom-agent", "bootc", "autodetect", metal.DeployOS},
	"firmware": {"no-firmware"},
	"inspect":  {"inspector", "agent", "no-inspect"},
	"network":  {"flat", "neutron", "noop"},
	"raid":     {"no-raid", "agent"},
	"rescue":   {"no-rescue", "agent"},
	"storage":  {"noop", "cinder", "external"},
	"vendor":   {"no-vendor"},
}

// supports is generic with what a type puts in its place; an empty name stands for generic's list.
func supports(own map[string][]string) map[string][]string {
	out := map[string][]string{}
	for kind, list := range generic {
		out[kind] = list
	}
	for kind, list := range own {
		if i := slices.Index(list, ""); i >= 0 {
			list = slices.Concat(list[:i], generic[kind], list[i+1:])
		}
		out[kind] = list
	}
	return out
}

// designs is the only list of hardware types. The order of each list is the type's: the first that is enabled is the
// default. Source: OpenStack Ironic, ironic/drivers/{redfish,ipmi,drac,generic,fake_hardware}.py.
func designs() []conductor.Design {
	return []conductor.Design{
		{Name: "redfish", Fields: slices.Concat(redfish.Fields(), ramdiskFields), Supports: supports(map[string][]string{
			"bios": {"redfish", "no-bios"}, "boot": {"ipxe", "pxe", "redfish-virtual-media", "redfish-https", "http-ipxe", "http"}, "console": {"redfish-graphical", "no-console"},
			"firmware": {"redfish", "no-firmware"}, "inspect": {"redfish", ""}, "management": {"redfish", "noop"},
			"power": {"redfish"}, "raid": {"redfish", "no-raid", "agent"}, "vendor": {"redfish", "no-vendor"}})},
		{Name: "ipmi", Fields: slices.Concat(ipmiFields, ramdiskFields), Supports: supports(map[string][]string{
			"console": {"ipmitool-socat", "ipmitool-shellinabox", "no-console"}, "management": {"ipmitool", "noop"},
			"power": {"ipmitool"}, "vendor": {"ipmitool", "no-vendor"}})},
		{Name: "idrac", Fields: slices.Concat(redfish.Fields(), ramdiskFields), Supports: supports(map[string][]string{
			"bios": {"idrac-redfish", "no-bios"}, "boot": {"ipxe", "pxe", "idrac-redfish-virtual-media", "http-ipxe", "http"},
			"firmware": {"redfish", "no-firmware"}, "inspect": {"idrac-redfish", ""}, "management": {"idrac-redfish"},
			"power": {"idrac-redfish"}, "raid": {"idrac-redfish", ""}, "vendor": {"idrac-redfish", "no-vendor"}})},
		{Name: "manual-management", Fields: ramdiskFields, Supports: supports(map[string][]string{
			"management": {"noop", "fake"}, "power": {"agent", "fake"}})},
		{Name: "fake-hardware", Any: true, Fields: slices.Concat(fakeFields, ramdiskFields), Supports: supports(map[string][]string{
			"bios": {"fake", ""}, "boot": {"fake", ""}, "console": {"fake", ""}, "deploy": {"fake", ""}, "firmware": {"fake", ""}, "inspect": {"fake", ""},
			"management": {"fake"}, "power": {"fake"}, "raid": {"fake", ""}, "rescue": {"fake", ""}, "storage": {"fake", ""}, "vendor": {"fake", ""}})},
	}
}

// fakeDelays reads what the section [fake] says.
func fakeDelays(c config.Fake) (fake.Delays, error) {
	out := fake.Delays{}
	for kind, text := range map[fake.Kind]string{fake.Power: c.PowerDelay, fake.Boot: c.BootDelay, fake.Deploy: c.DeployDelay, fake.Vendor: c.VendorDelay,
		fake.Management: c.ManagementDelay, fake.Inspect: c.InspectDelay, fake.RAID: c.RAIDDelay, fake.BIOS: c.BIOSDelay, fake.Storage: c.StorageDelay,
		fake.Rescue: c.RescueDelay, fake.Firmware: c.FirmwareDelay} {
		d, err := fake.ParseDelay(text)
		if err != nil {
			return nil, fmt.Errorf("[fake] %s_delay: %w", kind, err)
		}
		out[kind] = d
	}
	return out, nil
}
