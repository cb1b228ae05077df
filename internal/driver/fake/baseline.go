package fake

import (
	"context"

	"ingot/internal/metal"
)

// FirmwareState gives what steps have made of the settings and the versions.
func (d *Driver) FirmwareState(ctx context.Context, n *metal.Node) (metal.FirmwareState, error) {
	s := metal.FirmwareState{BIOS: map[string]string{}, Firmware: map[string]string{}}
	settings, err := d.BIOSSettings(ctx, n)
	if err != nil {
		return metal.FirmwareState{}, err
	}
	for _, b := range settings {
		if b.Value != nil {
			s.BIOS[b.Name] = *b.Value
		}
	}
	parts, err := d.FirmwareComponents(ctx, n)
	for _, f := range parts {
		s.Firmware[f.Component] = f.Current
	}
	return s, err
}
