package fake

import (
	"context"
	"net/url"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// drives are the virtual drives of a fake machine, one of each kind, with the media they take in Redfish's words.
var drives = []struct {
	kind  string
	types []string
}{{"cdrom", []string{"CD", "DVD"}}, {"disk", []string{"USBStick"}}, {"floppy", []string{"Floppy"}}}

// AttachMedia puts an image into the drive of its kind, instead of what is in it. Nothing is fetched.
func (d *Driver) AttachMedia(ctx context.Context, n *metal.Node, m metal.Medium) error {
	if u, err := url.Parse(m.URL); err != nil || u.Scheme == "" || u.Host == "" {
		return fault.New(fault.Invalid, "virtual media needs a URL")
	}
	if !slices.Contains(metal.MediaKinds, m.Kind) {
		return fault.New(fault.Invalid, "a fake machine has no drive for %q", m.Kind)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.media[n.UUID] == nil {
		d.media[n.UUID] = map[string]string{}
	}
	d.media[n.UUID][m.Kind] = m.URL
	return nil
}

// DetachMedia empties the drives of the kinds, all for none.
func (d *Driver) DetachMedia(ctx context.Context, n *metal.Node, kinds []string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, drive := range drives {
		if len(kinds) == 0 || slices.Contains(kinds, drive.kind) {
			delete(d.media[n.UUID], drive.kind)
		}
	}
	if len(d.media[n.UUID]) == 0 {
		delete(d.media, n.UUID)
	}
	return nil
}

// MediaDevices lists the drives and what is in them.
func (d *Driver) MediaDevices(ctx context.Context, n *metal.Node) ([]metal.MediaDevice, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []metal.MediaDevice
	for _, drive := range drives {
		image := d.media[n.UUID][drive.kind]
		out = append(out, metal.MediaDevice{Types: slices.Clone(drive.types), Inserted: image != "", Image: image})
	}
	return out, ctx.Err()
}
