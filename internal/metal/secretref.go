package metal

import "slices"

// SecretRef is what a row knows of the secret values of an operation: where they are, and what they are called.
type SecretRef struct {
	Handle string   `json:"handle"`
	Server string   `json:"server"` // whose memory they are in
	Names  []string `json:"names"`
}

// RescueHash names the hash of a rescue password among the secret values of an operation, in crypt's form.
const RescueHash = "rescue_password_hash"

// SecretName gives the name in a step's argument of the form {"secret": "NAME"}, which stands for a value.
func SecretName(argument any) (string, bool) {
	m, ok := argument.(map[string]any)
	if !ok || len(m) != 1 {
		return "", false
	}
	name, ok := m["secret"].(string)
	return name, ok
}

// SecretNames lists the values that the arguments of steps stand for, each once, sorted.
func SecretNames(steps []Step) []string {
	var out []string
	for _, s := range steps {
		for _, v := range s.Args {
			out = secretNames(v, out)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func secretNames(v any, out []string) []string {
	if name, ok := SecretName(v); ok {
		return append(out, name)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			out = secretNames(inner, out)
		}
	case []any:
		for _, inner := range v {
			out = secretNames(inner, out)
		}
	}
	return out
}
