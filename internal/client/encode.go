package client

import (
	"bytes"
	"encoding/json"
	"fmt"

	"ingot/internal/secret"
)

// Change is one operation of a JSON Patch. Op is "add" (also for replacing), "replace" or "remove".
type Change struct {
	Op    string
	Path  string // "/properties/cpu_arch"; tokens of letters, digits, "_" and "-"
	Value any    // a JSON value, a secret.Secret or a secret.Map; not for remove
}

// Set is the change that gives path a value, whether it had one or not.
func Set(path string, v any) Change { return Change{Op: "add", Path: path, Value: v} }

// Unset is the change that takes path away.
func Unset(path string) Change { return Change{Op: "remove", Path: path} }

// encode makes the body of a request. It is the one place where secrets leave their wrapping: into the
// bytes sent to the server.
func encode(v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	if changes, ok := v.([]Change); ok {
		ops := make([]any, len(changes))
		for i, c := range changes {
			op := map[string]any{"op": c.Op, "path": c.Path}
			if c.Op != "remove" {
				op["value"] = plain(c.Value)
			}
			ops[i] = op
		}
		v = ops
	}
	if m, ok := v.(map[string]any); ok {
		out := make(map[string]any, len(m))
		for k, x := range m {
			out[k] = plain(x)
		}
		v = out
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	return b.Bytes(), nil
}

func plain(v any) any {
	switch v := v.(type) {
	case secret.Secret:
		return v.Expose()
	case secret.Map:
		return v.Expose()
	}
	return v
}
