package api

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/wire"
)

// openapi answers this door's routes as an OpenAPI document.
// Source: OpenAPI Specification 3.1.1.
func (c *call) openapi() (answer, error) {
	return answer{status: http.StatusOK, json: openAPI(c.table, c.base())}, nil
}

func openAPI(table []route, base string) doc {
	paths, components := doc{}, map[string]doc{}
	for _, rt := range table {
		path := strings.TrimSuffix(rt.path, "{$}")
		if paths[path] == nil {
			paths[path] = doc{}
		}
		d := described[rt.key()]
		paths[path].(doc)[strings.ToLower(rt.method)] = rt.operation(d)
		collect(components, d.body, d.gives)
	}
	collect(components, failure)
	return doc{
		"openapi": "3.1.0",
		"info": doc{"title": "Ingot bare metal API", "version": wire.Version(wire.MaxMinor),
			"description": "Ironic's REST API. What has " + minVersion + " exists from that microversion on; a request says its own in the header " + wire.HeaderVersion + ", and one without is 1.1."},
		"servers": []doc{{"url": base}},
		"paths":   paths,
		"components": doc{
			"schemas": components,
			"parameters": doc{"Version": doc{"name": wire.HeaderVersion, "in": "header", "schema": doc{"type": "string", "pattern": `^(1\.[0-9]+|latest)$`},
				"description": "The microversion to answer with."}},
			"responses": doc{"Failure": doc{"description": "The request failed; the sentence says why.", "content": content(failure)}},
		},
	}
}

// collect adds the components that the schemas are or use.
func collect(into map[string]doc, all ...schema) {
	for _, s := range all {
		if s.name != "" {
			into[s.name] = s.doc
		}
		collect(into, s.uses...)
	}
}

func (rt route) operation(d description) doc {
	params := []doc{{"$ref": "#/components/parameters/Version"}}
	for _, name := range rt.placeholders() {
		params = append(params, doc{"name": name, "in": "path", "required": true, "schema": doc{"type": "string"}})
	}
	for _, p := range rt.inQuery(d) {
		s := p.schemaOf()
		one := doc{"name": p.name, "in": "query", "schema": s, "description": p.says}
		if p.min > wire.MinMinor {
			one[minVersion] = wire.Version(p.min)
		}
		if p.kind == "list" {
			one["style"], one["explode"] = "form", false
		}
		params = append(params, one)
	}
	success := doc{"description": http.StatusText(d.success(rt.method))}
	if d.gives.doc != nil {
		success["content"] = content(d.gives)
	}
	responses := doc{strconv.Itoa(d.success(rt.method)): success}
	for _, status := range rt.failures() {
		responses[strconv.Itoa(status)] = doc{"$ref": "#/components/responses/Failure"}
	}
	op := doc{"summary": d.about, "operationId": rt.operationID(), "parameters": params, "responses": responses, "x-ingot-rule": string(rt.rule)}
	if body, ok := rt.request(d); ok {
		op["requestBody"] = doc{"content": content(body)}
	}
	if rt.min > wire.MinMinor {
		op[minVersion] = wire.Version(rt.min)
	}
	return op
}

func content(s schema) doc { return doc{"application/json": doc{"schema": s.there()}} }

// placeholders are the names in braces of the path.
func (rt route) placeholders() []string {
	var out []string
	for part := range strings.SplitSeq(rt.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok && name != "$}" {
			out = append(out, strings.TrimSuffix(strings.TrimSuffix(name, "}"), "..."))
		}
	}
	return out
}

// isAction tells whether the keys of the route's body are its parameters.
func (rt route) isAction(d description) bool {
	return (rt.method == put || rt.method == post) && rt.takes != "" && d.body.doc == nil
}

// inQuery is what the route takes in the query. What actions take is told as their body; the query does as well.
func (rt route) inQuery(d description) []parameter {
	if rt.isAction(d) {
		return nil
	}
	return rt.parameters()
}

func (rt route) parameters() []parameter {
	var out []parameter
	for _, name := range strings.Fields(rt.takes) {
		p := parameterOf(rt.path, name)
		p.min = max(p.min, rt.min)
		out = append(out, p)
	}
	return out
}

// request is the shape of the route's body.
func (rt route) request(d description) (schema, bool) {
	if !rt.isAction(d) {
		return d.body, d.body.doc != nil
	}
	props, need := doc{}, []string{}
	for _, p := range rt.parameters() {
		s := p.schemaOf()
		s["description"] = p.says
		if p.min > wire.MinMinor {
			s[minVersion] = wire.Version(p.min)
		}
		if props[p.name] = s; p.need {
			need = append(need, p.name)
		}
	}
	return schema{doc: doc{"type": "object", "properties": props, "required": need, "additionalProperties": false}}, true
}

// failures are the statuses that the route may refuse with; docs/errors.md says what each means. 500 is no promise
// of anybody and is not listed.
func (rt route) failures() []int {
	have := map[int]bool{http.StatusBadRequest: true, http.StatusNotAcceptable: true, http.StatusServiceUnavailable: true}
	if rt.rule != "public_api" {
		have[http.StatusUnauthorized], have[http.StatusForbidden] = true, true
	}
	if rt.min > wire.MinMinor || len(rt.placeholders()) > 0 {
		have[http.StatusNotFound] = true
	}
	if rt.below != 0 {
		have[rt.below] = true
	}
	if rt.method != get {
		have[http.StatusConflict] = true
	}
	if rt.method == post || rt.method == put || rt.method == patch {
		have[http.StatusRequestEntityTooLarge] = true
	}
	return slices.Sorted(maps.Keys(have))
}

// operationID is the route's name for generators of clients: "put-nodes-node-states-power".
func (rt route) operationID() string {
	words := strings.FieldsFunc(rt.path, func(r rune) bool { return strings.ContainsRune("/{}$.", r) })
	if len(words) > 1 && words[0] == "v1" {
		words = words[1:]
	}
	if len(words) == 0 {
		words = []string{"root"}
	}
	return strings.ToLower(rt.method) + "-" + strings.Join(words, "-")
}
