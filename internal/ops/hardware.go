package ops

import (
	"context"
	"slices"
	"sort"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// Driver is a hardware type and the conductors that serve it.
type Driver struct {
	metal.HardwareType
	Hosts []string
}

// Drivers lists the hardware types of all live conductors, by name. Of one that several serve it has what any of them
// offers, as upstream.
func (s *Service) Drivers(ctx context.Context) ([]Driver, error) {
	conductors, err := s.Conductors(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]*Driver{}
	for _, c := range conductors {
		if !c.Alive {
			continue
		}
		for _, t := range c.Types {
			if d := byName[t.Name]; d == nil {
				byName[t.Name] = &Driver{HardwareType: t}
			} else {
				d.HardwareType = d.With(t)
			}
			byName[t.Name].Hosts = append(byName[t.Name].Hosts, c.Hostname)
		}
	}
	out := make([]Driver, 0, len(byName))
	for _, d := range byName {
		out = append(out, *d)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, nil
}

// hardware finds the type of a driver among live conductors: what all of its group offer, for any of them may work on
// the node. Nobody at all is fault.Unavailable, nobody for this driver fault.NoHost.
func (s *Service) hardware(tx *store.Tx, driver, group string) (metal.HardwareType, error) {
	conductors, err := tx.Conductors(s.config.ConductorAliveLimit)
	if err != nil {
		return metal.HardwareType{}, err
	}
	var found *metal.HardwareType
	alive := false
	for _, c := range conductors {
		if !c.Alive {
			continue
		}
		alive = true
		for _, t := range c.Types {
			switch {
			case t.Name != driver || c.Group != group:
			case found == nil:
				found = &t
			default:
				both := found.Both(t)
				found = &both
			}
		}
	}
	switch {
	case found != nil:
		return *found, nil
	case !alive:
		return metal.HardwareType{}, fault.New(fault.Unavailable, "No conductor is running; please retry when one is.")
	}
	return metal.HardwareType{}, fault.New(fault.NoHost, "No valid host was found. Reason: No conductor service registered "+
		"which supports driver %s for conductor group %q.", driver, group)
}

// fillInterfaces sets each interface that is not set to the driver's default, and refuses what the driver does not have.
// Source of the rules: OpenStack Ironic, ironic/common/driver_factory.py, check_and_update_node_interfaces.
func (s *Service) fillInterfaces(tx *store.Tx, n *metal.Node, hw metal.HardwareType) error {
	filled := map[string]string{}
	for _, kind := range metal.InterfaceKinds {
		want := n.Interfaces[kind.Name]
		for _, name := range []string{n.InstanceInfo.Public(kind.Name + "_interface"), want} {
			if name != "" && !hw.Takes(kind.Name, name) {
				return s.notTaken(tx, hw, kind.Name, name)
			}
		}
		if want == "" {
			want = hw.Default(kind.Name)
		}
		switch {
		case want != "":
			filled[kind.Name] = want
		case len(hw.Interfaces[kind.Name]) > 0:
			return fault.New(fault.Invalid, "Hardware type %s has no default for the %s interface: the configured one is not for it. "+
				"Set %s_interface of node %s to one of: %s.", hw.Name, kind.Name, kind.Name, n.UUID, strings.Join(hw.Interfaces[kind.Name], ", "))
		}
	}
	n.Interfaces = filled
	return nil
}

// notTaken says whether an implementation is not there at all, or not for this driver.
func (s *Service) notTaken(tx *store.Tx, hw metal.HardwareType, kind, name string) error {
	have := strings.Join(slices.Concat(hw.Interfaces[kind], hw.Others[kind]), ", ")
	conductors, err := tx.Conductors(s.config.ConductorAliveLimit)
	if err != nil {
		return err
	}
	for _, c := range conductors {
		for _, t := range c.Types {
			switch {
			case !c.Alive || !t.Takes(kind, name):
			case t.Name == hw.Name:
				return fault.New(fault.Invalid, "The %s interface %q is not enabled on every conductor that serves driver %s here: enable it on all of them "+
					"([DEFAULT] enabled_%s_interfaces), or use one of: %s.", kind, name, hw.Name, kind, have)
			default:
				return fault.New(fault.Invalid, "%s interface implementation %q is not supported by hardware type %s. Use one of: %s.", kind, name, hw.Name, have)
			}
		}
	}
	return fault.New(fault.Invalid, "Could not find the following interface in the 'ironic.hardware.interfaces.%s' entrypoint: %s. Valid interfaces are: %s.",
		kind, clip(name, 255), have)
}

// built refuses what needs an interface whose work is not built, or that is not enabled any more. The kinds are those
// that the work needs.
func built(n *metal.Node, hw metal.HardwareType, kinds ...string) error {
	for _, kind := range kinds {
		name := n.Interface(kind)
		switch {
		case name == "":
		case len(hw.Interfaces[kind]) > 0 && !hw.Takes(kind, name):
			return fault.New(fault.Invalid, "The %s interface %q of node %s is not enabled on the conductors that serve it: enable it "+
				"([DEFAULT] enabled_%s_interfaces), or set %s_interface to one of: %s.", kind, name, n.UUID, kind, kind, strings.Join(hw.Interfaces[kind], ", "))
		case !hw.Built(kind, name):
			return metal.Unbuilt(n, hw, kind)
		}
	}
	return nil
}

// worksWith lists the interface kinds whose work a plan needs. A ramdisk needs a way to boot it, and a network.
func worksWith(n *metal.Node, plan metal.Plan, ramdisk bool) []string {
	var out []string
	switch plan {
	case metal.PlanVerify, metal.PlanAdopt, metal.PlanTearDown, metal.PlanRestore:
		out = []string{"power"}
	case metal.PlanDeploy:
		out = []string{"power", "management", "deploy", "storage", "network"}
	case metal.PlanClean, metal.PlanManual, metal.PlanService:
		out = []string{"power", "deploy", "network"}
	case metal.PlanInspect:
		return []string{"power", "inspect", "boot", "network"}
	case metal.PlanRescue, metal.PlanUnrescue:
		return []string{"power", "rescue"}
	case metal.PlanProbe:
		return []string{"inspect"}
	}
	if deploy := n.Interface("deploy"); ramdisk && deploy != "fake" {
		out = append(out, "boot")
	}
	return out
}
