package conductor

import (
	"context"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
)

// Secrets gives the values that step arguments only name.
type Secrets interface {
	// StepSecret is the value called name for a step of the node; fault.NotFound if there is none any more.
	StepSecret(ctx context.Context, n *metal.Node, operation, name string) (secret.Secret, error)
}

// resolveArgs puts the values of secrets into a copy of a step's arguments: one of the form {"secret": "NAME"} is
// replaced, at any depth. It is called just before the arguments leave for the agent or the BMC, so that no record,
// no history and no log ever holds a value.
func (r *runner) resolveArgs(ctx context.Context, op *Op, args map[string]any) (map[string]any, error) {
	if args == nil {
		return nil, nil
	}
	out := make(map[string]any, len(args))
	for k, v := range args {
		resolved, err := r.resolveValue(ctx, op, v)
		if err != nil {
			return nil, err
		}
		out[k] = resolved
	}
	return out, nil
}

func (r *runner) resolveValue(ctx context.Context, op *Op, v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		name, named := v["secret"].(string)
		if !named || len(v) != 1 {
			return r.resolveArgs(ctx, op, v)
		}
		if r.c.secrets == nil {
			return nil, fault.New(fault.NotSupported, "the step names the secret %q, and this server keeps no secrets for steps", name)
		}
		value, err := r.c.secrets.StepSecret(ctx, op.Node, op.row.UUID, name)
		if err != nil {
			return nil, err
		}
		return value.Expose(), nil
	case []any:
		out := make([]any, len(v))
		for i := range v {
			resolved, err := r.resolveValue(ctx, op, v[i])
			if err != nil {
				return nil, err
			}
			out[i] = resolved
		}
		return out, nil
	}
	return v, nil
}
