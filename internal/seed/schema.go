package seed

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"ingot/internal/fault"
)

//go:embed network_data.schema.json
var networkSchemaText []byte

// NetworkSchema is what network_data.json must look like, that of a node as well as that of an instance. Source: rest-api
// reference §2.7, metadata reference §6.
var NetworkSchema = mustCompile(networkSchemaText)

// Schema is a JSON schema.
type Schema struct{ compiled *jsonschema.Schema }

func mustCompile(text []byte) *Schema {
	s, err := CompileSchema(text)
	if err != nil {
		panic("seed: embedded schema: " + err.Error()) // the file is part of the program
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

// maxParts bounds what is judged, counted in commas: a part that does not fit takes kilobytes while that is found out, and a user's
// request may have millions.
const maxParts = 20_000

// Wrong says where a value does not fit the schema, and why: "at /links/0: ethernet_mac_address is missing". "" is fine.
func (s *Schema) Wrong(value any) string {
	raw, err := json.Marshal(value) // lists and numbers however the caller made them
	if bytes.Count(raw, []byte{','}) > maxParts {
		return "at /: it has more parts than the network of a machine"
	}
	if err == nil {
		value, err = jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	}
	if err != nil {
		return "it is not JSON"
	}
	err = s.compiled.Validate(value)
	var wrong *jsonschema.ValidationError
	switch {
	case err == nil:
		return ""
	case !errors.As(err, &wrong):
		return "it cannot be judged"
	}
	leaf := meant(wrong)
	return fmt.Sprintf("at /%s: %s", strings.Join(leaf.InstanceLocation, "/"), why(leaf))
}

// meant is the error that helps most: of several alternatives that of the one that was meant, which is the one whose type is
// given, and the farthest inside.
func meant(e *jsonschema.ValidationError) *jsonschema.ValidationError {
	var best *jsonschema.ValidationError
	better := func(a, b *jsonschema.ValidationError) bool {
		_, alternatives := e.ErrorKind.(*kind.OneOf)
		if ta, tb := aboutType(a), aboutType(b); alternatives && ta != tb {
			return tb
		}
		return len(a.InstanceLocation) > len(b.InstanceLocation)
	}
	for _, cause := range e.Causes {
		if leaf := meant(cause); best == nil || better(leaf, best) {
			best = leaf
		}
	}
	if best == nil {
		return e
	}
	return best
}

// aboutType tells whether it is the type of a link or network that does not fit.
func aboutType(e *jsonschema.ValidationError) bool {
	n := len(e.InstanceLocation)
	return n > 0 && e.InstanceLocation[n-1] == "type"
}

// why says what is wrong, without the value: it may be anything.
func why(e *jsonschema.ValidationError) string {
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		if len(k.Missing) == 1 {
			return k.Missing[0] + " is missing"
		}
		return strings.Join(k.Missing, ", ") + " are missing"
	case *kind.Type:
		return "it must be of type " + strings.Join(k.Want, " or ")
	case *kind.Enum:
		return fmt.Sprintf("it must be one of %v", k.Want)
	case *kind.Const:
		return fmt.Sprintf("it must be %v", k.Want)
	case *kind.Pattern:
		return "it does not have the form " + k.Want
	case *kind.Minimum, *kind.Maximum:
		return "it is out of range"
	}
	return "it does not have the form that network_data.json must have"
}

// CheckNetworkData judges network data that a user gave for an instance, as rendering would: none is fine, and what can be
// completed is. What is wrong is fault.Invalid and says where.
func CheckNetworkData(data map[string]any) error {
	_, err := checkNetwork(data)
	return err
}

// checkNetwork completes network data and judges it; nil if there is none with a link.
func checkNetwork(data map[string]any) (map[string]any, error) {
	full, err := completeNetwork(data)
	if full == nil || err != nil {
		return nil, err
	}
	if wrong := NetworkSchema.Wrong(full); wrong != "" {
		return nil, fault.New(fault.Invalid, "The config drive's network_data is wrong %s.", wrong)
	}
	return full, nil
}

// completeNetwork gives network data the three lists that its schema requires, and networks the ids that clients do not need.
// Without a link it is left out: an instance given an empty list would configure no network at all, while one given
// nothing asks DHCP.
func completeNetwork(data map[string]any) (map[string]any, error) {
	if len(data) == 0 {
		return nil, nil
	}
	for key, part := range data {
		if items, ok := part.([]any); ok && len(items) > maxParts {
			return nil, fault.New(fault.Invalid, "%.80q in the config drive's network_data has %d entries, more than the network of a machine.", key, len(items))
		}
	}
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The config drive's network_data cannot be written as JSON.")
	}
	var full map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&full); err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "The config drive's network_data is not an object.")
	}
	for _, key := range []string{"links", "networks", "services"} {
		if full[key] == nil {
			full[key] = []any{}
		}
		items, ok := full[key].([]any)
		if !ok {
			return nil, fault.New(fault.Invalid, "%q in the config drive's network_data must be a list of objects.", key)
		}
		if key == "links" && len(items) == 0 {
			return nil, nil
		}
		for i, item := range items {
			one, ok := item.(map[string]any)
			if !ok {
				return nil, fault.New(fault.Invalid, "The config drive's network_data is wrong at /%s/%d: it must be an object.", key, i)
			}
			if key == "networks" {
				identify(one, i)
			}
		}
	}
	return full, nil
}

// identify gives a network the ids that it lacks.
func identify(network map[string]any, n int) {
	if network["id"] == nil {
		network["id"] = fmt.Sprintf("network%d", n)
	}
	if network["network_id"] == nil {
		network["network_id"] = network["id"]
	}
}
