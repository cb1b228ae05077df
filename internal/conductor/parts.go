package conductor

import (
	"context"
	"maps"
	"slices"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Part is what one implementation of one interface kind can do: "redfish" of power, "fake" of deploy. A nil field is a
// capability that it does not bring.
type Part struct {
	// Unbuilt: nodes may name it, and verbs that need it are refused.
	Unbuilt bool

	Validator Validator
	Power     Power
	Boot      Booter
	Media     Media
	Mode      BootModer
	Secure    SecureBooter
	Inspector Inspector
	Facts     Inspector // what is read when a node is verified, whoever inspects it
	Console   Console
	Steps     Stepper

	Firmware   Firmware
	Settings   Settings
	Components Components
	RAID       RAID
	Drives     Drives
	Terminal   Terminal
	NMI        Interrupter
	Lights     Lights
	Guard      Guard
	Vendor     Vendor
	Network    Network // nil: the machine stays on the network that it is cabled to

	// NetBoot is the way of booting from the network: metal.BootPXE and its like; "": it is another. Of boot.
	NetBoot string
	// Deploys says how a machine is deployed with this implementation of deploy.
	Deploys Deploys
	// Installs: it installs with OS definitions, too. Of deploy.
	Installs bool
	// Rescues: a ramdisk lets the machine's user in. Of rescue.
	Rescues bool
	// ByHand: somebody else boots the ramdisk, and its agent gets its token by lookup. Of boot.
	ByHand bool
	// Pause is drawn where the work of this kind takes time although it does nothing; nil: no time.
	Pause func() time.Duration
}

// Deploys is a way of deploying.
type Deploys string

// The ways. The zero value writes nothing and needs no ramdisk.
const (
	Nothing Deploys = ""      // the machine is only switched on
	ByAgent Deploys = "agent" // an agent in a ramdisk writes the image
)

// Parts are implementations by interface kind and name.
type Parts map[string]map[string]Part

// Hardware is all that the nodes of one hardware type can do. Without Parts every node has the same: what the
// embedded Part says.
type Hardware struct {
	Type metal.HardwareType
	Part
	Parts Parts

	chosen map[string]Part // per kind, of the node that it was composed for
}

// Of is the hardware of one node: what the implementations that it names bring together. Missing are the kinds
// whose implementation this server does not have; nothing is brought for them.
func (h Hardware) Of(n *metal.Node) (own Hardware, missing []string) {
	if h.Parts == nil {
		if h.Facts == nil {
			h.Facts = h.Inspector
		}
		h.Installs = h.Installs || n.Interface("deploy") == metal.DeployOS
		if h.Deploys == Nothing && (h.Installs || n.Interface("deploy") == "direct") {
			h.Deploys = ByAgent
		}
		h.Rescues = h.Rescues || n.Interface("rescue") == "agent"
		return h, nil
	}
	own = Hardware{Type: h.Type, Parts: h.Parts, chosen: map[string]Part{}}
	var steps manySteps
	var checks manyChecks
	for _, kind := range metal.InterfaceKinds {
		name := n.Interface(kind.Name)
		p, have := h.Parts[kind.Name][name]
		if !have {
			if name != "" {
				missing = append(missing, kind.Name)
			}
			continue
		}
		own.chosen[kind.Name] = p
		own.Part.take(p)
		if p.Steps != nil {
			steps = append(steps, kindSteps{kind.Name, p.Steps})
		}
		if p.Validator != nil && !slices.Contains(checks, p.Validator) {
			checks = append(checks, p.Validator)
		}
	}
	if len(steps) > 0 {
		own.Steps = steps
	}
	if len(checks) > 0 {
		own.Validator = checks
	}
	return own, missing
}

// take adds what p brings.
func (h *Part) take(p Part) {
	h.Power, h.Boot, h.Media = either(h.Power, p.Power), either(h.Boot, p.Boot), either(h.Media, p.Media)
	h.Mode, h.Secure = either(h.Mode, p.Mode), either(h.Secure, p.Secure)
	h.Firmware = either(h.Firmware, p.Firmware)
	h.Inspector, h.Facts, h.Console = either(h.Inspector, p.Inspector), either(h.Facts, p.Facts), either(h.Console, p.Console)
	h.Settings, h.Components, h.RAID = either(h.Settings, p.Settings), either(h.Components, p.Components), either(h.RAID, p.RAID)
	h.Drives, h.Terminal, h.NMI = either(h.Drives, p.Drives), either(h.Terminal, p.Terminal), either(h.NMI, p.NMI)
	h.Lights, h.Vendor = either(h.Lights, p.Lights), either(h.Vendor, p.Vendor)
	h.Guard = either(h.Guard, p.Guard)
	h.Network, h.NetBoot = either(h.Network, p.Network), either(h.NetBoot, p.NetBoot)
	h.ByHand, h.Rescues = h.ByHand || p.ByHand, h.Rescues || p.Rescues
	h.Installs = h.Installs || p.Installs
	if p.Deploys != Nothing {
		h.Deploys = p.Deploys
	}
}

func either[T comparable](a, b T) T {
	var none T
	if a != none {
		return a
	}
	return b
}

// check says what is wrong with driver_info for one kind, as far as it can be said without asking the machine.
func (h Hardware) check(kind string, n *metal.Node) error {
	v := h.chosen[kind].Validator
	if h.Parts == nil && (kind == "power" || kind == "management" || kind == "boot") {
		v = h.Validator
	}
	if v == nil {
		return nil
	}
	return v.Validate(n)
}

// manyChecks asks each.
type manyChecks []Validator

func (c manyChecks) Validate(n *metal.Node) error {
	for _, v := range c {
		if err := v.Validate(n); err != nil {
			return err
		}
	}
	return nil
}

// kindSteps are the steps of one interface kind.
type kindSteps struct {
	kind string
	Stepper
}

// manySteps offers the steps of every interface, each with those of its own kind only.
type manySteps []kindSteps

func (s manySteps) Steps(n *metal.Node, kind metal.StepKind) []metal.Step {
	var out []metal.Step
	for _, k := range s {
		for _, one := range k.Stepper.Steps(n, kind) {
			if one.Interface == k.kind {
				out = append(out, one)
			}
		}
	}
	return out
}

func (s manySteps) RunStep(ctx context.Context, n *metal.Node, kind metal.StepKind, one metal.Step, key string) (string, error) {
	for _, k := range s {
		if k.kind == one.Interface {
			return k.Stepper.RunStep(ctx, n, kind, one, key)
		}
	}
	return "", fault.New(fault.Invalid, "the %s interface of driver %s offers no steps", one.Interface, n.Driver)
}

// pause lets pass what the work of some kinds takes, although it does nothing: left is what remains of it. It costs a
// row, no goroutine.
func (r *runner) pause(op *Op, kinds ...string) (left time.Duration) {
	if op.Rec.PauseUntil.IsZero() {
		var d time.Duration
		for _, kind := range kinds {
			if draw := r.hw.chosen[kind].Pause; draw != nil {
				d += draw()
			}
		}
		if d <= 0 {
			return 0
		}
		op.Rec.PauseUntil = time.Now().Add(d)
	}
	if left = time.Until(op.Rec.PauseUntil); left > 0 {
		return left
	}
	op.Rec.PauseUntil = time.Time{}
	return 0
}

// Enabled is which implementations a server offers. A kind without a list has all that its hardware types are made for.
type Enabled struct {
	Interfaces map[string][]string
	Defaults   map[string]string
}

// Design is a hardware type as it is made: per kind what it supports, in its own order.
type Design struct {
	Name     string
	Fields   []metal.Field
	Supports map[string][]string
	Any      bool // it takes whatever is enabled
}

// Compose makes hardware types of their designs and of what is enabled. An implementation that there is not, or a type that
// has none of a kind left, is an error that names the option.
func (parts Parts) Compose(designs []Design, on Enabled) (map[string]Hardware, error) {
	enabled := map[string][]string{}
	for _, kind := range metal.InterfaceKinds {
		list := on.Interfaces[kind.Name]
		for _, name := range append(slices.Clone(list), on.Defaults[kind.Name]) {
			if _, have := parts[kind.Name][name]; !have && name != "" {
				return nil, unknownPart(parts, kind.Name, name)
			}
		}
		if len(list) == 0 {
			for _, d := range designs {
				list = append(list, d.Supports[kind.Name]...)
			}
		}
		enabled[kind.Name] = list
		if d := on.Defaults[kind.Name]; d != "" && !slices.Contains(list, d) {
			return nil, fault.New(fault.Invalid, "[DEFAULT] default_%s_interface: %q is not in enabled_%s_interfaces", kind.Name, d, kind.Name)
		}
	}
	out := map[string]Hardware{}
	for _, d := range designs {
		h, err := parts.compose(d, enabled, on.Defaults)
		if err != nil {
			return nil, err
		}
		out[d.Name] = h
	}
	return out, nil
}

func unknownPart(parts Parts, kind, name string) error {
	return fault.New(fault.Invalid, "[DEFAULT] enabled_%s_interfaces or default_%s_interface: there is no %s interface %q; there are %v",
		kind, kind, kind, name, slices.Sorted(maps.Keys(parts[kind])))
}

func (parts Parts) compose(d Design, enabled map[string][]string, defaults map[string]string) (Hardware, error) {
	h := Hardware{Parts: Parts{}, Type: metal.HardwareType{Name: d.Name, Fields: d.Fields, Interfaces: map[string][]string{},
		Others: map[string][]string{}, Defaults: map[string]string{}, Unbuilt: map[string][]string{}}}
	for _, k := range metal.InterfaceKinds {
		kind := k.Name
		own := slices.DeleteFunc(slices.Clone(d.Supports[kind]), func(name string) bool { return !slices.Contains(enabled[kind], name) })
		if len(own) == 0 {
			return h, fault.New(fault.Invalid, "[DEFAULT] enabled_%s_interfaces: hardware type %s needs at least one of %v", kind, d.Name, d.Supports[kind])
		}
		h.Type.Interfaces[kind] = own
		if d.Any {
			for _, name := range enabled[kind] {
				if !slices.Contains(own, name) && !slices.Contains(h.Type.Others[kind], name) {
					h.Type.Others[kind] = append(h.Type.Others[kind], name)
				}
			}
		}
		h.Parts[kind] = map[string]Part{}
		for _, name := range slices.Concat(own, h.Type.Others[kind]) {
			h.Parts[kind][name] = parts[kind][name]
			if parts[kind][name].Unbuilt {
				h.Type.Unbuilt[kind] = append(h.Type.Unbuilt[kind], name)
			}
		}
		h.Type.Defaults[kind] = firstChoice(h, kind, defaults[kind])
	}
	h.Type.Steps = h.Parts.steps()
	return h, nil
}

// steps is what the implementations offer out of band, whatever the node.
func (parts Parts) steps() map[metal.StepKind]map[string][]string {
	out := map[metal.StepKind]map[string][]string{metal.CleanSteps: {}, metal.DeploySteps: {}, metal.ServiceSteps: {}}
	for kind, named := range parts {
		for name, p := range named {
			if p.Steps == nil {
				continue
			}
			n := &metal.Node{Interfaces: map[string]string{kind: name}}
			for steps, at := range out {
				for _, one := range (manySteps{{kind, p.Steps}}).Steps(n, steps) {
					at[metal.Implements(kind, name)] = append(at[metal.Implements(kind, name)], one.Name())
				}
			}
		}
	}
	return out
}

// firstChoice is what a node gets that names none: what the operator said, "" where the type does not take that; else the
// first that the type supports, those whose work is built before those whose is not. A boot from the network comes after
// what needs nothing but the BMC: nobody's first machine is to wait for a DHCP server. Source but for that: OpenStack
// Ironic, ironic/common/driver_factory.py, default_interface.
func firstChoice(h Hardware, kind, said string) string {
	t := h.Type
	switch {
	case said != "" && t.Takes(kind, said):
		return said
	case said != "":
		return ""
	}
	for _, needsNetwork := range []bool{false, true} {
		for _, name := range t.Interfaces[kind] {
			if t.Built(kind, name) && (h.Parts[kind][name].NetBoot != "") == needsNetwork {
				return name
			}
		}
	}
	return t.Interfaces[kind][0]
}
