package ops

import (
	"context"
	"fmt"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// SetBootMode asks for metal.UEFI or metal.BIOS as of the next boot.
func (s *Service) SetBootMode(ctx context.Context, c Caller, ident, mode string) error {
	if mode != metal.UEFI && mode != metal.BIOS {
		return fault.New(fault.Invalid, "Invalid boot mode %q: use uefi or bios.", mode)
	}
	return s.setFirmware(ctx, c, ident, "node:set_boot_mode", metal.PlanBootMode, metal.Ask{BootMode: mode}, "boot mode "+mode)
}

// SetSecureBoot asks for Secure Boot to be on or off as of the next boot.
func (s *Service) SetSecureBoot(ctx context.Context, c Caller, ident string, on bool) error {
	what := "Secure Boot off"
	if on {
		what = "Secure Boot on"
	}
	return s.setFirmware(ctx, c, ident, "node:set_secure_boot", metal.PlanSecure, metal.Ask{SecureBoot: &on}, what)
}

// canSecure refuses at once what could not work: a management interface that switches nothing, and Secure Boot for a node
// that is known to boot by BIOS. What the machine's BMC says comes later, and is in last_error.
func canSecure(n *metal.Node, ask metal.Ask) error {
	if ask.SecureBoot == nil {
		return nil
	}
	if n.Interface("management") == "noop" {
		return noSecureBoot(n)
	}
	general, err := metal.Capabilities(n.Properties["capabilities"])
	if err != nil || !*ask.SecureBoot {
		return nil // what is wrong with the capabilities is said where they are used
	}
	if n.BootMode == metal.BIOS || strings.EqualFold(general["boot_mode"], metal.BIOS) {
		return fault.New(fault.Invalid, "Secure Boot needs boot mode uefi, and node %s boots in mode bios: set the boot mode to uefi first.", n.UUID)
	}
	return nil
}

func noSecureBoot(n *metal.Node) error {
	return fault.New(fault.Invalid, "Driver %s does not support Secure Boot with the management interface %q: use a driver that does, such as redfish, or switch it in the firmware's setup.",
		n.Driver, n.Interface("management"))
}

// Security asks the machine's BMC how well its firmware is kept from its user.
func (s *Service) Security(ctx context.Context, c Caller, ident string) (metal.SecurityReport, error) {
	var out metal.SecurityReport
	return out, s.answer(ctx, c, ident, "ingot:node:security", metal.PlanSecurity, false, metal.Ask{}, &out)
}

// setFirmware writes the operation; what becomes of it is in the node's states, a failure in its last_error. A node that
// is on its way to somewhere is held, by whatever moves it. Source: rest-api reference §2.3.
func (s *Service) setFirmware(ctx context.Context, c Caller, ident string, rule policy.Rule, plan metal.Plan, ask metal.Ask, what string) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, rule)
		if err != nil {
			return err
		}
		live, err := tx.LiveOperation(n.ID)
		if err != nil {
			return err
		}
		if live != nil || metal.States[n.ProvisionState].Kind != metal.Stable {
			return locked(n, live)
		}
		hw, err := s.hardware(tx, n.Driver, n.ConductorGroup)
		if err == nil {
			err = built(n, hw, "management")
		}
		if err == nil {
			err = canSecure(n, ask)
		}
		if err != nil {
			return err
		}
		if err := tx.CreateOperation(newOperation(n, plan, string(plan), c, ask)); err != nil {
			return err
		}
		n.LastError = ""
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), Verb: string(plan), Why: fmt.Sprintf("%s asked for %s.", c.who(), what)})
	})
}
