package metal

import (
	"slices"
	"testing"
)

func TestSecretNames(t *testing.T) {
	name := func(n string) map[string]any { return map[string]any{"secret": n} }
	steps := []Step{{Args: map[string]any{"a": name("x"), "b": "secret", "c": []any{1, name("y"), map[string]any{"d": name("x")}}}},
		{Args: map[string]any{"e": map[string]any{"secret": "z", "more": 1}, "f": map[string]any{"secret": 5}}}, {}}
	if got := SecretNames(steps); !slices.Equal(got, []string{"x", "y"}) {
		t.Error(got)
	}
}
