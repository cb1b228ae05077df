package wire

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"ingot/internal/fault"
)

// Check judges a value that a caller gave for this field and gives it in canonical form: nil, string, bool, int,
// a list or map[string]any. Any error is fault.Invalid and names the field, never the value (it may be a secret).
func (f Field[T]) Check(v any) (any, error) {
	if v == nil {
		switch f.Type {
		case Address, NonEmpty:
			return nil, f.wrong("a string, not null")
		case Int:
			return nil, f.wrong("a whole number, not null")
		}
		return nil, nil
	}
	switch f.Type {
	case Object:
		if m, ok := v.(map[string]any); ok {
			return m, nil
		}
		return nil, f.wrong("a JSON object")
	case Array:
		if l, ok := v.([]any); ok {
			return l, nil
		}
		return nil, f.wrong("a JSON array")
	case Bool:
		if b, ok := ParseBool(v); ok {
			return b, nil
		}
		return nil, f.wrong("true or false")
	case Int:
		if n, ok := parseInt(v); ok {
			return n, nil
		}
		return nil, f.wrong("a whole number")
	}
	s, ok := v.(string)
	if !ok {
		return nil, f.wrong("a string")
	}
	switch {
	case f.Type == UUID && !IsUUID(s):
		return nil, fault.New(fault.Invalid, "Expected UUID for %s.", f.Name)
	case f.Type == NonEmpty && s == "":
		return nil, f.wrong("a string that is not empty")
	case f.Type == Address, f.Type == AddressOrNull:
		return f.address(s)
	case len(s) > f.limit():
		return nil, fault.New(fault.Invalid, "Schema error for %s: it is %d bytes long, and at most %d are allowed.", f.Name, len(s), f.limit())
	}
	return s, nil
}

// parseInt reads a whole number as the API's clients send it. Databases keep 32 bits of it.
func parseInt(v any) (int, bool) {
	switch v := v.(type) {
	case float64:
		return int(v), v == float64(int32(v))
	case string:
		n, err := strconv.ParseInt(v, 10, 32)
		return int(n), err == nil
	}
	return 0, false
}

func (f Field[T]) address(s string) (any, error) {
	if mac, ok := ParseMAC(s); ok {
		return mac, nil
	}
	return nil, fault.New(fault.Invalid, "Expected a MAC address for %s: six pairs of hexadecimal digits, such as 52:54:00:12:34:56.", f.Name)
}

func (f Field[T]) limit() int {
	if f.Max == 0 {
		return 255
	}
	return f.Max
}

func (f Field[T]) wrong(want string) error {
	return fault.New(fault.Invalid, "Schema error for %s: it must be %s.", f.Name, want)
}

// ParseBool reads a boolean as the API's clients send it: a JSON boolean, or a string in any case: 1 t true
// on y yes, 0 f false off n no.
func ParseBool(v any) (value, ok bool) {
	switch v := v.(type) {
	case bool:
		return v, true
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "1", "t", "true", "on", "y", "yes":
			return true, true
		case "0", "f", "false", "off", "n", "no":
			return false, true
		}
	}
	return false, false
}

// IsUUID tells whether s is a UUID in any spelling: any case, with or without dashes, braces or urn:uuid:.
func IsUUID(s string) bool { return uuid.Validate(s) == nil }

var (
	macForm  = regexp.MustCompile(`^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$`)
	nameForm = regexp.MustCompile(`^[A-Za-z0-9._~-]+$`)
	hostForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
)

// ParseMAC gives an Ethernet address in lower case with colons.
func ParseMAC(s string) (string, bool) {
	if !macForm.MatchString(s) {
		return "", false
	}
	return strings.ToLower(strings.ReplaceAll(s, "-", ":")), true
}

// reserved are the words of the node collection's own paths. Source: rest-api reference §1.6.
var reserved = map[string]bool{
	"detail": true, "validate": true, "states": true, "vendor_passthru": true, "management": true, "maintenance": true,
}

// CheckNodeName judges a node's name at a minor version. Any error is fault.Invalid.
func CheckNodeName(name string, minor int) error {
	switch {
	case reserved[name]:
		return fault.New(fault.Invalid, "Cannot create node with invalid name %q: it is a reserved word of the API.", name)
	case !IsNodeName(name, minor):
		return fault.New(fault.Invalid,
			"Cannot create node with invalid name %q: use letters, digits and . _ ~ -, at most 255, and nothing that looks like a UUID.", clip(name))
	}
	return nil
}

// IsNodeName tells whether name has the form of a node's at a minor version: before 1.10 it is that of a host's.
func IsNodeName(name string, minor int) bool {
	return IsName(name) && (minor >= SinceFreeNames || hostForm.MatchString(name))
}

// IsName tells whether s can be the name of a resource, and so cannot be mistaken for a UUID.
func IsName(s string) bool {
	return len(s) <= 255 && nameForm.MatchString(s) && !IsUUID(s)
}

// IsIdent tells whether s can identify a resource in a path: a UUID or a name.
func IsIdent(s string) bool { return IsUUID(s) || IsName(s) }
