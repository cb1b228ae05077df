package client

import (
	"bytes"
	"encoding/json"
	"fmt"

	"ingot/internal/secret"
	"ingot/internal/wire"
)

// Set is the change that gives path a value, whether it had one or not. The value is any JSON value, a
// secret.Secret or a secret.Map; path is like "/properties/cpu_arch".
func Set(path string, v any) wire.PatchOp { return wire.PatchOp{Op: "add", Path: path, Value: v} }

// Unset is the change that takes path away.
func Unset(path string) wire.PatchOp { return wire.PatchOp{Op: "remove", Path: path} }

// encode makes the body of a request. It is the one place where secrets leave their wrapping: into the
// bytes sent to the server.
func encode(v any) ([]byte, error) {
	switch body := v.(type) {
	case nil:
		return nil, nil
	case []wire.PatchOp:
		ops := make([]wire.PatchOp, len(body))
		for i, op := range body {
			op.Value = plain(op.Value)
			ops[i] = op
		}
		v = ops
	case map[string]any:
		out := make(map[string]any, len(body))
		for k, x := range body {
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
