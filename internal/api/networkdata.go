package api

import (
	"bytes"
	_ "embed"
	"errors"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed network_data.schema.json
var networkDataText []byte

// Schema is a JSON schema.
type Schema struct{ compiled *jsonschema.Schema }

// networkDataSchema is what a node's network_data must look like, unless Options say otherwise. Source: rest-api
// reference §2.7.
var networkDataSchema = mustCompile(networkDataText)

func mustCompile(text []byte) *Schema {
	s, err := CompileSchema(text)
	if err != nil {
		panic("api: embedded schema: " + err.Error()) // the file is part of the program
	}
	return s
}

// CompileSchema reads a JSON schema.
func CompileSchema(text []byte) (*Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, err
	}
	s, err := c.Compile("schema.json")
	return &Schema{s}, err
}

// checkNetworkData judges network_data; none is fine.
func (c *call) checkNetworkData(data map[string]any) error {
	if len(data) == 0 {
		return nil
	}
	err := c.o.NetworkData.compiled.Validate(data)
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return err
	}
	return invalid("Invalid network_data for node: at /%s: it does not have the form that network_data.json must have.", strings.Join(deepest(wrong), "/"))
}

// deepest is where the schema fails farthest inside: of several alternatives, the one that was meant.
func deepest(e *jsonschema.ValidationError) []string {
	at := e.InstanceLocation
	for _, cause := range e.Causes {
		if inner := deepest(cause); len(inner) > len(at) {
			at = inner
		}
	}
	return at
}
