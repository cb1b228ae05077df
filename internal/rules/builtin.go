package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"

	"ingot/internal/metal"
)

// maxFile bounds a file of rules.
const maxFile = 1 << 20

// entry is a rule as a file has it.
type entry struct {
	UUID        string         `json:"uuid"`
	Description string         `json:"description"`
	Priority    int            `json:"priority"`
	Phase       string         `json:"phase"`
	Sensitive   bool           `json:"sensitive"`
	Conditions  []metal.RuleOp `json:"conditions"`
	Actions     []metal.RuleOp `json:"actions"`
}

// Parse reads a YAML list of rules. A rule without a UUID gets one of its place in the file, as upstream's do. Any
// error is fault.Invalid and names the rule.
func Parse(text []byte) ([]*metal.InspectionRule, error) {
	if len(text) > maxFile {
		return nil, invalid("The file of inspection rules is larger than %d bytes.", maxFile)
	}
	var list []any
	d := yaml.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&list); err != nil && !errors.Is(err, io.EOF) {
		return nil, invalid("The file of inspection rules is not a YAML list of rules: %v.", err)
	}
	out := make([]*metal.InspectionRule, 0, len(list))
	for i, one := range list {
		r, err := parseEntry(one)
		if err != nil {
			return nil, invalid("Inspection rule %d of the file: %v.", i+1, err)
		}
		if r.UUID == "" {
			r.UUID = fmt.Sprintf("00000000-0000-0000-0000-%012x", i)
		}
		if r.Phase == "" {
			r.Phase = metal.PhaseMain
		}
		if err := Check(r); err != nil {
			return nil, invalid("Inspection rule %d of the file: %v", i+1, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// parseEntry goes by way of JSON, so that values are what the API's rules have.
func parseEntry(one any) (*metal.InspectionRule, error) {
	if depth(one) > maxDepth {
		return nil, fmt.Errorf("it is nested deeper than %d levels", maxDepth)
	}
	b, err := json.Marshal(one)
	if err != nil {
		return nil, errors.New("its keys must be strings")
	}
	var e entry
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return nil, err
	}
	return &metal.InspectionRule{UUID: e.UUID, Description: e.Description, Priority: e.Priority, Phase: e.Phase, Sensitive: e.Sensitive,
		Conditions: e.Conditions, Actions: e.Actions}, nil
}
