package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Bounds of one inspection, over all rules.
const (
	maxRuns  = 20000 // conditions and actions that are judged or run, those of loops included
	maxLines = 200
	maxCalls = 50
)

// The values of Masking.
const (
	MaskAlways    = "always"
	MaskNever     = "never"
	MaskSensitive = "sensitive" // for rules that are not sensitive themselves
)

// Facts is what an inspection found. Apply changes none of it.
type Facts struct {
	Node      *metal.Node
	Ports     []*metal.Port
	Traits    []string
	Inventory map[string]any // as JSON decodes it
	Plugins   map[string]any
	Masking   string // which rules see passwords among inventory and plugin data; "" is MaskAlways
}

// Line is something that a rule logs.
type Line struct{ Level, Text string }

// Call is a URL that a rule wants to be got when all rules have run.
type Call struct {
	URL     string
	Headers map[string]string // may hold secrets
	Proxies map[string]string
	Timeout float64 // seconds
	Retries int
	Backoff float64 // seconds before the second try, doubled for each further one
}

// Result is what the rules want.
type Result struct {
	Node    []func(*metal.Node) error            // changes of the node, in order; run them on the row as it is stored
	Ports   map[string][]func(*metal.Port) error // by the port's UUID
	Traits  []string                             // all that the node shall have; nil: as they were
	Plugins map[string]any                       // nil: as they were
	Lines   []Line
	Calls   []Call
	Applied []string // the rules whose conditions held, as people know them
}

// run is one pass of all rules over the facts, on copies.
type run struct {
	node   *metal.Node
	ports  []*metal.Port
	traits []string
	names  names
	plugin map[string]any
	runs   int
	out    Result
}

// Apply runs the rules, highest priority first, each on what the ones before it left. An action that cannot be done,
// or the action fail, is an error (fault.Invalid) that names the rule: then nothing of the result counts.
func Apply(list []*metal.InspectionRule, f Facts) (Result, error) {
	r := &run{node: f.Node.Clone(), traits: slices.Clone(f.Traits), plugin: copied(f.Plugins), out: Result{Ports: map[string][]func(*metal.Port) error{}}}
	for _, p := range f.Ports {
		r.ports = append(r.ports, p.Clone())
	}
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b *metal.InspectionRule) int { return cmp.Compare(b.Priority, a.Priority) })
	for _, rule := range sorted {
		mask := f.Masking != MaskNever && (f.Masking != MaskSensitive || !rule.Sensitive)
		r.names = r.facts(f.Inventory, mask)
		ok, err := r.holds(rule.Conditions)
		if err == nil && ok {
			r.out.Applied = append(r.out.Applied, Name(rule))
			err = r.act(rule.Actions, f.Inventory, mask)
		}
		if err != nil {
			return Result{}, failed(rule, err)
		}
	}
	return r.out, nil
}

// Name is how people know a rule.
func Name(r *metal.InspectionRule) string {
	if r.Description != "" {
		return fmt.Sprintf("%q (%s)", r.Description, r.UUID)
	}
	return r.UUID
}

// failed names the rule. What a sensitive rule says may be a secret: nobody is told, nor is the log.
func failed(rule *metal.InspectionRule, err error) error {
	if rule.Sensitive {
		return fault.New(fault.Invalid, "inspection rule %s ended the inspection; it is sensitive, so its reason is not told", Name(rule))
	}
	return fault.Wrap(fault.Invalid, err, "inspection rule %s: %s", Name(rule), err)
}

// facts is what texts may name at this moment.
func (r *run) facts(inventory map[string]any, mask bool) names {
	return names{"inventory": masked(inventory, mask), "plugin_data": masked(r.plugin, mask), "node": shown(r.node)}
}

// shown is the node without its secrets: driver_info and instance_info have no name here.
func shown(n *metal.Node) map[string]any {
	out := map[string]any{"uuid": n.UUID, "name": n.Name, "driver": n.Driver, "properties": n.Properties, "extra": n.Extra,
		"resource_class": n.ResourceClass, "conductor_group": n.ConductorGroup, "owner": n.Owner, "lessee": n.Lessee,
		"description": n.Description, "instance_uuid": n.InstanceUUID, "provision_state": string(n.ProvisionState),
		"power_state": string(n.PowerState), "boot_mode": n.BootMode}
	for kind, chosen := range n.Interfaces {
		out[kind+"_interface"] = chosen
	}
	for key, v := range out {
		if v == "" {
			out[key] = nil
		}
	}
	return out
}

// secretKeys are masked in what the machine and its plugins told. Source: ironic/common/inspection_rules/base.py.
var secretKeys = []string{"password", "auth_token", "bmc_password"}

func masked(v any, mask bool) any {
	if !mask {
		return v
	}
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			if out[key] = masked(inner, mask); slices.Contains(secretKeys, key) {
				out[key] = "***"
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = masked(inner, mask)
		}
		return out
	}
	return v
}

// items is what a loop goes over, with its fields filled in; nil for none. An object is one item.
func (r *run) items(loop any) []any {
	switch l := loop.(type) {
	case []any:
		filled, _ := r.names.fill(l).([]any)
		return filled
	case map[string]any:
		return []any{r.names.fill(l)}
	}
	return nil
}

// with adds the item of a loop.
func (r *run) with(item any) names {
	n := maps.Clone(r.names)
	n["item"] = item
	return n
}

// count bounds the work.
func (r *run) count() error {
	if r.runs++; r.runs > maxRuns {
		return fmt.Errorf("the rules come to more than %d conditions and actions for one inspection", maxRuns)
	}
	return nil
}

func copied(m map[string]any) map[string]any {
	out, _ := metal.CloneValue(m).(map[string]any)
	return out
}
