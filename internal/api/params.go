package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

// unexpected names the keys that are not in the list takes, separated by spaces.
func unexpected[V any](given map[string]V, takes string) error {
	var bad []string
	known := strings.Fields(takes)
	for k := range given {
		if !slices.Contains(known, k) {
			bad = append(bad, clip(k))
		}
	}
	if bad == nil {
		return nil
	}
	slices.Sort(bad)
	if takes == "" {
		return fault.New(fault.Invalid, "Unexpected arguments: %s. None are known here.", strings.Join(bad, ", "))
	}
	return fault.New(fault.Invalid, "Unexpected arguments: %s. Known here: %s.", strings.Join(bad, ", "), strings.Join(known, ", "))
}

// param is the last value of a query parameter, "" if it is absent.
func (c *call) param(name string) string {
	if v := c.query[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// has tells whether a query parameter was given, even empty.
func (c *call) has(name string) bool { return len(c.query[name]) > 0 }

// boolParam is nil if the parameter is absent.
func (c *call) boolParam(name string) (*bool, error) {
	if !c.has(name) {
		return nil, nil
	}
	b, ok := wire.ParseBool(c.param(name))
	if !ok {
		return nil, fault.New(fault.Invalid, "Invalid value for %s: it must be true or false.", name)
	}
	return &b, nil
}

// listing reads the paging parameters and which fields are wanted. all is the path's own wish for the full
// form (…/detail).
func listing[T any](c *call, fields []wire.Field[T], all bool) (ops.Page, wire.Shape[T], error) {
	page, err := paging(c, fields)
	if err != nil {
		return page, nil, err
	}
	shape, err := shaping(c, fields, all)
	return page, shape, err
}

func paging[T any](c *call, fields []wire.Field[T]) (ops.Page, error) {
	p := ops.Page{Limit: c.o.MaxLimit, Marker: c.param("marker"), SortKey: c.param("sort_key"), SortDir: c.param("sort_dir")}
	if c.has("limit") {
		n, err := strconv.Atoi(c.param("limit"))
		if err != nil {
			return p, fault.New(fault.Invalid, "Invalid value for limit: it must be a whole number.")
		}
		if n <= 0 {
			return p, fault.New(fault.Invalid, "Limit must be positive")
		}
		p.Limit = min(n, c.o.MaxLimit)
	}
	if p.Marker != "" && parameterOf(c.route, "marker").kind == "uuid" && !wire.IsUUID(p.Marker) {
		return p, fault.New(fault.Invalid, "Expected UUID for marker.")
	}
	switch p.SortDir {
	case "", "asc", "desc":
	default:
		return p, fault.New(fault.Invalid, "Invalid sort direction: %s. Acceptable values are 'asc' or 'desc'", clip(p.SortDir))
	}
	if p.SortKey == "" || p.SortKey == "id" {
		return p, nil
	}
	f, ok := wire.Find(fields, p.SortKey)
	switch {
	case !ok || f.Is(wire.Unsorted):
		return p, fault.New(fault.Invalid, "The sort_key value %q is an invalid field for sorting", clip(p.SortKey))
	case f.Min > c.minor:
		return p, wire.TooNew("Sorting by "+p.SortKey, f.Min, c.minor)
	}
	return p, nil
}

func shaping[T any](c *call, fields []wire.Field[T], all bool) (wire.Shape[T], error) {
	detail, err := c.boolParam("detail")
	if err != nil {
		return nil, err
	}
	all = all || detail != nil && *detail
	names := c.fieldNames()
	switch {
	case all && names != nil:
		return nil, fault.New(fault.Invalid, "Can not specify ?detail=True and fields in the same request.")
	case names != nil:
		return wire.Select(fields, c.minor, names)
	case all:
		return wire.Full(fields, c.minor), nil
	}
	return wire.Short(fields, c.minor), nil
}

// oneShape is what fields= asks of a single resource: everything, without it.
func oneShape[T any](c *call, fields []wire.Field[T]) (wire.Shape[T], error) {
	if names := c.fieldNames(); names != nil {
		return wire.Select(fields, c.minor, names)
	}
	return wire.Full(fields, c.minor), nil
}

// fieldNames is the list in fields=, lower case and without doubles; nil if it is absent. One that is there and empty
// asks for no field, as upstream's does: what is left are links.
func (c *call) fieldNames() []string {
	if !c.has("fields") {
		return nil
	}
	out := []string{}
	for _, v := range c.query["fields"] {
		for n := range strings.SplitSeq(strings.ToLower(v), ",") {
			if n = strings.TrimSpace(n); n != "" && !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out
}

// next is the URL of the following page, "" if a page of got items was the last. It keeps every filter.
func (c *call) next(p ops.Page, got int, last func() string) string {
	if got < p.Limit || got == 0 {
		return ""
	}
	q := url.Values{}
	for k, v := range c.query {
		q[k] = v
	}
	q.Set("limit", strconv.Itoa(p.Limit))
	q.Set("marker", last())
	return c.base() + c.path + "?" + q.Encode()
}
