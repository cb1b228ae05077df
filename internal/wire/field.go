package wire

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"ingot/internal/fault"
)

// Type is what JSON a caller may give for a field; see Check.
type Type int

// The types. Every one but Address, NonEmpty and Int also takes null, which means "unset".
const (
	Text          Type = iota // a string of at most Max bytes (0: 255)
	UUID                      // a UUID in any spelling
	Bool                      // true, false, or a string that means one
	Object                    // a JSON object
	Address                   // a MAC address, six hex pairs
	NonEmpty                  // a string that is not empty
	Array                     // a JSON array
	Int                       // a whole number, or digits in a string; not null
	AddressOrNull             // an Address, or null
)

// Flag says where a field may be used, besides being shown.
type Flag int

// The flags.
const (
	Create   Flag = 1 << iota // may be given to POST
	Patch                     // may be changed by PATCH
	Basic                     // is in the short form of lists
	Always                    // is always shown, and cannot be asked for with fields=
	Unsorted                  // cannot be a sort_key
	Extra                     // a link pair: only in the full form, cannot be asked for with fields=
)

// Field is one key of a resource.
type Field[T any] struct {
	Name  string
	Min   int // the minor of the first microversion that has it
	Type  Type
	Flags Flag
	Max   int // longest text in bytes; 0 means 255
	// Value is what is shown: nil, *string ("" is null), string, bool, *bool, Time, *map, []string, []Link; the last
	// also behind a pointer, which costs nothing to hand on.
	Value func(*T) any
}

// Is tells whether all of f are set.
func (f Field[T]) Is(flags Flag) bool { return f.Flags&flags == flags }

// Find gives the field of that name.
func Find[T any](fields []Field[T], name string) (Field[T], bool) {
	for i := range fields {
		if fields[i].Name == name {
			return fields[i], true
		}
	}
	return Field[T]{}, false
}

// Shape is which fields of a resource an answer has, in order. Make one with Full, Short or Select.
type Shape[T any] []Field[T]

// Full is every field that minor has.
func Full[T any](fields []Field[T], minor int) Shape[T] {
	return pick(fields, func(f Field[T]) bool { return f.Min <= minor })
}

// Short is the basic form of lists.
func Short[T any](fields []Field[T], minor int) Shape[T] {
	return pick(fields, func(f Field[T]) bool { return f.Min <= minor && f.Is(Basic) })
}

// Select is the fields named in names (as fields= gives them, in any order) and links. An unknown name, or
// one that is always shown, is fault.Invalid; one newer than minor is fault.NotAcceptable.
func Select[T any](fields []Field[T], minor int, names []string) (Shape[T], error) {
	for _, n := range names {
		f, ok := Find(fields, n)
		if !ok || f.Is(Always) && n != "links" || f.Is(Extra) {
			return nil, fault.New(fault.Invalid, "Field %s is not a valid field.", clip(n))
		}
		if f.Min > minor {
			return nil, TooNew("Field "+n, f.Min, minor)
		}
	}
	return pick(fields, func(f Field[T]) bool { return f.Name == "links" || slices.Contains(names, f.Name) }), nil
}

// Has tells whether the shape has a field of that name.
func (s Shape[T]) Has(name string) bool {
	_, ok := Find(s, name)
	return ok
}

// Append renders v in this shape at the end of b.
func (s Shape[T]) Append(b []byte, v *T) []byte {
	b = append(b, '{')
	for i := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, s[i].Name)
		b = append(b, ':')
		b = appendValue(b, s[i].Value(v))
	}
	return append(b, '}')
}

// TooNew is the answer to something that came with a later version than the request's.
func TooNew(what string, min, minor int) *fault.Error {
	return fault.New(fault.NotAcceptable, "Request not acceptable. %s needs API version %s or newer, and %s was requested. The minimal required API version should be %s",
		what, Version(min), Version(minor), Version(min))
}

func pick[T any](fields []Field[T], keep func(Field[T]) bool) Shape[T] {
	out := make(Shape[T], 0, len(fields))
	for _, f := range fields {
		if keep(f) {
			out = append(out, f)
		}
	}
	return out
}

// Time is a moment as the API writes it: ISO 8601 in UTC with offset, microseconds only if there are any.
// The zero Time is null.
type Time struct{ time.Time }

// MarshalJSON writes the moment, or null.
func (t Time) MarshalJSON() ([]byte, error) { return appendTime(nil, t), nil }

// UnmarshalJSON reads what MarshalJSON wrote, and RFC 3339 in general.
func (t *Time) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	if s == "null" || s == "" {
		t.Time = time.Time{}
		return nil
	}
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return err
	}
	t.Time = v.UTC()
	return nil
}

func appendTime(b []byte, t Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	u := t.UTC()
	layout := `"2006-01-02T15:04:05.000000+00:00"`
	if u.Nanosecond()/1000 == 0 {
		layout = `"2006-01-02T15:04:05+00:00"`
	}
	return u.AppendFormat(b, layout)
}

// Link is a reference to another resource.
type Link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
	Type string `json:"type,omitempty"`
}

// Links is the pair that every resource has: self under /v1, and bookmark without a version. path has no
// leading slash.
func Links(base, path string) []Link {
	return []Link{{Href: base + "/v1/" + path, Rel: "self"}, {Href: base + "/" + path, Rel: "bookmark"}}
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case *string:
		if *v == "" {
			return append(b, "null"...)
		}
		return appendText(b, *v)
	case string:
		return appendText(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case *bool:
		if v == nil {
			return append(b, "null"...)
		}
		return strconv.AppendBool(b, *v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case Time:
		return appendTime(b, v)
	case *Time:
		return appendTime(b, *v)
	case *map[string]any:
		if len(*v) == 0 {
			return append(b, "{}"...)
		}
		return appendJSON(b, *v)
	case []string:
		return appendStrings(b, v)
	case *[]string:
		return appendStrings(b, *v)
	case []Link:
		return appendLinks(b, v)
	case *[]Link:
		return appendLinks(b, *v)
	default:
		return appendJSON(b, v)
	}
}

func appendStrings(b []byte, v []string) []byte {
	if len(v) == 0 {
		return append(b, "[]"...)
	}
	return appendJSON(b, v)
}

func appendLinks(b []byte, links []Link) []byte {
	b = append(b, '[')
	for i, l := range links {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"href":`...), l.Href)
		b = appendText(append(b, `,"rel":`...), l.Rel)
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendJSON is for values that are maps and lists; a value that JSON cannot say becomes null, because the
// rest of the answer is still true.
func appendJSON(b []byte, v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		return append(b, "null"...)
	}
	return append(b, j...)
}

// appendText writes a JSON string. Most strings here are plain ASCII and need no escape.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return appendJSON(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
