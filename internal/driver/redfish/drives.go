package redfish

import (
	"context"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// AttachMedia puts an image into a virtual CD drive, as InsertMedia; this driver uses no others.
func (d *Driver) AttachMedia(ctx context.Context, n *metal.Node, m metal.Medium) error {
	if m.Kind != "cdrom" {
		return fault.New(fault.Invalid, "driver redfish uses virtual CD drives only: give device_type cdrom")
	}
	return d.InsertMedia(ctx, n, m.URL)
}

// DetachMedia empties the virtual CD drives if the kinds, all for none, have them.
func (d *Driver) DetachMedia(ctx context.Context, n *metal.Node, kinds []string) error {
	if len(kinds) > 0 && !slices.Contains(kinds, "cdrom") {
		return nil
	}
	return d.EjectMedia(ctx, n)
}

// MediaDevices lists the virtual CD drives.
func (d *Driver) MediaDevices(ctx context.Context, n *metal.Node) ([]metal.MediaDevice, error) {
	var out []metal.MediaDevice
	err := d.call(ctx, n, "list its virtual drives", func(c *call) error {
		drives, err := c.drives()
		if err != nil {
			return err
		}
		for _, v := range drives {
			one := metal.MediaDevice{Types: []string{}, Inserted: holding(v)}
			for _, t := range v.MediaTypes {
				one.Types = append(one.Types, bounded(string(t), 30))
			}
			if one.Inserted {
				one.Image = bounded(firstOf(v.Image, v.ImageName, "unknown"), 2048)
			}
			out = append(out, one)
		}
		return nil
	})
	return out, err
}
