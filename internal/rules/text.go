package rules

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// names is what texts may name: the first word of a field, and the value under it.
type names map[string]any

// fill replaces the fields of every text in v. Of an object the keys are filled, too.
func (n names) fill(v any) any {
	switch v := v.(type) {
	case string:
		return n.text(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			out[n.text(key)] = n.fill(inner)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = n.fill(inner)
		}
		return out
	}
	return v
}

// text replaces the fields of one text. A field that leads nowhere leaves the text as it is, as upstream does; so does
// a result that is too long. Braces that are no field, such as a regular expression's, stay.
func (n names) text(s string) string {
	if !strings.Contains(s, "{") {
		return s
	}
	var out strings.Builder
	for rest := s; rest != ""; {
		open := strings.IndexByte(rest, '{')
		if open < 0 {
			out.WriteString(rest)
			break
		}
		out.WriteString(rest[:open])
		rest = rest[open:]
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			out.WriteString(rest)
			break
		}
		path, ok := fieldPath(rest[1:end])
		if _, known := n[first(path)]; !ok || !known {
			out.WriteByte('{')
			rest = rest[1:]
			continue
		}
		v, ok := n.at(path)
		if !ok {
			return s
		}
		out.WriteString(render(v))
		if out.Len() > maxText {
			return s
		}
		rest = rest[end+1:]
	}
	return out.String()
}

func first(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return path[0]
}

// fieldPath reads "inventory[cpu][count]" and "node.properties[memory_mb]".
func fieldPath(field string) ([]string, bool) {
	name, rest := field, ""
	if i := strings.IndexAny(field, "[."); i >= 0 {
		name, rest = field[:i], field[i:]
	}
	path := []string{name}
	for rest != "" {
		if rest[0] == '[' {
			end := strings.IndexByte(rest, ']')
			if end < 2 {
				return nil, false
			}
			path, rest = append(path, rest[1:end]), rest[end+1:]
			continue
		}
		if rest[0] != '.' || len(rest) < 2 {
			return nil, false
		}
		end := strings.IndexAny(rest[1:], "[.")
		if end < 0 {
			end = len(rest) - 1
		}
		path, rest = append(path, rest[1:1+end]), rest[1+end:]
	}
	return path, name != ""
}

// at walks from the first name down to a value.
func (n names) at(path []string) (any, bool) {
	v, ok := n[path[0]]
	for _, key := range path[1:] {
		switch inner := v.(type) {
		case map[string]any:
			v, ok = inner[key]
		case []any:
			i, err := strconv.Atoi(key)
			if ok = err == nil && i >= 0 && i < len(inner); ok {
				v = inner[i]
			}
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
	}
	return v, ok
}

// render is a value as upstream's language writes it, which rules compare with: None, True, 8. Lists and objects are
// JSON.
func render(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case string:
		return v
	case bool:
		if v {
			return "True"
		}
		return "False"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
