package rules

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"ingot/internal/metal"
	"ingot/internal/secret"
)

// edit changes what is at a path inside an object.
type edit func(m map[string]any, path []string) error

// root is an attribute that rules may change: an object, or one value.
type root[T any] struct {
	object func(*T) (m map[string]any, keep func(map[string]any)) // nil for a single value
	set    func(*T, any) error                                    // nil value: unset
	get    func(*T) any
}

// nodeRoots are the attributes of a node that a rule may change. Driver, interfaces and conductor group are not among
// them: the inspection that asks is made of them.
var nodeRoots = map[string]root[metal.Node]{
	"properties": object(func(n *metal.Node) *map[string]any { return &n.Properties }),
	"extra":      object(func(n *metal.Node) *map[string]any { return &n.Extra }),
	"driver_info": {object: func(n *metal.Node) (map[string]any, func(map[string]any)) {
		return n.DriverInfo.Expose(), func(m map[string]any) { n.DriverInfo = secret.NewMap(m) }
	}},
	"instance_info": {object: func(n *metal.Node) (map[string]any, func(map[string]any)) {
		return n.InstanceInfo.Expose(), func(m map[string]any) { n.InstanceInfo = secret.NewMap(m) }
	}},
	"description":     text(func(n *metal.Node) *string { return &n.Description }, 4096),
	"owner":           text(func(n *metal.Node) *string { return &n.Owner }, 255),
	"lessee":          text(func(n *metal.Node) *string { return &n.Lessee }, 255),
	"resource_class":  text(func(n *metal.Node) *string { return &n.ResourceClass }, 80),
	"automated_clean": tristate(func(n *metal.Node) **bool { return &n.AutomatedClean }),
}

// portRoots are the attributes of a port that a rule may change.
var portRoots = map[string]root[metal.Port]{
	"extra":                 object(func(p *metal.Port) *map[string]any { return &p.Extra }),
	"local_link_connection": object(func(p *metal.Port) *map[string]any { return &p.LocalLinkConnection }),
	"physical_network":      text(func(p *metal.Port) *string { return &p.PhysicalNetwork }, 64),
	"description":           text(func(p *metal.Port) *string { return &p.Description }, 255),
	"pxe_enabled":           flag(func(p *metal.Port) *bool { return &p.PXEEnabled }),
	"is_smartnic":           flag(func(p *metal.Port) *bool { return &p.IsSmartNIC }),
}

func object[T any](at func(*T) *map[string]any) root[T] {
	return root[T]{object: func(t *T) (map[string]any, func(map[string]any)) {
		m := copied(*at(t))
		if m == nil {
			m = map[string]any{}
		}
		return m, func(m map[string]any) { *at(t) = m }
	}}
}

func text[T any](at func(*T) *string, most int) root[T] {
	return root[T]{get: func(t *T) any { return *at(t) }, set: func(t *T, v any) error {
		s := ""
		if v != nil {
			s = render(v)
		}
		if len(s) > most {
			return fmt.Errorf("the value is longer than %d bytes", most)
		}
		*at(t) = s
		return nil
	}}
}

func flag[T any](at func(*T) *bool) root[T] {
	return root[T]{get: func(t *T) any { return *at(t) }, set: func(t *T, v any) error {
		*at(t) = truthy(v)
		return nil
	}}
}

func tristate[T any](at func(*T) **bool) root[T] {
	return root[T]{get: func(t *T) any { return *at(t) }, set: func(t *T, v any) error {
		if *at(t) = nil; v != nil {
			on := truthy(v)
			*at(t) = &on
		}
		return nil
	}}
}

// parts are the words of a path, divided by slashes or, without any, by dots.
func parts(path string) []string {
	if strings.Contains(path, "/") {
		return strings.Split(strings.Trim(path, "/"), "/")
	}
	return strings.Split(path, ".")
}

func knownRoot[T any](roots map[string]root[T], path, of string) error {
	p := parts(path)
	r, ok := roots[p[0]]
	switch {
	case !ok:
		return fmt.Errorf("a rule cannot change %.60q of a %s; it can change: %s", p[0], of, strings.Join(slices.Sorted(maps.Keys(roots)), ", "))
	case r.object == nil && len(p) > 1:
		return fmt.Errorf("%s of a %s has nothing inside", p[0], of)
	case slices.Contains(p, ""):
		return fmt.Errorf("the path %.60q has an empty word", path)
	}
	return nil
}

// edited changes what is at a path of t.
func edited[T any](roots map[string]root[T], t *T, path string, how edit) error {
	p := parts(path)
	r := roots[p[0]]
	if r.object != nil && len(p) > 1 {
		m, keep := r.object(t)
		if err := how(m, p[1:]); err != nil {
			return err
		}
		keep(m)
		return nil
	}
	if r.object != nil { // the whole object
		m, keep := r.object(t)
		box := map[string]any{p[0]: m}
		if err := how(box, p); err != nil {
			return err
		}
		whole, ok := box[p[0]].(map[string]any)
		if !ok && box[p[0]] != nil {
			return fmt.Errorf("%s must be an object", p[0])
		}
		if whole == nil {
			whole = map[string]any{}
		}
		keep(whole)
		return nil
	}
	box := map[string]any{p[0]: r.get(t)}
	if err := how(box, p); err != nil {
		return err
	}
	return r.set(t, box[p[0]])
}

// inner gives the object that holds the last word of a path. make says whether objects on the way are made.
func inner(m map[string]any, path []string, create bool) (map[string]any, string, error) {
	for _, key := range path[:len(path)-1] {
		v, there := m[key]
		next, ok := v.(map[string]any)
		switch {
		case !there && create:
			next = map[string]any{}
			m[key] = next
		case !there:
			return nil, "", fmt.Errorf("there is no %.60q", key)
		case !ok:
			return nil, "", fmt.Errorf("%.60q is not an object", key)
		}
		m = next
	}
	return m, path[len(path)-1], nil
}

func setting(v any) edit {
	return func(m map[string]any, path []string) error {
		at, key, err := inner(m, path, true)
		if err != nil {
			return err
		}
		at[key] = metal.CloneValue(v)
		return nil
	}
}

func extending(v any, unique bool) edit {
	return func(m map[string]any, path []string) error {
		at, key, err := inner(m, path, true)
		if err != nil {
			return err
		}
		list, ok := at[key].([]any)
		if !ok && at[key] != nil {
			return fmt.Errorf("%.60q is not a list", key)
		}
		if unique && slices.ContainsFunc(list, func(o any) bool { return reflect.DeepEqual(o, v) }) {
			return nil
		}
		at[key] = append(slices.Clone(list), metal.CloneValue(v))
		return nil
	}
}

func deleting(m map[string]any, path []string) error {
	at, key, err := inner(m, path, false)
	if err != nil {
		return err
	}
	if _, there := at[key]; !there {
		return fmt.Errorf("there is no %.60q", key)
	}
	delete(at, key)
	return nil
}
