package api

import (
	"net/http"
	"slices"
	"strings"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

// resource is what is the same about listing, showing, creating and changing the resources that are small:
// M is what ops knows of one, W what the wire shows of it.
type resource[M, W any] struct {
	word    string // what it is called in sentences
	key     string // of lists
	path    string // under /v1
	fields  []wire.Field[W]
	setters map[string]setter[M] // every field that a caller may give
	needs   []string             // what a new one must have
	view    func(*call, *M) W
	uuid    func(*M) *string
}

// page answers one page of a list; whole: there is no other.
func (r *resource[M, W]) page(c *call, p ops.Page, shape wire.Shape[W], found []*M, whole bool) answer {
	out := make([]W, len(found))
	for i, m := range found {
		out[i] = r.view(c, m)
	}
	next := ""
	if !whole {
		next = c.next(p, len(found), func() string { return *r.uuid(found[len(found)-1]) })
	}
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, r.key, out, shape, next)}
}

// one answers with one in a shape.
func (r *resource[M, W]) one(c *call, m *M, shape wire.Shape[W]) answer {
	w := r.view(c, m)
	return answer{status: http.StatusOK, raw: shape.Append(nil, &w)}
}

// full answers with all of one.
func (r *resource[M, W]) full(c *call, m *M) answer { return r.one(c, m, wire.Full(r.fields, c.minor)) }

// made answers with one that was created.
func (r *resource[M, W]) made(c *call, m *M) answer {
	a := r.full(c, m)
	a.status, a.location = http.StatusCreated, "/v1/"+r.path+"/"+*r.uuid(m)
	return a
}

// show answers GET of one.
func (r *resource[M, W]) show(c *call, find func() (*M, error)) (answer, error) {
	shape, err := oneShape(c, r.fields)
	if err != nil {
		return answer{}, err
	}
	m, err := find()
	if err != nil {
		return answer{}, err
	}
	return r.one(c, m, shape), nil
}

// read fills m, which has its defaults, from the body of a POST.
func (r *resource[M, W]) read(c *call, m *M) error {
	body, err := c.object()
	if err != nil {
		return err
	}
	for _, key := range r.needs {
		if body[key] == nil {
			return invalid("Schema error for %s: '%s' is a required property.", r.word, key)
		}
	}
	keys := make([]string, 0, len(body))
	for key := range body {
		keys = append(keys, key)
	}
	slices.Sort(keys) // of several faults the same is told each time
	for _, key := range keys {
		if err := r.give(c, m, key, body[key]); err != nil {
			return err
		}
	}
	return nil
}

// give sets one field of a new one. Null is as good as absent.
func (r *resource[M, W]) give(c *call, m *M, key string, v any) error {
	f, ok := wire.Find(r.fields, key)
	switch {
	case !ok || !f.Is(wire.Create):
		return invalid("Schema error for %s: %q cannot be given when it is created.", r.word, clip(key))
	case v == nil:
		return nil
	case f.Min > c.minor:
		return wire.TooNew("Field "+key, f.Min, c.minor)
	}
	if name, isText := v.(string); key == "node_uuid" && isText && wire.IsName(name) && c.minor >= metal.SinceNodeNames {
		return r.setters[key].set(m, name) // python-ironicclient sends what --node was given, a name too
	}
	checked, err := f.Check(v)
	if err != nil {
		return err
	}
	if text, isText := checked.(string); key == "uuid" && isText {
		*r.uuid(m) = text
		return nil
	}
	return r.setters[key].set(m, checked)
}

// change applies a patch to one and looks that it still has what it needs.
func (r *resource[M, W]) change(m *M, list []operation) error {
	if err := applyPatch(m, list, r.fields, r.setters); err != nil {
		return err
	}
	for _, key := range r.needs {
		if r.setters[key].get(m) == nil {
			return invalid("Schema error for %s: '%s' is a required property.", r.word, key)
		}
	}
	return nil
}

// listParam is a parameter that names several, divided by commas; nil if it is absent. Upstream reads it in
// lower case.
func (c *call) listParam(name string) []string {
	if !c.has(name) {
		return nil
	}
	out := []string{}
	for v := range strings.SplitSeq(strings.ToLower(c.param(name)), ",") {
		if v = strings.TrimSpace(v); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}

// nodeParam is the parameter node: a UUID or, from 1.5, a name.
func (c *call) nodeParam(name string) (string, error) {
	ident := c.param(name)
	switch {
	case ident != "" && !wire.IsIdent(ident):
		return "", invalid("Expected a UUID or name for %s.", name)
	case ident != "" && !wire.IsUUID(ident) && c.minor < metal.SinceNodeNames:
		return "", wire.TooNew("Naming a node by its name", metal.SinceNodeNames, c.minor)
	}
	return ident, nil
}
