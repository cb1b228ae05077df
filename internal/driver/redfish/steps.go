package redfish

import (
	"context"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// keySteps are what an operator may have done to a machine's Secure Boot keys in cleaning, by upstream's names.
// Source: OpenStack Ironic, ironic/drivers/modules/redfish/management.py.
var keySteps = map[string]metal.KeyReset{
	"reset_secure_boot_keys_to_default": metal.DefaultKeys,
	"clear_secure_boot_keys":            metal.NoKeys,
}

// Steps lists what this driver does out of band, on request only.
func (d *Driver) Steps(_ *metal.Node, kind metal.StepKind) []metal.Step {
	if kind != metal.CleanSteps {
		return nil
	}
	return []metal.Step{{Interface: "management", Step: "clear_secure_boot_keys"}, {Interface: "management", Step: "reset_secure_boot_keys_to_default"}}
}

// RunStep resets keys; to do it twice is to do it once, and the next boot goes by it.
func (d *Driver) RunStep(ctx context.Context, n *metal.Node, _ metal.StepKind, s metal.Step, _ string) (waiting string, err error) {
	how, ok := keySteps[s.Step]
	if !ok || s.Interface != "management" {
		return "", fault.New(fault.Invalid, "driver redfish has no step %s.%s", bounded(s.Interface, 30), bounded(s.Step, 60))
	}
	return "", d.ResetSecureBootKeys(ctx, n, how)
}
