package api

import (
	"encoding/json"
	goflag "flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"ingot/internal/wire"
)

var update = goflag.Bool("update", false, "rewrite the golden files and docs/api.md")

func allRoutes() []route { return slices.Concat(routes, agentRoutes) }

// TestEveryRouteIsDescribed: described has a row for each route and no other.
func TestEveryRouteIsDescribed(t *testing.T) {
	rest := maps.Clone(described)
	for _, rt := range allRoutes() {
		d, ok := described[rt.key()]
		if !ok || !strings.HasSuffix(d.about, ".") {
			t.Errorf("%s needs a row in described (described.go), with a sentence", rt.key())
		}
		if rt.method == get && d.gives.doc == nil {
			t.Errorf("%s: the row in described does not say what the route gives", rt.key())
		}
		delete(rest, rt.key())
	}
	for key := range rest {
		t.Errorf("described has %s, and routes has not", key)
	}
}

// TestOpenAPI: the document is served to anybody, is OpenAPI 3.1 and has every route.
func TestOpenAPI(t *testing.T) {
	r := newRig(t, func(o *Options) { o.AgentOnPublic = true })
	body := r.do(get, "/openapi.json", 0, nil).want(t, 200, `"openapi":"3.1.0"`).body
	for _, minor := range []int{1, 80, wire.MaxMinor} { // the suffix is never taken off here
		r.do(get, "/openapi.json", minor, nil).want(t, 200, `"openapi":"3.1.0"`)
	}
	parsed, err := libopenapi.NewDocument(body)
	if err != nil {
		t.Fatal(err)
	}
	if ok, errs := schema_validation.ValidateOpenAPIDocument(parsed); !ok {
		for _, e := range errs {
			t.Errorf("%s: %s %v", e.Message, e.Reason, e.SchemaValidationErrors)
		}
	}
	if _, err := parsed.BuildV3Model(); err != nil {
		t.Error(err)
	}
	var d struct {
		Paths      map[string]map[string]struct{ OperationID string }
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal(body, &d); err != nil {
		t.Fatal(err)
	}
	ids, count := map[string]bool{}, 0
	for _, rt := range allRoutes() {
		op, ok := d.Paths[strings.TrimSuffix(rt.path, "{$}")][strings.ToLower(rt.method)]
		if !ok || ids[op.OperationID] {
			t.Errorf("%s: in the document %t, operation %q", rt.key(), ok, op.OperationID)
		}
		ids[op.OperationID] = true
	}
	for _, methods := range d.Paths {
		count += len(methods)
	}
	if count != len(allRoutes()) {
		t.Errorf("the document has %d operations, and there are %d routes", count, len(allRoutes()))
	}
	for name := range d.Components.Schemas {
		compiled(t, body, "#/components/schemas/"+name)
	}
}

// compiled is a schema of the document, which is then a valid one.
func compiled(t testing.TB, document []byte, at string) *jsonschema.Schema {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(document)))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("openapi.json", v); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("openapi.json" + at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestAPIDoc: docs/api.md is what the tables render.
func TestAPIDoc(t *testing.T) {
	const name = "../../docs/api.md"
	want := renderAPI()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(name); err != nil || string(have) != want {
		t.Errorf("%s is not what the tables say (%v); run make gen", name, err)
	}
}

// renderAPI writes the tables for people.
func renderAPI() string {
	var b strings.Builder
	b.WriteString(`# The REST API

Made of the tables in internal/api (routes.go, parameters.go, described.go) and of the field tables in internal/wire; ` + "`GET /openapi.json`" + `
says the same to programs. A version in brackets is the first that has something; an older request does not see it, or is refused. What
the errors mean is in [errors](errors.md), where answers differ from Ironic's in [compatibility](compatibility.md).

`)
	var used []schema
	for _, rt := range allRoutes() {
		d := described[rt.key()]
		fmt.Fprintf(&b, "### %s `%s`%s\n\n%s Rule `%s`.\n\n", rt.method, strings.TrimSuffix(rt.path, "{$}"), from(rt.min), d.about, rt.rule)
		for _, p := range rt.parameters() {
			need := ""
			if p.need {
				need = ", required"
			}
			kind := p.kind
			if kind == "" {
				kind = "text"
			}
			fmt.Fprintf(&b, "- `%s` (%s%s)%s: %s\n", p.name, kind, need, from(p.min), p.says)
		}
		if body, ok := rt.request(d); ok && !rt.isAction(d) {
			fmt.Fprintf(&b, "- body: %s\n", inWords(body))
		}
		fmt.Fprintf(&b, "- answers %d%s; refuses with", d.success(rt.method), givesWords(d.gives))
		for i, s := range rt.failures() {
			fmt.Fprintf(&b, "%s%d", map[bool]string{true: " ", false: ", "}[i == 0], s)
		}
		if rt.below != 0 {
			fmt.Fprintf(&b, " (%d below its version)", rt.below)
		}
		b.WriteString("\n\n")
		used = append(used, d.body, d.gives)
	}
	b.WriteString("## Bodies\n")
	components := map[string]doc{}
	collect(components, used...)
	for _, name := range slices.Sorted(maps.Keys(components)) {
		props, ok := components[name]["properties"].(doc)
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n| Field | Type | From |\n|---|---|---|\n", name)
		for _, k := range slices.Sorted(maps.Keys(props)) {
			p, _ := props[k].(doc)
			since, _ := p[minVersion].(string)
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k, typeWords(p), since)
		}
	}
	return b.String()
}

func from(min int) string {
	if min <= wire.MinMinor {
		return ""
	}
	return " [" + wire.Version(min) + "]"
}

func givesWords(s schema) string {
	if s.doc == nil {
		return " without a body"
	}
	return " with " + inWords(s)
}

func inWords(s schema) string {
	if s.name != "" {
		return "[" + s.name + "](#" + strings.ToLower(s.name) + ")"
	}
	if ref, ok := s.doc["$ref"].(string); ok {
		name := ref[strings.LastIndex(ref, "/")+1:]
		return "[" + name + "](#" + strings.ToLower(name) + ")"
	}
	props, ok := s.doc["properties"].(doc)
	if !ok {
		return typeWords(s.doc)
	}
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(props)) {
		p, _ := props[k].(doc)
		items, _ := p["items"].(doc)
		if _, ok := items["$ref"]; ok {
			parts = append(parts, "`"+k+"`: a list of "+inWords(schema{doc: items}))
			continue
		}
		parts = append(parts, "`"+k+"` ("+typeWords(p)+")")
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func typeWords(p doc) string {
	switch t := p["type"].(type) {
	case string:
		if f, ok := p["format"].(string); ok {
			return f
		}
		return t
	case []string:
		return strings.Join(t, " or ")
	}
	if any, ok := p["anyOf"].([]doc); ok {
		return typeWords(any[0]) + " or null"
	}
	if p["enum"] != nil {
		return strings.Join(p["enum"].([]string), ", ")
	}
	if p["$ref"] != nil {
		return inWords(schema{doc: p})
	}
	return "any"
}
