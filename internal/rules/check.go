package rules

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Bounds of one rule. What an operator writes by hand is far below.
const (
	maxOps   = 200  // conditions and actions each
	maxLoop  = 1000 // items of a loop
	maxText  = 64 << 10
	maxDepth = 20
)

// signature is the arguments of an operation, in the order in which a list gives them.
type signature struct{ required, optional []string }

func args(required string, optional ...string) signature {
	return signature{strings.Fields(required), optional}
}

// conditionArgs are the conditions there are.
var conditionArgs = map[string]signature{
	"eq": args("values", "force_strings"), "lt": args("values", "force_strings"), "gt": args("values", "force_strings"),
	"is-empty": args("value"), "is-none": args("value"), "is-true": args("value"), "is-false": args("value"),
	"in-net": args("address subnet"), "matches": args("value regex"), "contains": args("value regex"), "one-of": args("value", "values"),
}

// actionArgs are the actions there are.
var actionArgs = map[string]signature{
	"fail": args("msg"), "log": args("msg", "level"),
	"set-attribute": args("path value"), "extend-attribute": args("path value", "unique"), "del-attribute": args("path"),
	"set-capability": args("name value"), "unset-capability": args("name"), "add-trait": args("name"), "remove-trait": args("name"),
	"set-plugin-data": args("path value"), "extend-plugin-data": args("path value", "unique"), "unset-plugin-data": args("path"),
	"set-port-attribute": args("port_id path value"), "extend-port-attribute": args("port_id path value", "unique"),
	"del-port-attribute": args("port_id path"),
	"api-call":           args("url", "headers", "proxies", "timeout", "retries", "backoff_factor"),
}

// Check judges a rule as a whole. Any error is fault.Invalid.
func Check(r *metal.InspectionRule) error {
	switch {
	case r.Phase != metal.PhaseMain:
		return invalid("Invalid phase %.40q: the only phase is main.", r.Phase)
	case r.Priority < 0 || r.Priority > 9999:
		return invalid("priority must be from 0 to 9999.")
	case len(r.Actions) == 0:
		return invalid("An inspection rule needs at least one action.")
	case len(r.Actions) > maxOps || len(r.Conditions) > maxOps:
		return invalid("An inspection rule may have %d conditions and %d actions.", maxOps, maxOps)
	}
	for i, o := range r.Conditions {
		name, _ := inverted(o.Op)
		if err := op(o).check("condition", i, name, conditionArgs); err != nil {
			return err
		}
		if !slices.Contains([]string{"", "any", "all", "first", "last"}, o.Multiple) {
			return invalid("Condition %d: multiple must be any, all, first or last.", i+1)
		}
	}
	for i, o := range r.Actions {
		if err := op(o).check("action", i, o.Op, actionArgs); err != nil {
			return err
		}
	}
	return nil
}

// inverted takes the "!" off a condition's name.
func inverted(name string) (string, bool) {
	name = strings.TrimSpace(name)
	plain, not := strings.CutPrefix(name, "!")
	return strings.TrimSpace(plain), not
}

type op metal.RuleOp

func (o op) check(kind string, i int, name string, known map[string]signature) error {
	where := fmt.Sprintf("%s%s %d (%.40s)", strings.ToUpper(kind[:1]), kind[1:], i+1, o.Op)
	sig, ok := known[name]
	if !ok {
		return invalid("%s: there is no such %s. There are: %s.", where, kind, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	named, err := o.named(sig)
	if err != nil {
		return invalid("%s: %s.", where, err)
	}
	if depth(o.Args) > maxDepth || depth(o.Loop) > maxDepth {
		return invalid("%s: it is nested deeper than %d levels.", where, maxDepth)
	}
	switch l := o.Loop.(type) {
	case nil, map[string]any:
	case []any:
		if len(l) > maxLoop {
			return invalid("%s: a loop may have %d items.", where, maxLoop)
		}
	default:
		return invalid("%s: loop must be a list or an object.", where)
	}
	if text, ok := named["regex"].(string); ok && o.Loop == nil {
		if _, err := regexp.Compile(text); err != nil {
			return invalid("%s: its regex cannot be used: %v. The syntax is RE2's: it has no look-around and no back-references.", where, err)
		}
	}
	if err := judgeArgs(name, named); err != nil {
		return invalid("%s: %s.", where, err)
	}
	return nil
}

// judgeArgs refuses what could only fail when a machine is inspected, as far as it shows without facts.
func judgeArgs(name string, named map[string]any) error {
	for _, key := range []string{"path", "name", "port_id", "url", "regex", "level"} {
		if v, ok := named[key]; ok {
			if text, isText := v.(string); !isText || text == "" {
				return fmt.Errorf("%s must be a string that is not empty", key)
			}
		}
	}
	path, _ := named["path"].(string)
	if strings.Contains(path, "{") {
		return nil // it is known when the rule runs
	}
	switch {
	case strings.HasSuffix(name, "-port-attribute"):
		return knownRoot(portRoots, path, "port")
	case strings.HasSuffix(name, "-attribute"):
		return knownRoot(nodeRoots, path, "node")
	}
	if level, ok := named["level"].(string); ok && !slices.Contains(levels, strings.ToLower(level)) {
		return fmt.Errorf("level must be one of %s", strings.Join(levels, ", "))
	}
	return nil
}

// named gives the arguments by name.
func (o op) named(sig signature) (map[string]any, error) {
	out := map[string]any{}
	all := slices.Concat(sig.required, sig.optional)
	switch a := o.Args.(type) {
	case map[string]any:
		maps.Copy(out, a)
	case []any:
		if len(a) > len(all) {
			return nil, fmt.Errorf("it takes at most %d arguments: %s", len(all), strings.Join(all, ", "))
		}
		for i, v := range a {
			out[all[i]] = v
		}
	default:
		return nil, fmt.Errorf("args must be an object or a list")
	}
	for _, key := range sig.required {
		if _, ok := out[key]; !ok {
			return nil, fmt.Errorf("the argument %s is missing", key)
		}
	}
	for key := range out {
		if !slices.Contains(all, key) {
			return nil, fmt.Errorf("it has no argument %.40q; it has: %s", key, strings.Join(all, ", "))
		}
	}
	return out, nil
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			deepest = max(deepest, depth(inner))
		}
	case []any:
		for _, inner := range v {
			deepest = max(deepest, depth(inner))
		}
	default:
		return 0
	}
	return deepest + 1
}

func invalid(format string, a ...any) error { return fault.New(fault.Invalid, format, a...) }
