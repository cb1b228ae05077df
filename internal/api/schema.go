package api

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"time"

	"ingot/internal/wire"
)

// minVersion is the key under which the documents say since which microversion there is something; Ironic's own
// published schemas use the word, too.
const minVersion = "x-openstack-min-ver"

// doc is JSON Schema 2020-12, or a part of an OpenAPI document, as encoding/json writes it.
type doc = map[string]any

// schema is the shape of a body.
type schema struct {
	name string   // a component that others refer to; "" is written where it is used
	doc  doc      // nil: there is no body
	uses []schema // the components that doc refers to
}

// there is how the schema is written where it is used.
func (s schema) there() doc {
	if s.name != "" {
		return doc{"$ref": "#/components/schemas/" + s.name}
	}
	return s.doc
}

// one is one resource as it is shown, from its field table.
func one[T any](fields []wire.Field[T]) schema {
	props := doc{}
	for _, f := range fields {
		p := shown(f.Value(new(T)))
		if f.Min > wire.MinMinor {
			p[minVersion] = wire.Version(f.Min)
		}
		props[f.Name] = p
	}
	return schema{name: reflect.TypeFor[T]().Name(), doc: doc{"type": "object", "properties": props, "additionalProperties": false}}
}

// page is a page of a collection under its key.
func page[T any](key string, fields []wire.Field[T]) schema {
	item := one(fields)
	return schema{uses: []schema{item}, doc: doc{"type": "object", "required": []string{key}, "additionalProperties": false, "properties": doc{
		key: doc{"type": "array", "items": item.there()}, "next": doc{"type": "string", "description": "URL of the following page."}}}}
}

// made is the body that creates a resource; also are keys that are taken beside the fields, as text.
func made[T any](fields []wire.Field[T], required string, also ...string) schema {
	props := doc{}
	for _, f := range fields {
		if f.Is(wire.Create) || slices.Contains(also, f.Name) {
			p := taken(f.Type, f.Max)
			if f.Min > wire.MinMinor {
				p[minVersion] = wire.Version(f.Min)
			}
			props[f.Name] = p
		}
	}
	for _, name := range also {
		if props[name] == nil {
			props[name] = doc{"type": []string{"string", "null"}}
		}
	}
	return schema{name: reflect.TypeFor[T]().Name() + "Create",
		doc: doc{"type": "object", "required": strings.Fields(required), "properties": props, "additionalProperties": false}}
}

// patches is the body of every PATCH.
var patches = schema{name: "JSONPatch", doc: doc{"type": "array", "items": doc{"type": "object", "required": []string{"op", "path"},
	"properties":           doc{"op": doc{"enum": []string{"add", "replace", "remove"}}, "path": doc{"type": "string", "pattern": `^(/[\p{L}\p{N}_-]+)+$`}, "value": doc{}},
	"additionalProperties": false}}}

// keys is an object with these members, given as name and schema in turn.
func keys(members ...any) schema {
	s := schema{doc: doc{"type": "object", "additionalProperties": false}}
	props, names := doc{}, []string{}
	for i := 0; i+1 < len(members); i += 2 {
		name, _ := members[i].(string)
		m, _ := members[i+1].(schema)
		props[name], names = m.there(), append(names, name)
		s.uses = append(append(s.uses, m.uses...), named(m)...)
	}
	s.doc["properties"], s.doc["required"] = props, names
	return s
}

func named(s schema) []schema {
	if s.name == "" {
		return nil
	}
	return []schema{s}
}

// listOf is an array of s.
func listOf(s schema) schema {
	return schema{doc: doc{"type": "array", "items": s.there()}, uses: append(named(s), s.uses...)}
}

// each is an object with names that are data, and s under every one.
func each(s schema) schema {
	return schema{doc: doc{"type": "object", "additionalProperties": s.there()}, uses: append(named(s), s.uses...)}
}

// Shapes without a table.
var (
	anything = schema{doc: doc{}}
	anObject = schema{doc: doc{"type": "object"}}
	aText    = schema{doc: doc{"type": "string"}}
	aBool    = schema{doc: doc{"type": "boolean"}}
	aLink    = schema{doc: doc{"type": "object", "required": []string{"href", "rel"}, "properties": doc{"href": doc{"type": "string"}, "rel": doc{"type": "string"}, "type": doc{"type": "string"}}}}
	links    = listOf(aLink)
)

// orNull lets null stand for s.
func orNull(s schema) schema {
	return schema{doc: doc{"anyOf": []doc{s.there(), {"type": "null"}}}, uses: append(named(s), s.uses...)}
}

// like is the shape of a Go value, as encoding/json writes it.
func like[T any]() schema { return schema{doc: likeType(reflect.TypeFor[T]())} }

var (
	timeType    = reflect.TypeFor[time.Time]()
	marshalType = reflect.TypeFor[json.Marshaler]()
)

func likeType(t reflect.Type) doc {
	switch {
	case t == timeType:
		return doc{"type": "string", "format": "date-time"}
	case t.Implements(marshalType):
		return doc{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return doc{"anyOf": []doc{likeType(t.Elem()), {"type": "null"}}}
	case reflect.String:
		return doc{"type": "string"}
	case reflect.Bool:
		return doc{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint64:
		return doc{"type": "integer"}
	case reflect.Float64:
		return doc{"type": "number"}
	case reflect.Slice:
		return doc{"type": []string{"array", "null"}, "items": likeType(t.Elem())}
	case reflect.Map:
		return doc{"type": []string{"object", "null"}, "additionalProperties": likeType(t.Elem())}
	case reflect.Struct:
		props := doc{}
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" || !f.IsExported() {
				continue
			}
			if name == "" {
				name = f.Name
			}
			props[name] = likeType(f.Type)
		}
		return doc{"type": "object", "properties": props}
	}
	return doc{}
}

// shown is the JSON type of what a field's Value gives.
func shown(v any) doc {
	switch v.(type) {
	case *string:
		return doc{"type": []string{"string", "null"}}
	case string:
		return doc{"type": "string"}
	case bool:
		return doc{"type": "boolean"}
	case *bool:
		return doc{"type": []string{"boolean", "null"}}
	case *float64:
		return doc{"type": []string{"number", "null"}}
	case *int:
		return doc{"type": []string{"integer", "null"}}
	case int:
		return doc{"type": "integer"}
	case wire.Time, *wire.Time:
		return doc{"type": []string{"string", "null"}, "format": "date-time"}
	case *map[string]any:
		return doc{"type": "object"}
	case []string, *[]string:
		return doc{"type": "array", "items": doc{"type": "string"}}
	case []wire.Link, *[]wire.Link:
		return links.doc
	}
	return doc{}
}

// taken is the JSON type of what a caller may give for a field.
func taken(t wire.Type, most int) doc {
	switch t {
	case wire.Bool:
		return doc{"type": []string{"boolean", "string", "null"}}
	case wire.Object:
		return doc{"type": []string{"object", "null"}}
	case wire.Array:
		return doc{"type": []string{"array", "null"}}
	case wire.Address, wire.NonEmpty:
		return doc{"type": "string", "minLength": 1}
	case wire.UUID:
		return doc{"type": []string{"string", "null"}, "format": "uuid"}
	}
	p := doc{"type": []string{"string", "null"}}
	if most > 0 {
		p["maxLength"] = most
	}
	return p
}

// schemaOf is the shape of a parameter.
func (p parameter) schemaOf() doc {
	d := doc{"type": "string"}
	switch p.kind {
	case "uuid":
		d["format"] = "uuid"
	case "bool":
		d = doc{"type": []string{"boolean", "string"}}
	case "int":
		d = doc{"type": []string{"integer", "string"}}
	case "list":
		d = doc{"type": "array", "items": doc{"type": "string"}}
	case "object":
		d = doc{"type": "object"}
	case "objects":
		d = doc{"type": "array", "items": doc{"type": "object"}}
	case "any":
		d = doc{}
	}
	return d
}
