package main

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"ingot/internal/config"
	"ingot/internal/metal"
)

// The defaults of every hardware type with the interfaces that are enabled unless said otherwise. Upstream's differ where
// its own first choice is not built here yet; docs/compatibility.md lists those.
func TestDefaultInterfaces(t *testing.T) {
	conf := config.Defaults()
	conf.Default.EnabledHardwareTypes = []string{"redfish", "ipmi", "manual-management", "fake-hardware", "redfish"}
	types, end, err := hardware(conf, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	for name, want := range map[string]string{
		"redfish":           "boot=redfish-virtual-media console=no-console deploy=direct inspect=redfish management=redfish power=redfish raid=no-raid vendor=no-vendor network=noop storage=noop rescue=no-rescue bios=no-bios firmware=no-firmware",
		"ipmi":              "boot=ipxe console=no-console deploy=direct inspect=agent management=noop power=ipmitool raid=no-raid vendor=no-vendor network=noop storage=noop rescue=no-rescue bios=no-bios firmware=no-firmware",
		"manual-management": "boot=ipxe console=no-console deploy=direct inspect=agent management=noop power=fake raid=no-raid vendor=no-vendor network=noop storage=noop rescue=no-rescue bios=no-bios firmware=no-firmware",
		"fake-hardware":     "boot=fake console=fake deploy=fake inspect=fake management=fake power=fake raid=fake vendor=fake network=noop storage=noop rescue=fake bios=fake firmware=fake",
	} {
		var got []string
		for _, k := range metal.InterfaceKinds {
			got = append(got, k.Name+"="+types[name].Type.Default(k.Name))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s\nwant %s", name, strings.Join(got, " "), want)
		}
	}
	if len(types) != 4 {
		t.Errorf("%d types", len(types))
	}
}

// What each type takes, and what is refused when a verb needs it.
func TestWhatTypesTake(t *testing.T) {
	conf := config.Defaults()
	conf.Default.EnabledHardwareTypes = []string{"redfish", "ipmi", "idrac", "manual-management", "fake-hardware"}
	conf.Choices.EnabledBoot = append(conf.Choices.EnabledBoot, "idrac-redfish-virtual-media")
	conf.Choices.EnabledNetwork = append(conf.Choices.EnabledNetwork, "neutron")
	conf.Choices.EnabledDeploy = append(conf.Choices.EnabledDeploy, "ansible")
	types, end, err := hardware(conf, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	for _, c := range []struct {
		driver, kind, name string
		takes, built       bool
	}{
		{"redfish", "boot", "redfish-virtual-media", true, true},
		{"redfish", "boot", "ipxe", true, true},
		{"redfish", "boot", "fake", false, true},
		{"redfish", "inspect", "agent", true, true},
		{"redfish", "management", "noop", true, true},
		{"redfish", "power", "ipmitool", false, true},
		{"redfish", "deploy", "ansible", true, false},
		{"redfish", "deploy", "fake", false, true},
		{"redfish", "network", "neutron", true, false},
		{"ipmi", "power", "ipmitool", true, false},
		{"ipmi", "boot", "redfish-virtual-media", false, true},
		{"idrac", "power", "idrac-redfish", true, true},
		{"idrac", "boot", "idrac-redfish-virtual-media", true, true},
		{"idrac", "raid", "no-raid", true, true},
		{"manual-management", "power", "agent", true, false},
		{"manual-management", "power", "fake", true, true},
		{"manual-management", "boot", "redfish-virtual-media", false, true},
		{"fake-hardware", "deploy", "direct", true, true},
		{"fake-hardware", "boot", "redfish-virtual-media", true, true}, // as upstream, it takes whatever is enabled
		{"fake-hardware", "management", "noop", true, true},
		{"fake-hardware", "power", "ipmitool", true, false},
		{"fake-hardware", "console", "ipmitool-socat", false, true}, // not enabled
		{"fake-hardware", "rescue", "no-rescue", true, true},
	} {
		h := types[c.driver].Type
		if h.Takes(c.kind, c.name) != c.takes || h.Built(c.kind, c.name) != c.built {
			t.Errorf("%s %s=%s: takes %t, built %t", c.driver, c.kind, c.name, h.Takes(c.kind, c.name), h.Built(c.kind, c.name))
		}
	}
}

// Every name of a design has an implementation, and everything there is can be enabled at once.
func TestEverythingEnabled(t *testing.T) {
	conf := config.Defaults()
	conf.Choices = config.Choices{}
	conf.Default.EnabledHardwareTypes = nil
	for _, d := range designs() {
		conf.Default.EnabledHardwareTypes = append(conf.Default.EnabledHardwareTypes, d.Name)
	}
	types, end, err := hardware(conf, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	for _, d := range designs() {
		for kind, names := range d.Supports {
			for _, name := range names {
				if _, have := types[d.Name].Parts[kind][name]; !have {
					t.Errorf("%s: there is no %s interface %s", d.Name, kind, name)
				}
			}
		}
		for _, f := range d.Fields {
			if n := slices.IndexFunc(d.Fields, func(g metal.Field) bool { return g.Name == f.Name }); d.Fields[n] != f || f.Description == "" {
				t.Errorf("%s: field %s is there twice, or not described", d.Name, f.Name)
			}
		}
	}
}

func TestBadInterfaceSettings(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*config.Config)
		want   string
	}{
		{"type", func(c *config.Config) { c.Default.EnabledHardwareTypes = []string{"redfihs"} }, "manual-management"},
		{"interface", func(c *config.Config) { c.Choices.EnabledBoot = []string{"ipex"} }, "enabled_boot_interfaces"},
		{"default", func(c *config.Config) { c.Choices.DefaultRAID = "bogus" }, "default_raid_interface"},
		{"default not enabled", func(c *config.Config) { c.Choices.DefaultNetwork = "neutron" }, "enabled_network_interfaces"},
		{"nothing for a type", func(c *config.Config) { c.Choices.EnabledBoot = []string{"fake"} }, "hardware type redfish needs"},
		{"delay", func(c *config.Config) { c.Fake.PowerDelay = "5,1" }, "[fake] power_delay"},
	} {
		conf := config.Defaults()
		c.change(&conf)
		if _, _, err := hardware(conf, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
