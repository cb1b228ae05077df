package redfish

import (
	"context"
	"slices"

	"github.com/stmcginnis/gofish/schemas"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Power reads the state: PowerOff only when the machine is really off, PowerOn else, on the way up or down
// too. A BMC that does not say (some do not while they start) is fault.Unavailable.
func (d *Driver) Power(ctx context.Context, n *metal.Node) (metal.Power, error) {
	var p metal.Power
	err := d.call(ctx, n, "tell the power state", func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		switch s.PowerState {
		case schemas.OffPowerState:
			p = metal.PowerOff
		case "":
			return fault.New(fault.Unavailable, "the BMC at %s does not say whether the machine is on: it may still be starting", c.bmc.host)
		default:
			p = metal.PowerOn
		}
		return nil
	})
	return p, err
}

// resets are the ways to a state, best first. Source: DMTF Resource schema, ResetType.
var resets = map[metal.Power][]schemas.ResetType{
	metal.PowerOn:      {schemas.OnResetType, schemas.ForceOnResetType, schemas.PushPowerButtonResetType},
	metal.PowerOff:     {schemas.ForceOffResetType},
	metal.SoftPowerOff: {schemas.GracefulShutdownResetType, schemas.PushPowerButtonResetType},
}

// there are the states in which nothing has to be done. A machine on its way down is not there for a hard
// power off: a guest that hangs in its shutdown is what that is for.
var there = map[metal.Power][]schemas.PowerState{
	metal.PowerOn:      {schemas.OnPowerState, schemas.PoweringOnPowerState},
	metal.PowerOff:     {schemas.OffPowerState},
	metal.SoftPowerOff: {schemas.OffPowerState, schemas.PoweringOffPowerState},
}

// SetPower asks for PowerOn, PowerOff or SoftPowerOff and returns when the BMC has accepted. A machine that
// is there already is left alone. Other states are fault.Invalid.
func (d *Driver) SetPower(ctx context.Context, n *metal.Node, want metal.Power) error {
	if resets[want] == nil {
		return fault.New(fault.Invalid, "%q is not a power state to ask a BMC for", string(want))
	}
	return d.call(ctx, n, "switch the machine to "+string(want), func(c *call) error { return c.setPower(want) })
}

// ByButton tells whether SetPower presses the machine's power button for a state, because the BMC offers nothing better.
func (d *Driver) ByButton(ctx context.Context, n *metal.Node, want metal.Power) (button bool, err error) {
	err = d.call(ctx, n, "tell how it switches the machine to "+string(want), func(c *call) error {
		s, err := c.system()
		if err != nil {
			return err
		}
		reset, err := c.chooseReset(s, want)
		button = reset == schemas.PushPowerButtonResetType
		return err
	})
	return button, err
}

// setPower looks before every try: of an answer that got lost, or a refusal because it is so already, the
// state tells the truth.
func (c *call) setPower(want metal.Power) error {
	var last error
	for try := 1; ; try++ {
		s, err := c.system()
		if err != nil {
			return err
		}
		if slices.Contains(there[want], s.PowerState) {
			return nil
		}
		if last != nil && (!passing(last) || try > c.bmc.cfg.Attempts) {
			return last
		}
		reset, err := c.chooseReset(s, want)
		if err != nil {
			return err
		}
		if _, err = s.Reset(reset); err == nil {
			return nil
		}
		// A timeout is worth no look: the BMC would time out again.
		if !passing(err) && statusOf(err) == 0 || !c.pause(try) {
			return err
		}
		last = err
	}
}

// chooseReset picks the best way that the BMC offers; one that lists none is taken to have them all.
func (c *call) chooseReset(s *schemas.ComputerSystem, want metal.Power) (schemas.ResetType, error) {
	offered, err := s.GetSupportedResetTypes()
	if err != nil && (lost(err) || statusOf(err) == 401) {
		return "", err
	}
	for _, r := range resets[want] {
		if len(offered) == 0 || slices.Contains(offered, r) {
			return r, nil
		}
	}
	return "", fault.New(fault.NotSupported, "the BMC at %s has no way to %s: it offers none of %v", c.bmc.host, c.doing, resets[want])
}
