package steps

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	"ingot/internal/secret"
)

// leastHidden is the shortest value that is looked for in what a step says: shorter ones are in every text.
const leastHidden = 4

// hidden are the secret arguments of a step, and each line of those that have several.
type hidden []string

type hiddenKey struct{}

// hiding carries what a step must not say to whoever runs it.
func hiding(ctx context.Context, h hidden) context.Context {
	return context.WithValue(ctx, hiddenKey{}, h)
}

func hiddenIn(ctx context.Context) hidden {
	h, _ := ctx.Value(hiddenKey{}).(hidden)
	return h
}

// hiddenOf collects the values of the arguments named.
func hiddenOf(args json.RawMessage, names []string) (h hidden) {
	var all map[string]json.RawMessage
	if json.Unmarshal(args, &all) != nil {
		return nil // it has no arguments
	}
	for _, name := range names {
		h = append(h, leaves(decoded(all[name]))...)
	}
	return h
}

// leaves are the texts and numbers in a value.
func leaves(v any) (all hidden) {
	text := ""
	switch v := v.(type) {
	case map[string]any:
		for _, one := range v {
			all = append(all, leaves(one)...)
		}
	case []any:
		for _, one := range v {
			all = append(all, leaves(one)...)
		}
	case json.Number:
		text = v.String()
	case string:
		text = v
	}
	if len(text) >= leastHidden {
		all = append(all, text)
	}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); len(line) >= leastHidden && line != text {
			all = append(all, line)
		}
	}
	return all
}

func decoded(raw json.RawMessage) (v any) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// text masks the values in a text.
func (h hidden) text(s string) string {
	for _, v := range h {
		s = strings.ReplaceAll(s, v, secret.Mask)
	}
	return s
}

// result masks the values in anything that marshals to JSON.
func (h hidden) result(v any) (any, error) {
	if len(h) == 0 || v == nil {
		return v, nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return h.value(decoded(raw)), nil
}

func (h hidden) value(v any) any {
	switch v := v.(type) {
	case map[string]any:
		masked := make(map[string]any, len(v))
		for key, one := range v {
			masked[h.text(key)] = h.value(one)
		}
		return masked
	case []any:
		for i := range v {
			v[i] = h.value(v[i])
		}
		return v
	case json.Number:
		if s := h.text(v.String()); s != v.String() {
			return s
		}
	case string:
		return h.text(v)
	}
	return v
}
