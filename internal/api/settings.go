package api

import (
	"net/http"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

func (c *call) settingView(s metal.BIOSSetting) wire.BIOSSetting {
	r := s.Registry
	value := s.Value
	if r.Type == "Password" {
		value = nil
	}
	return wire.BIOSSetting{Name: s.Name, Value: value, CreatedAt: wire.Time{Time: s.CreatedAt}, UpdatedAt: wire.Time{Time: s.UpdatedAt},
		Links: wire.Links(c.base(), "nodes/"+c.node()+"/bios/"+s.Name), Type: r.Type, Allowed: r.Allowed, Lower: r.Lower, Upper: r.Upper,
		MinLength: r.MinLength, MaxLength: r.MaxLength, ReadOnly: r.ReadOnly, ResetRequired: r.ResetRequired, Unique: r.Unique}
}

func (c *call) listBIOS() (answer, error) {
	shape, err := always(c, wire.BIOSSettingFields, []string{"created_at", "updated_at"})
	if err != nil {
		return answer{}, err
	}
	found, err := c.s.BIOSSettings(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	out := make([]wire.BIOSSetting, len(found))
	for i, s := range found {
		out[i] = c.settingView(s)
	}
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "bios", out, shape, "")}, nil
}

// always is the shape that a request asks of a list without pages, which has these fields too whatever it asks for.
func always[T any](c *call, fields []wire.Field[T], these []string) (wire.Shape[T], error) {
	names := c.fieldNames()
	for _, n := range names {
		if f, known := wire.Find(fields, n); known && f.Min > c.minor {
			return nil, invalid("Field %s needs API version %s or newer.", n, wire.Version(f.Min))
		}
	}
	shape, err := shaping(c, fields, false)
	if err != nil || names == nil {
		return shape, err
	}
	for _, n := range these {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return wire.Select(fields, c.minor, names)
}

func (c *call) showBIOS() (answer, error) {
	found, err := c.s.BIOSSettings(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	name := c.r.PathValue("setting")
	i := slices.IndexFunc(found, func(s metal.BIOSSetting) bool { return s.Name == name })
	if i < 0 {
		return answer{}, fault.New(fault.NotFound, "Node %s doesn't have a BIOS setting '%s'", c.node(), clip(name))
	}
	shape := wire.Full(wire.BIOSSettingFields, c.minor)
	return answer{status: http.StatusOK, json: map[string]any{name: rendered[wire.BIOSSetting]{c.settingView(found[i]), shape}}}, nil
}

// rendered is a value in the shape of one request.
type rendered[T any] struct {
	value T
	shape wire.Shape[T]
}

// MarshalJSON renders it.
func (r rendered[T]) MarshalJSON() ([]byte, error) { return r.shape.Append(nil, &r.value), nil }

func (c *call) listFirmware() (answer, error) {
	shape, err := always(c, wire.FirmwareFields, []string{"created_at", "updated_at"})
	if err != nil {
		return answer{}, err
	}
	found, err := c.s.FirmwareComponents(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	out := make([]wire.FirmwareComponent, len(found))
	for i, f := range found {
		out[i] = wire.FirmwareComponent{Component: f.Component, Initial: f.Initial, Current: f.Current, LastFlashed: f.LastFlashed, Vendor: f.Vendor,
			Model: f.Model, Serial: f.Serial, CreatedAt: wire.Time{Time: f.CreatedAt}, UpdatedAt: wire.Time{Time: f.UpdatedAt}}
	}
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "firmware", out, shape, "")}, nil
}

func (c *call) setRAID() (answer, error) {
	config, err := c.object()
	if err != nil {
		return answer{}, err
	}
	if err := c.s.SetTargetRAID(c.r.Context(), c.caller(), c.node(), config); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

// logicalDiskProperties describes the keys of target_raid_config for a driver that has RAID.
func (c *call) logicalDiskProperties() (answer, error) {
	d, err := c.driver()
	if err != nil {
		return answer{}, err
	}
	if have := d.Interfaces["raid"]; !slices.ContainsFunc(have, func(name string) bool { return name != "no-raid" }) {
		return answer{}, fault.New(fault.NotFound, "Driver %s does not support raid (disabled or not implemented).", d.Name)
	}
	return answer{status: http.StatusOK, json: metal.LogicalDiskProperties}, nil
}
