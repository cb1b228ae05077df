package conductor

import (
	"context"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

// keeping is values in the memory of a test.
type keeping struct {
	values map[string]string
	err    error

	lost     bool     // the values are held no more
	released []string // operations
}

func (k *keeping) StepSecret(_ context.Context, _ *metal.SecretRef, _, name string) (secret.Secret, error) {
	if k.lost {
		return secret.Secret{}, fault.New(fault.Conflict, "they are held no more")
	}
	return secret.New(k.values[name]), k.err
}

func (k *keeping) Release(_ context.Context, _ *metal.SecretRef, operation string) {
	k.released = append(k.released, operation)
}

func withSecrets(k *keeping, names ...string) (*runner, *Op) {
	c := &Conductor{}
	if k != nil {
		c.UseSecrets(k)
	}
	op := &Op{row: &store.Operation{UUID: "op"}}
	if len(names) > 0 {
		op.Rec.Ask.Secrets = &metal.SecretRef{Names: names}
	}
	return &runner{c: c}, op
}

func TestArgumentsAreResolvedInACopy(t *testing.T) {
	r, op := withSecrets(&keeping{values: map[string]string{"pw": "hunter2"}}, "pw")
	args := map[string]any{"user": "u", "password": map[string]any{"secret": "pw"}, "list": []any{map[string]any{"secret": "pw"}}}
	got, err := r.resolveArgs(t.Context(), op, args)
	if err != nil || got["user"] != "u" || got["password"] != "hunter2" || got["list"].([]any)[0] != "hunter2" {
		t.Fatalf("%v, %v", got, err)
	}
	if _, named := metal.SecretName(args["password"]); !named {
		t.Error("the value was written into the step itself")
	}
	if names := secretArgs(args); !slices.Equal(names, []string{"list", "password"}) {
		t.Errorf("secret arguments: %v", names)
	}
	for _, r := range []*runner{{c: &Conductor{}}} {
		if _, err := r.resolveArgs(t.Context(), op, args); fault.KindOf(err) != fault.NotSupported {
			t.Errorf("without values: %v", err)
		}
	}
}

func TestWhatAMachineSaysIsScrubbed(t *testing.T) {
	value := "p\"ss w\\rd"
	r, op := withSecrets(&keeping{values: map[string]string{"pw": value}}, "pw")
	said := r.scrubbed(t.Context(), op, `tool: bad password `+value+` and "p\"ss w\\rd", not x`)
	if strings.Contains(said, "ss w") || !strings.Contains(said, "tool: bad password") || !strings.HasSuffix(said, "not x") {
		t.Error(said)
	}
	if said := scrub("it is admin-Secr3t, not admin: cut admin-Se", "admin", "admin-Secr3t"); said != "it is ******, not ******: cut ******" {
		t.Errorf("one value in another: %s", said)
	}
	if said := scrub("it was abcabcab", "abcabcab"); said != "it was ******" {
		t.Errorf("a value that begins as it ends: %s", said)
	}
	if said := scrub("tt trusted: t, x=t t", "t"); said != "tt trusted: ******, x=****** ******" {
		t.Errorf("a short value: %s", said)
	}
	if said := r.scrubbed(t.Context(), &Op{}, value); said != value {
		t.Errorf("an operation without secrets: %s", said)
	}
	r.c.secrets = &keeping{err: fault.New(fault.Unavailable, "gone")}
	if said := r.scrubbed(t.Context(), op, value); said != withheld {
		t.Errorf("values that cannot be had: %s", said)
	}
}
