package conductor

import (
	"context"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// NoManagement is the management interface "noop": whoever looks after the machine sees to what it boots from. It takes
// what upstream's takes and does nothing. Source: OpenStack Ironic, ironic/drivers/modules/noop_mgmt.py.
type NoManagement struct{}

var noopDevices = []string{"pxe", "disk"}

// BootDevice is not known.
func (NoManagement) BootDevice(ctx context.Context, _ *metal.Node) (metal.BootDevice, error) {
	return metal.BootDevice{}, ctx.Err()
}

// SetBootDevice takes what BootDevices lists and does nothing.
func (NoManagement) SetBootDevice(ctx context.Context, _ *metal.Node, d metal.BootDevice) error {
	if !slices.Contains(noopDevices, d.Device) {
		return fault.New(fault.Invalid, "%q is not a boot device that this machine's noop management takes: use pxe or disk", d.Device)
	}
	return ctx.Err()
}

// BootDevices lists what SetBootDevice takes.
func (NoManagement) BootDevices(ctx context.Context, _ *metal.Node) ([]string, error) {
	return slices.Clone(noopDevices), ctx.Err()
}
