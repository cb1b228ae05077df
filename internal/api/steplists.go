package api

import (
	"strings"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

// stepList is a list of steps that is kept under a name. key is what orders them.
func stepList[T any](c *call, form stepForm, key string, at func(*T) *[]metal.Step) setter[T] {
	return setter[T]{
		// With their real values: a patch may change one beside another.
		get: func(t *T) any { return showSteps(*at(t), key, false) },
		set: func(t *T, v any) error {
			list, _ := v.([]any)
			steps, err := c.readSteps("steps", list, form)
			if err != nil {
				return err
			}
			for _, s := range steps {
				if masked(s.Args) {
					return invalid("Invalid steps: the step %s has a masked value (%s) among its arguments; give the real one.", s.Name(), secret.Mask)
				}
			}
			*at(t) = steps
			return nil
		},
	}
}

// showSteps are steps as callers give them, with their real values or with secret-looking arguments masked.
func showSteps(steps []metal.Step, key string, mask bool) []any {
	out := make([]any, len(steps))
	for i, s := range steps {
		args := s.Args
		if mask {
			args = maskSecrets(args)
		}
		if args == nil {
			args = map[string]any{}
		}
		n := s.Priority
		if key == "order" {
			n = s.Order
		}
		out[i] = map[string]any{"interface": s.Interface, "step": s.Step, key: n, "args": args}
	}
	return out
}

// masked tells whether a mask is among the values, or inside of one, at any depth.
func masked(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			if masked(inner) {
				return true
			}
		}
	case []any:
		for _, inner := range v {
			if masked(inner) {
				return true
			}
		}
	case string:
		return strings.Contains(v, secret.Mask)
	}
	return false
}

// newFrom sets the fields of something new from the body of a POST.
func newFrom[T, W any](c *call, t *T, body map[string]any, what string, fields []wire.Field[W], setters map[string]setter[T]) error {
	for key, v := range body {
		f, ok := wire.Find(fields, key)
		if !ok || !f.Is(wire.Create) {
			return invalid("Schema error for %s: %q cannot be given when it is created.", what, clip(key))
		}
		if v != nil && f.Min > c.minor {
			return wire.TooNew("Field "+key, f.Min, c.minor)
		}
		checked, err := f.Check(v)
		if err != nil {
			return err
		}
		if err := setters[key].set(t, checked); err != nil {
			return err
		}
	}
	return nil
}
