package fake

import (
	"context"
	"maps"
	"path"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// BIOSSettings gives the settings that steps have made: a machine that was told none has none.
func (d *Driver) BIOSSettings(ctx context.Context, n *metal.Node) ([]metal.BIOSSetting, error) {
	var out []metal.BIOSSetting
	d.setup(n, func(m *setup) {
		for _, name := range slices.Sorted(maps.Keys(m.bios)) {
			value := m.bios[name]
			out = append(out, metal.BIOSSetting{Name: name, Value: &value, Registry: metal.BIOSRegistry{Type: "String"}})
		}
	})
	return out, ctx.Err()
}

// RAIDConfig gives the logical disks that steps have made, nil for none.
func (d *Driver) RAIDConfig(ctx context.Context, n *metal.Node) (map[string]any, error) {
	var out map[string]any
	d.setup(n, func(m *setup) {
		if len(m.raid) > 0 {
			out = map[string]any{"logical_disks": slices.Clone(m.raid)}
		}
	})
	return out, ctx.Err()
}

// components are the parts of a fake machine that have firmware, as they leave the factory.
var components = []metal.FirmwareComponent{
	{Component: "bios", Current: "1.0.0", Vendor: "Ingot", Model: "Fake"},
	{Component: "bmc", Current: "1.0.0", Vendor: "Ingot", Model: "Fake"},
}

// FirmwareComponents gives the parts that have firmware, with the versions that steps have flashed.
func (d *Driver) FirmwareComponents(ctx context.Context, n *metal.Node) ([]metal.FirmwareComponent, error) {
	out := slices.Clone(components)
	d.setup(n, func(m *setup) {
		for i := range out {
			if v := m.flashed[out[i].Component]; v != "" {
				out[i].Current, out[i].LastFlashed = v, v
			}
		}
	})
	return out, ctx.Err()
}

// flash takes the version from the name of each file.
func (m *setup) flash(settings any) error {
	list, ok := settings.([]any)
	if !ok || len(list) == 0 {
		return fault.New(fault.Invalid, "settings must be a list of objects with component and url")
	}
	want := map[string]string{}
	for _, v := range list {
		one, _ := v.(map[string]any)
		name, _ := one["component"].(string)
		url, _ := one["url"].(string)
		if url == "" || !slices.ContainsFunc(components, func(c metal.FirmwareComponent) bool { return c.Component == name }) {
			return fault.New(fault.Invalid, "settings must be a list of objects with component, which is bios or bmc, and url")
		}
		file := path.Base(url)
		want[name] = strings.TrimSuffix(file, path.Ext(file))
	}
	maps.Copy(m.flashed, want)
	return nil
}

// setup gives f what steps have done to a machine, if they have done anything.
func (d *Driver) setup(n *metal.Node, f func(*setup)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.setups[n.UUID]; m != nil {
		f(m)
	}
}
