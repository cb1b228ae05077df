package api

import (
	"fmt"
	"slices"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/wire"
)

// stepForm is what a list of steps may look like.
type stepForm struct {
	keys     string
	required []string
	refused  func(RefusedSteps) []string
}

// Source: provision verbs reference, "Step lists".
var (
	cleanStepKeys = stepForm{"interface step args order execute_on_child_nodes limit_child_node_execution", []string{"interface", "step"},
		func(r RefusedSteps) []string { return orDefault(r.Clean) }}
	serviceStepKeys = stepForm{cleanStepKeys.keys, cleanStepKeys.required, func(r RefusedSteps) []string { return orDefault(r.Service) }}
	deployStepKeys  = stepForm{"interface step args priority", []string{"interface", "step", "args", "priority"},
		func(r RefusedSteps) []string { return orDefault(r.Deploy) }}
	// A runbook may be used for cleaning and for service: what neither allows is refused at once, the rest when it is used.
	runbookStepKeys = stepForm{"interface step args order", []string{"interface", "step", "order"}, func(r RefusedSteps) []string {
		return slices.DeleteFunc(slices.Clone(orDefault(r.Clean)), func(s string) bool { return !slices.Contains(orDefault(r.Service), s) })
	}}
)

var stepInterfaces = []string{"vendor", "power", "management", "firmware", "deploy", "bios", "raid"}

// RefusedSteps are the steps that nobody may ask for, as "<interface>.<step>", by what they would be part of. nil is
// upstream's default: raw commands to a BMC go around every rule that this server keeps.
type RefusedSteps struct{ Clean, Deploy, Service []string }

// Source: upstream's default of [api] disallow_{clean,deploy,service}_steps.
var refusedByDefault = []string{"vendor.send_raw"}

func orDefault(list []string) []string {
	if list == nil {
		return refusedByDefault
	}
	return list
}

// readSteps makes steps of the argument called name. The order is the caller's. Shapes are judged before what is refused.
func (c *call) readSteps(name string, list []any, form stepForm) ([]metal.Step, error) {
	out := make([]metal.Step, 0, len(list))
	wrong := func(i int, err error) error {
		text, _ := fault.PublicOf(err)
		return fault.New(fault.KindOf(err), "Invalid %s: entry %d: %s", name, i+1, text)
	}
	for i, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, invalid("Invalid %s: entry %d is not an object.", name, i+1)
		}
		s, err := readStep(m, form)
		if err == nil {
			err = c.readChildren(m)
		}
		if err != nil {
			return nil, wrong(i, err)
		}
		out = append(out, s)
	}
	for i, s := range out {
		if slices.Contains(form.refused(c.o.Refused), s.Name()) {
			return nil, wrong(i, invalid("the step %s is not allowed by this server.", s.Name()))
		}
	}
	return out, nil
}

// readChildren judges what a step says of child nodes. Running steps on them is not built: who asks for it in a way that would
// be valid learns that, whoever may not learns only what is wrong.
func (c *call) readChildren(m map[string]any) error {
	children, ok := wire.ParseBool(m["execute_on_child_nodes"])
	limit, isList := m["limit_child_node_execution"].([]any)
	switch {
	case m["execute_on_child_nodes"] != nil && !ok:
		return invalid("execute_on_child_nodes must be true or false.")
	case m["limit_child_node_execution"] != nil && !isList:
		return invalid("limit_child_node_execution must be an array of UUIDs of child nodes.")
	case !children:
		return nil
	case len(limit) > maxChildren:
		return invalid("limit_child_node_execution can name at most %d child nodes.", maxChildren)
	}
	for _, v := range limit {
		if id, ok := v.(string); !ok || !wire.IsUUID(id) {
			return invalid("limit_child_node_execution must be UUIDs of child nodes; %q is none.", clip(fmt.Sprint(v)))
		}
	}
	for _, v := range limit {
		if _, err := c.s.Node(c.r.Context(), c.caller(), v.(string), "node:set_provision_state"); err != nil {
			return err
		}
	}
	return fault.New(fault.NotSupported, "execute_on_child_nodes: this server does not run steps on child nodes yet. Ask for the steps at each child node.")
}

// maxChildren bounds what one step can make us look up.
const maxChildren = 1000

func readStep(m map[string]any, form stepForm) (s metal.Step, err error) {
	if err := unexpected(m, form.keys); err != nil {
		return s, err
	}
	for _, k := range form.required {
		if m[k] == nil {
			return s, invalid("%s is required.", k)
		}
	}
	if s.Interface, err = textArg(m, "interface", true); err != nil {
		return s, err
	}
	if s.Step, err = textArg(m, "step", true); err != nil {
		return s, err
	}
	args, isObject := m["args"].(map[string]any)
	switch {
	case !slices.Contains(stepInterfaces, s.Interface):
		return s, invalid("interface must be one of %s.", strings.Join(stepInterfaces, ", "))
	case s.Step == "":
		return s, invalid("step must not be empty.")
	case m["args"] != nil && !isObject:
		return s, invalid("args must be an object.")
	}
	s.Args = args
	return s, readStepRest(m, &s)
}

func readStepRest(m map[string]any, s *metal.Step) error {
	for _, k := range []string{"priority", "order"} {
		n, ok := intOf(m[k])
		if m[k] != nil && (!ok || n < 0) {
			return invalid("%s must be a whole number that is not negative.", k)
		}
		if k == "priority" {
			s.Priority = n
		} else {
			s.Order = n
		}
	}
	if s.Interface == "deploy" && s.Step == "deploy" && s.Priority != 0 {
		return invalid("the core step deploy.deploy can only be given priority 0.")
	}
	return nil
}
