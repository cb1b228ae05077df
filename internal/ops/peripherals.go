package ops

import (
	"cmp"
	"context"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/store"
)

// AttachMedia asks for an image in a virtual drive. It is refused while the machine's BMC is known to be out of reach.
func (s *Service) AttachMedia(ctx context.Context, c Caller, ident string, m metal.Medium) error {
	const rule = "node:vmedia:attach"
	if err := s.reachable(ctx, c, ident, rule); err != nil {
		return err
	}
	return s.accept(ctx, c, ident, rule, metal.PlanAttachMedia, true, metal.Ask{Medium: &m}, "an image in the virtual drive "+m.Kind)
}

// DetachMedia asks for virtual drives to be emptied: all of them for no kinds.
func (s *Service) DetachMedia(ctx context.Context, c Caller, ident string, kinds []string) error {
	const rule = "node:vmedia:detach"
	if err := s.reachable(ctx, c, ident, rule); err != nil {
		return err
	}
	what := "empty virtual drives"
	if len(kinds) > 0 {
		what += ": " + strings.Join(kinds, ", ")
	}
	return s.accept(ctx, c, ident, rule, metal.PlanDetachMedia, true, metal.Ask{MediaKinds: kinds}, what)
}

// Media lists the machine's virtual drives.
func (s *Service) Media(ctx context.Context, c Caller, ident string) (out []metal.MediaDevice, err error) {
	const rule = "node:vmedia:get"
	if err := s.reachable(ctx, c, ident, rule); err != nil {
		return nil, err
	}
	return out, s.answer(ctx, c, ident, rule, metal.PlanReadMedia, false, metal.Ask{}, &out)
}

// reachable refuses what needs a BMC that did not answer when it was asked last. Source: rest-api reference §3.7.
func (s *Service) reachable(ctx context.Context, c Caller, ident string, rule policy.Rule) error {
	n, err := s.Node(ctx, c, ident, rule)
	if err == nil && n.Maintenance && n.Fault == "power failure" {
		return fault.New(fault.Unavailable, "Node %s is in maintenance because its power state cannot be read; its virtual media cannot be reached before that is mended.", n.UUID)
	}
	return err
}

// SetConsole asks for the machine's console to be reachable, or not any more.
func (s *Service) SetConsole(ctx context.Context, c Caller, ident string, on bool) error {
	what := "no console"
	if on {
		what = "the console"
	}
	return s.accept(ctx, c, ident, "node:set_console_state", metal.PlanConsole, true, metal.Ask{Console: &on}, what)
}

// Console tells how the machine's console is reached; nil while it is not enabled.
func (s *Service) Console(ctx context.Context, c Caller, ident string) (info *metal.ConsoleInfo, err error) {
	return info, s.answer(ctx, c, ident, "node:get_console", metal.PlanReadConsole, false, metal.Ask{}, &info)
}

// InjectNMI interrupts the machine.
func (s *Service) InjectNMI(ctx context.Context, c Caller, ident string) error {
	return s.answer(ctx, c, ident, "node:inject_nmi", metal.PlanNMI, true, metal.Ask{}, nil)
}

// Indicators lists the machine's lights.
func (s *Service) Indicators(ctx context.Context, c Caller, ident string) (out []metal.Indicator, err error) {
	return out, s.answer(ctx, c, ident, "node:get_indicator_state", metal.PlanIndicators, false, metal.Ask{}, &out)
}

// Indicator tells the state of a light, by metal.Indicator.ID.
func (s *Service) Indicator(ctx context.Context, c Caller, ident, id string) (state string, err error) {
	return state, s.answer(ctx, c, ident, "node:get_indicator_state", metal.PlanReadLight, false, metal.Ask{Indicator: id}, &state)
}

// SetIndicator switches a light.
func (s *Service) SetIndicator(ctx context.Context, c Caller, ident, id, state string) error {
	return s.answer(ctx, c, ident, "node:set_indicator_state", metal.PlanSetLight, true, metal.Ask{Indicator: id, Light: state}, nil)
}

// VendorMethods lists what only the node's driver does.
func (s *Service) VendorMethods(ctx context.Context, c Caller, ident string) (out map[string]metal.VendorMethod, err error) {
	return out, s.answer(ctx, c, ident, "node:vendor_passthru", metal.PlanVendorList, false, metal.Ask{}, &out)
}

// CallVendor calls a vendor method: one that is asynchronous is accepted, another answered. A method that nobody has is
// fault.Invalid.
func (s *Service) CallVendor(ctx context.Context, c Caller, ident string, call metal.VendorCall) (m metal.VendorMethod, result any, err error) {
	const rule = "node:vendor_passthru"
	methods, err := s.VendorMethods(ctx, c, ident)
	if err != nil {
		return m, nil, err
	}
	m, known := methods[call.Method]
	if !known {
		return m, nil, noHandler(call.Method)
	}
	ask := metal.Ask{Vendor: &call}
	if m.Async {
		return m, nil, s.accept(ctx, c, ident, rule, metal.PlanVendor, m.Exclusive, ask, "the vendor method "+call.Method)
	}
	return m, result, s.answer(ctx, c, ident, rule, metal.PlanVendorWait, m.Exclusive, ask, &result)
}

func noHandler(method string) error {
	return fault.New(fault.Invalid, "No handler for method %s", method)
}

// SetTargetRAID keeps what RAID steps are to make of the machine; an empty configuration forgets it. A node without RAID
// is fault.NotFound, as upstream.
func (s *Service) SetTargetRAID(ctx context.Context, c Caller, ident string, config map[string]any) error {
	return s.db.Write(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "node:set_raid_state")
		if err != nil {
			return err
		}
		hw, err := s.hardware(tx, n.Driver, n.ConductorGroup)
		if err != nil {
			return err
		}
		if metal.Lacks(n.Interface("raid")) {
			return fault.New(fault.NotFound, "Driver %s does not support raid (disabled or not implemented).", n.Driver)
		}
		if err := built(n, hw, "raid"); err != nil {
			return err
		}
		if live, err := tx.LiveOperation(n.ID); err != nil || live != nil {
			return cmp.Or(err, locked(n, live))
		}
		if err := metal.CheckRAIDConfig(config); err != nil {
			return fault.New(fault.Invalid, "RAID config validation error: %s", err)
		}
		n.TargetRAIDConfig = config
		if n.UpdatedAt, err = tx.Now(); err != nil {
			return err
		}
		if err := tx.SaveNode(n); err != nil {
			return err
		}
		return tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.who(), Why: c.who() + " set the target RAID configuration."})
	})
}

// BIOSSettings lists the settings of the machine's firmware as they were last read.
func (s *Service) BIOSSettings(ctx context.Context, c Caller, ident string) (out []metal.BIOSSetting, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "node:bios:get")
		if err != nil {
			return err
		}
		out, err = tx.BIOSSettings(n.ID)
		return err
	})
	return out, err
}

// FirmwareComponents lists the parts of the machine that have firmware, as they were last read.
func (s *Service) FirmwareComponents(ctx context.Context, c Caller, ident string) (out []metal.FirmwareComponent, err error) {
	err = s.db.Read(ctx, func(tx *store.Tx) error {
		n, err := c.node(tx, ident, "node:firmware:get")
		if err != nil {
			return err
		}
		out, err = tx.FirmwareComponents(n.ID)
		return err
	})
	return out, err
}
