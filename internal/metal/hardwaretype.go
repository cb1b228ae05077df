package metal

import (
	"slices"
	"strings"

	"ingot/internal/fault"
)

// HardwareType is what the API tells about a driver.
type HardwareType struct {
	Name   string
	Fields []Field
	// Interfaces has per interface kind the implementations that are enabled and meant for this type, in its own order.
	Interfaces map[string][]string
	// Others has those that are enabled and taken too, though the type is not made for them: fake-hardware takes all.
	Others map[string][]string `json:",omitempty"`
	// Defaults has per kind what a node gets that names none, "" for nothing that the type could take; a kind that is not
	// here: the first of Interfaces.
	Defaults map[string]string `json:",omitempty"`
	// Unbuilt has those that nodes may name while their work is not built: verbs that need it are refused.
	Unbuilt map[string][]string `json:",omitempty"`
	// Steps has, per kind of steps and per implementation (Implements), what it offers out of band, by Step.Name; nil where
	// that is not known.
	Steps map[StepKind]map[string][]string `json:",omitempty"`
}

// Implements is how Steps calls an implementation of an interface kind.
func Implements(kind, name string) string { return kind + "/" + name }

// OutOfBand lists the names of the steps that a node's driver offers without the agent; known is false where nobody said.
func (h HardwareType) OutOfBand(n *Node, kind StepKind) (names []string, known bool) {
	for _, k := range InterfaceKinds {
		names = append(names, h.Steps[kind][Implements(k.Name, n.Interface(k.Name))]...)
	}
	return names, h.Steps != nil
}

// Field is one key of driver_info that a driver understands.
type Field struct {
	Name        string
	Description string
	Required    bool
	Secret      bool // never shown; keys a driver does not list count as secret too
}

// Shows tells whether the value of a driver_info key may be shown.
func (h HardwareType) Shows(key string) bool {
	for _, f := range h.Fields {
		if f.Name == key {
			return !f.Secret
		}
	}
	return false
}

// Takes tells whether a node of this type may have an implementation.
func (h HardwareType) Takes(kind, name string) bool {
	return slices.Contains(h.Interfaces[kind], name) || slices.Contains(h.Others[kind], name)
}

// Default is the implementation of a node that names none, "" if there is none.
func (h HardwareType) Default(kind string) string {
	if d, said := h.Defaults[kind]; said {
		return d
	}
	if have := h.Interfaces[kind]; len(have) > 0 {
		return have[0]
	}
	return ""
}

// Built tells whether the work of an implementation is there.
func (h HardwareType) Built(kind, name string) bool { return !slices.Contains(h.Unbuilt[kind], name) }

// Working lists what a node may have with its work built: those the type is made for first.
func (h HardwareType) Working(kind string) []string {
	all := slices.Concat(h.Interfaces[kind], h.Others[kind])
	return slices.DeleteFunc(all, func(name string) bool { return !h.Built(kind, name) })
}

// Interface is the implementation that works for a node: what its instance_info names for this instance, else its
// own. Source: OpenStack Ironic, ironic/objects/node.py, get_interface.
func (n *Node) Interface(kind string) string {
	if own := n.InstanceInfo.Public(kind + "_interface"); own != "" {
		return own
	}
	return n.Interfaces[kind]
}

// Lacks tells whether an implementation is the one that says that there is none.
func Lacks(implementation string) bool {
	return implementation == "" || len(implementation) > 3 && implementation[:3] == "no-"
}

// configured are implementations that work only where the configuration names what they speak to.
var configured = map[string]string{Implements("network", "flat"): "[neutron] auth_url", Implements("network", "neutron"): "[neutron] auth_url"}

// Unbuilt is what a verb is refused with that needs an implementation whose work is not built.
func Unbuilt(n *Node, h HardwareType, kind string) error {
	instead := "its driver has none that works yet"
	if have := slices.DeleteFunc(h.Working(kind), Lacks); len(have) > 0 {
		instead = "set " + kind + "_interface to one that works: " + strings.Join(have, ", ")
	}
	if needs := configured[Implements(kind, n.Interface(kind))]; needs != "" {
		return fault.New(fault.NotSupported, "The %s interface %q of node %s needs %s, which the configuration of this server does not have; %s.", kind, n.Interface(kind), n.UUID, needs, instead)
	}
	return fault.New(fault.NotSupported, "The %s interface %q of node %s is not built yet in this server; %s.", kind, n.Interface(kind), n.UUID, instead)
}

// With is what h and t, one driver on two servers, offer between them.
func (h HardwareType) With(t HardwareType) HardwareType {
	h.Interfaces, h.Others, h.Unbuilt = merged(h.Interfaces, t.Interfaces), merged(h.Others, t.Others), merged(h.Unbuilt, t.Unbuilt)
	h.Steps = eitherSteps(h, t)
	return h
}

// eitherSteps is what one of two offers out of band; nothing is known where one does not say.
func eitherSteps(h, t HardwareType) map[StepKind]map[string][]string {
	if h.Steps == nil || t.Steps == nil {
		return nil
	}
	out := map[StepKind]map[string][]string{}
	for _, from := range []map[StepKind]map[string][]string{h.Steps, t.Steps} {
		for kind, parts := range from {
			if out[kind] == nil {
				out[kind] = map[string][]string{}
			}
			for part, names := range parts {
				all := slices.Concat(out[kind][part], names)
				slices.Sort(all)
				out[kind][part] = slices.Compact(all)
			}
		}
	}
	return out
}

func merged(a, b map[string][]string) map[string][]string {
	out := map[string][]string{}
	for _, kind := range InterfaceKinds {
		all := slices.Clone(a[kind.Name])
		for _, name := range b[kind.Name] {
			if !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
		if len(all) > 0 {
			out[kind.Name] = all
		}
	}
	return out
}

// Both is what h and t, one driver on two servers, offer each. Defaults are h's where t has them.
func (h HardwareType) Both(t HardwareType) HardwareType {
	out := HardwareType{Name: h.Name, Fields: h.Fields, Interfaces: map[string][]string{}, Others: map[string][]string{}, Defaults: map[string]string{},
		Unbuilt: merged(h.Unbuilt, t.Unbuilt), Steps: eitherSteps(h, t)}
	for _, k := range InterfaceKinds {
		kind := k.Name
		here := func(name string) bool { return !t.Takes(kind, name) }
		out.Interfaces[kind] = slices.DeleteFunc(slices.Clone(h.Interfaces[kind]), here)
		out.Others[kind] = slices.DeleteFunc(slices.Clone(h.Others[kind]), here)
		out.Defaults[kind] = h.Default(kind)
		if d := out.Defaults[kind]; d != "" && !t.Takes(kind, d) {
			delete(out.Defaults, kind)
		}
	}
	return out
}
