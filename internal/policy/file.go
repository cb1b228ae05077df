package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"
)

// Limits of a policy file. They are far beyond what anybody writes.
const (
	MaxFile  = 1 << 20 // bytes
	maxRules = 5000
)

// File is a policy file: an object of rules and their check strings, in YAML or JSON.
type File struct {
	Name string // for errors and explanations
	Text []byte
}

// parse reads the rules of a file. The error tells everything that is wrong with them, by line.
func (f File) parse() (map[Rule]written, error) {
	root, err := f.root()
	if err != nil || root == nil {
		return nil, err
	}
	out := map[Rule]written{}
	var wrong []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		source := fmt.Sprintf("%s:%d", f.Name, key.Line)
		name, e, err := parseRule(key, value)
		if _, twice := out[name]; twice && err == nil {
			err = errors.New("the file has it before")
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: rule %s: %w", source, clip(key.Value), err))
			continue
		}
		out[name] = written{source, e}
	}
	return out, errors.Join(wrong...)
}

// root is the object of rules; nil if the file has none.
func (f File) root() (*yaml.Node, error) {
	text := f.Text
	if len(text) > MaxFile {
		return nil, fmt.Errorf("%s: a policy file may have %d bytes, and this one has %d", f.Name, MaxFile, len(text))
	}
	if json.Valid(text) { // YAML does not take all of JSON's white space
		text = bytes.ReplaceAll(text, []byte("\t"), []byte(" "))
	}
	var doc, more yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: it is neither YAML nor JSON: %w. Check strings belong in quotes", f.Name, err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: it has more than one YAML document", f.Name)
	}
	if len(doc.Content) != 1 {
		return nil, nil
	}
	root := doc.Content[0]
	switch {
	case root.Kind == yaml.ScalarNode && root.Tag == "!!null":
		return nil, nil
	case root.Kind != yaml.MappingNode:
		return nil, fmt.Errorf(`%s:%d: a policy file has a line for each rule, such as "baremetal:node:get": "role:reader"`, f.Name, root.Line)
	case len(root.Content) > 2*maxRules:
		return nil, fmt.Errorf("%s: a policy file may have %d rules", f.Name, maxRules)
	}
	return root, nil
}

// parseRule reads one line. Names of upstream's rules must be known; others are the operator's own, for link to judge.
func parseRule(key, value *yaml.Node) (Rule, expr, error) {
	if key.Kind != yaml.ScalarNode || key.Value == "" {
		return "", nil, errors.New("it has no name")
	}
	name := normal(key.Value)
	if string(name) != key.Value || hasPrefix(name, "ingot:") || hasPrefix(name, stepPrefix) {
		if !Known(name) && !stepRule(name) {
			return name, nil, errors.New("there is no such rule" + near(name, table))
		}
	}
	e, err := parseValue(value)
	return name, e, err
}

// parseValue reads what a rule is: a check string or, in the old form, a list of lists of checks, of which all of one
// inner list must pass.
func parseValue(v *yaml.Node) (expr, error) {
	switch v.Kind {
	case yaml.ScalarNode:
		return parseScalar(v)
	case yaml.SequenceNode:
		if len(v.Content) == 0 {
			return constant(true), nil
		}
		var any anyOf
		for _, inner := range v.Content {
			all, err := parseInner(inner)
			if err != nil {
				return nil, err
			}
			if len(all) > 0 { // as oslo.policy: an empty inner list says nothing
				any = append(any, all)
			}
		}
		return any, nil
	}
	return nil, errors.New("it is neither a text nor a list of lists")
}

// parseScalar reads a check string. YAML makes null, numbers and the like of some that are not in quotes: what was
// meant is not guessed, for one meaning would open a door.
func parseScalar(v *yaml.Node) (expr, error) {
	if v.Tag != "!!str" {
		return nil, fmt.Errorf(`its check string is not a text: put it in quotes, such as "!" for nobody and "" for everybody`)
	}
	return parse(v.Value)
}

// parseInner reads a list of checks, or a single one.
func parseInner(v *yaml.Node) (out allOf, err error) {
	checks := []*yaml.Node{v}
	if v.Kind == yaml.SequenceNode {
		checks = v.Content
	}
	for _, c := range checks {
		if c.Kind != yaml.ScalarNode || c.Tag != "!!str" {
			return nil, errors.New("it is neither a text nor a list of lists of texts")
		}
		e, err := parseCheck(c.Value)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}
