// Package secret holds values that must never be printed, logged, marshalled or returned.
//
// Secret is one string, Map a JSON object of which some values are secret (driver_info, instance_info).
// Both hide their content behind a func, because fmt and slog print unexported fields without asking
// String. Expose is the one way out: grep for it. Sealing at rest is the store's work, not this room's.
package secret

import (
	"crypto/subtle"
	"errors"
	"log/slog"
	"sync"
)

// Mask is what stands in the place of a secret, Ironic's own.
const Mask = "******"

var errSecret = errors.New("a secret cannot be marshalled: expose it on purpose or mask it")

// Secret holds one value. The zero Secret is empty.
type Secret struct{ reveal func() string }

// New hides s.
func New(s string) Secret { return Secret{reveal: func() string { return s }} }

// Expose gives the value. Every call site is a place to review.
func (s Secret) Expose() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// Empty tells whether there is no value.
func (s Secret) Empty() bool { return s.Expose() == "" }

// Equal compares in constant time.
func (s Secret) Equal(other string) bool {
	return subtle.ConstantTimeCompare([]byte(s.Expose()), []byte(other)) == 1
}

func (Secret) String() string               { return Mask }
func (Secret) GoString() string             { return Mask }
func (Secret) LogValue() slog.Value         { return slog.StringValue(Mask) }
func (Secret) MarshalText() ([]byte, error) { return nil, errSecret }
func (Secret) MarshalJSON() ([]byte, error) { return nil, errSecret }

// Map is a JSON object some of whose values are secret. It is copied on the way in and out, so nobody
// shares its memory. The zero Map is empty.
type Map struct{ reveal func() map[string]any }

// NewMap hides a deep copy of m.
func NewMap(m map[string]any) Map {
	kept := copyMap(m)
	return Map{reveal: func() map[string]any { return kept }}
}

// Later gives a Map whose object open makes when it is first asked for, once; open must give an object that
// nobody else keeps. For what is read often and looked into seldom.
func Later(open func() map[string]any) Map { return Map{reveal: sync.OnceValue(open)} }

// Expose gives a deep copy of the whole object, secrets in clear; never nil.
func (m Map) Expose() map[string]any {
	if m.reveal == nil {
		return map[string]any{}
	}
	return copyMap(m.reveal())
}

// Masked gives a deep copy in which the value of every top-level key that public refuses is Mask. It is
// what a caller or a log may see.
func (m Map) Masked(public func(key string) bool) map[string]any {
	out := m.Expose()
	for k := range out {
		if !public(k) {
			out[k] = Mask
		}
	}
	return out
}

// Len counts the top-level keys.
func (m Map) Len() int {
	if m.reveal == nil {
		return 0
	}
	return len(m.reveal())
}

// Public gives the string under key, "" if it is absent or not a string. For values the caller knows to
// be public; for others use Secret.
func (m Map) Public(key string) string {
	if m.reveal == nil {
		return ""
	}
	s, _ := m.reveal()[key].(string)
	return s
}

// Secret gives the string under key as a Secret; empty if absent or not a string.
func (m Map) Secret(key string) Secret {
	if s := m.Public(key); s != "" {
		return New(s)
	}
	return Secret{}
}

// With gives a copy with one more value.
func (m Map) With(key string, v any) Map {
	c := m.Expose()
	c[key] = v
	return NewMap(c)
}

func (Map) String() string               { return Mask }
func (Map) GoString() string             { return Mask }
func (Map) LogValue() slog.Value         { return slog.StringValue(Mask) }
func (Map) MarshalText() ([]byte, error) { return nil, errSecret }
func (Map) MarshalJSON() ([]byte, error) { return nil, errSecret }

func copyMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = copyValue(v)
	}
	return out
}

func copyValue(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return copyMap(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = copyValue(v[i])
		}
		return out
	default:
		return v
	}
}
