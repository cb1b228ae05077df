package api

import (
	"reflect"
	"strings"

	"ingot/internal/metal"
	"ingot/internal/secret"
)

// setter is how one field of a resource is read for a patch and written. Values are as wire's Check leaves
// them: nil, string, bool or an object.
type setter[T any] struct {
	get func(*T) any
	set func(*T, any) error
}

// nodeSetters has every field a caller may give. TestSetters holds it against wire's table.
var nodeSetters = makeNodeSetters()

func makeNodeSetters() map[string]setter[metal.Node] {
	m := map[string]setter[metal.Node]{
		"name":             text(func(n *metal.Node) *string { return &n.Name }),
		"driver":           text(func(n *metal.Node) *string { return &n.Driver }),
		"driver_info":      hidden(func(n *metal.Node) *secret.Map { return &n.DriverInfo }),
		"properties":       object(func(n *metal.Node) *map[string]any { return &n.Properties }),
		"extra":            object(func(n *metal.Node) *map[string]any { return &n.Extra }),
		"instance_info":    hidden(func(n *metal.Node) *secret.Map { return &n.InstanceInfo }),
		"instance_uuid":    text(func(n *metal.Node) *string { return &n.InstanceUUID }),
		"instance_name":    text(func(n *metal.Node) *string { return &n.InstanceName }),
		"chassis_uuid":     text(func(n *metal.Node) *string { return &n.ChassisUUID }),
		"maintenance":      flag(func(n *metal.Node) *bool { return &n.Maintenance }),
		"resource_class":   text(func(n *metal.Node) *string { return &n.ResourceClass }),
		"conductor_group":  text(func(n *metal.Node) *string { return &n.ConductorGroup }),
		"protected":        flag(func(n *metal.Node) *bool { return &n.Protected }),
		"protected_reason": text(func(n *metal.Node) *string { return &n.ProtectedReason }),
		"owner":            text(func(n *metal.Node) *string { return &n.Owner }),
		"lessee":           text(func(n *metal.Node) *string { return &n.Lessee }),
		"description":      text(func(n *metal.Node) *string { return &n.Description }),
		"retired":          flag(func(n *metal.Node) *bool { return &n.Retired }),
		"retired_reason":   text(func(n *metal.Node) *string { return &n.RetiredReason }),
		"shard":            text(func(n *metal.Node) *string { return &n.Shard }),
		"parent_node":      text(func(n *metal.Node) *string { return &n.ParentNode }),

		"disable_power_off": flag(func(n *metal.Node) *bool { return &n.DisablePowerOff }),
		"automated_clean":   {get: func(n *metal.Node) any { return optional(n.AutomatedClean) }, set: setAutomatedClean},
	}
	m["conductor_group"] = after(m["conductor_group"], func(n *metal.Node) error {
		n.ConductorGroup = strings.ToLower(n.ConductorGroup)
		return nil
	})
	m["network_data"] = object(func(n *metal.Node) *map[string]any { return &n.NetworkData })
	for _, k := range metal.InterfaceKinds {
		m[k.Name+"_interface"] = choice(k.Name)
	}
	return m
}

func setAutomatedClean(n *metal.Node, v any) error {
	n.AutomatedClean = nil
	if b, ok := v.(bool); ok {
		n.AutomatedClean = &b
	}
	return nil
}

func optional(b *bool) any {
	if b == nil {
		return nil
	}
	return *b
}

// text is a string that null empties.
func text[T any](at func(*T) *string) setter[T] {
	return setter[T]{
		get: func(t *T) any {
			if s := *at(t); s != "" {
				return s
			}
			return nil
		},
		set: func(t *T, v any) error {
			*at(t), _ = v.(string)
			return nil
		},
	}
}

// flag is a boolean that null clears.
func flag[T any](at func(*T) *bool) setter[T] {
	return setter[T]{
		get: func(t *T) any { return *at(t) },
		set: func(t *T, v any) error {
			*at(t), _ = v.(bool)
			return nil
		},
	}
}

// object is a JSON object that null empties.
func object[T any](at func(*T) *map[string]any) setter[T] {
	return setter[T]{
		get: func(t *T) any {
			if m := *at(t); m != nil {
				return m
			}
			return map[string]any{}
		},
		set: func(t *T, v any) error {
			*at(t), _ = v.(map[string]any)
			return nil
		},
	}
}

// hidden is an object with secrets in it.
func hidden[T any](at func(*T) *secret.Map) setter[T] {
	return setter[T]{
		get: func(t *T) any { return at(t).Expose() }, // a patch needs the real values: it may change one beside another
		set: func(t *T, v any) error {
			m, _ := v.(map[string]any)
			*at(t) = secret.NewMap(m)
			return nil
		},
	}
}

// choice is one interface field; null means the driver's default, which ops fills in.
func choice(kind string) setter[metal.Node] {
	return setter[metal.Node]{
		get: func(n *metal.Node) any { return n.Interfaces[kind] },
		set: func(n *metal.Node, v any) error {
			kept := make(map[string]string, len(n.Interfaces)+1)
			for k, v := range n.Interfaces {
				kept[k] = v
			}
			delete(kept, kind)
			if s, _ := v.(string); s != "" {
				kept[kind] = s
			}
			n.Interfaces = kept
			return nil
		},
	}
}

// after adds a check or a consequence to a setter.
func after[T any](s setter[T], then func(*T) error) setter[T] {
	return setter[T]{get: s.get, set: func(t *T, v any) error {
		if err := s.set(t, v); err != nil {
			return err
		}
		return then(t)
	}}
}

// refuseMasked puts back what a caller sent masked, because that is how it was shown: the mask over a value
// that is stored keeps the value, over nothing it is refused.
func refuseMasked(m, stored map[string]any, field string) error {
	for k, v := range m {
		old, ok := stored[k]
		if v != secret.Mask {
			switch {
			case ok && reflect.DeepEqual(v, maskValue(old)): // a mask inside is how it was shown
				m[k] = old
			case masked(v) && !(ok && reflect.DeepEqual(v, old)):
				return invalid("The value of %s in %s has the mask (%s) that stands for a secret inside, beside what is new: give the real one.", clip(k), field, secret.Mask)
			}
			continue
		}
		if !ok {
			return invalid("The value of %s in %s is the mask that stands for a secret, and not a secret.", clip(k), field)
		}
		m[k] = old
	}
	return nil
}
