package redfish

import (
	"context"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// keySteps reset a machine's Secure Boot keys, by upstream's names.
// Source: OpenStack Ironic, ironic/drivers/modules/redfish/management.py.
var keySteps = map[string]metal.KeyReset{
	"reset_secure_boot_keys_to_default": metal.DefaultKeys,
	"clear_secure_boot_keys":            metal.NoKeys,
}

// The steps that upstream has not.
const (
	enrollStep = "enroll_secure_boot_keys"
	closeStep  = "disable_host_interface"
	openStep   = "enable_host_interface"
)

// Steps lists what this driver does out of band. All of it is on request only, unless the operator gives a step a priority.
func (d *Driver) Steps(_ *metal.Node, kind metal.StepKind) []metal.Step {
	if kind == metal.DeploySteps {
		return nil
	}
	of := func(name string, args map[string]metal.ArgInfo) metal.Step {
		return metal.Step{Interface: "management", Step: name, ArgsInfo: args}
	}
	return []metal.Step{of("clear_secure_boot_keys", nil), of("reset_secure_boot_keys_to_default", nil),
		of(enrollStep, map[string]metal.ArgInfo{
			"pk":      {Description: "the platform key's certificate, PEM"},
			"kek":     {Description: "certificates of those who may change db and dbx, PEM"},
			"db":      {Description: "certificates of those who sign what the firmware starts, PEM"},
			"replace": {Description: "true: the other certificates of the databases that are given go"}}),
		of(closeStep, nil), of(openStep, nil)}
}

// RunStep does a step; to do it twice is to do it once, and what is about Secure Boot is for the next boot.
func (d *Driver) RunStep(ctx context.Context, n *metal.Node, _ metal.StepKind, s metal.Step, _ string) (waiting string, err error) {
	how, reset := keySteps[s.Step]
	switch {
	case s.Interface != "management":
	case reset:
		return "", d.ResetSecureBootKeys(ctx, n, how)
	case s.Step == enrollStep:
		e, err := readEnrolment(s.Args)
		if err != nil {
			return "", err
		}
		return "", d.enroll(ctx, n, e)
	case s.Step == closeStep, s.Step == openStep:
		return "", d.setHostInterfaces(ctx, n, s.Step == openStep)
	}
	return "", fault.New(fault.Invalid, "driver redfish has no step %s.%s", bounded(s.Interface, 30), bounded(s.Step, 60))
}
