package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/wire"
)

// operation is one checked entry of a PATCH body.
type operation struct {
	op, path string
	root     string // first token of path: the attribute
	nested   string // the rest, with its slash; "" for the attribute itself
	value    any
}

// pathForm is what upstream accepts as a path: no dots, no tildes, no empty token. Python's \w has letters
// of every script.
var pathForm = regexp.MustCompile(`^(/[\p{L}\p{N}_-]+)+$`)

// maxOps bounds what one request can make us compute.
const maxOps = 1000

// parsePatch reads a PATCH body and checks all of it that does not need the resource. Rules and their
// failures: rest-api reference §1.9.
func parsePatch[T any](body []byte, fields []wire.Field[T], minor int) ([]operation, error) {
	var raw []map[string]any
	if len(body) == 0 {
		return nil, invalid("A PATCH needs a JSON array of operations as its body.")
	}
	if err := json.Unmarshal(body, &raw); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return nil, invalid(`A PATCH needs a JSON array of operations, each like {"op": "add", "path": "/extra/rack", "value": "r1"}.`)
		}
		return nil, badJSON(err)
	}
	if raw == nil {
		return nil, invalid("A PATCH needs a JSON array of operations as its body, and not null.")
	}
	if len(raw) > maxOps {
		return nil, invalid("The patch has %d operations, and at most %d are taken at once.", len(raw), maxOps)
	}
	out := make([]operation, 0, len(raw))
	for i, entry := range raw {
		op, err := parseOp(entry, fields, minor)
		if err != nil {
			text, _ := fault.PublicOf(err)
			return nil, fault.New(fault.KindOf(err), "Operation %d of the patch: %s", i+1, text)
		}
		out = append(out, op)
	}
	return out, nil
}

func parseOp[T any](entry map[string]any, fields []wire.Field[T], minor int) (operation, error) {
	if err := unexpected(entry, "op path value"); err != nil {
		return operation{}, err
	}
	o := operation{value: entry["value"]}
	var ok bool
	if o.op, ok = entry["op"].(string); !ok || !slices.Contains([]string{"add", "replace", "remove"}, o.op) {
		return o, invalid("op must be add, replace or remove.")
	}
	if o.path, ok = entry["path"].(string); !ok || !pathForm.MatchString(o.path) {
		return o, invalid("path must be like /extra/rack: names of letters, digits, _ and -, each after a slash.")
	}
	if _, has := entry["value"]; !has && o.op != "remove" {
		return o, invalid("%s needs a value.", o.op)
	}
	root, rest, deep := strings.Cut(o.path[1:], "/")
	if o.root = root; deep {
		o.nested = "/" + rest
	}
	f, ok := wire.Find(fields, o.root)
	if !ok || !f.Is(wire.Patch) {
		return o, invalid("Cannot patch /%s. Only the following can be updated: %s", clip(o.root), patchable(fields, minor))
	}
	if f.Min > minor {
		return o, wire.TooNew("Field "+f.Name, f.Min, minor)
	}
	return o, nil
}

func patchable[T any](fields []wire.Field[T], minor int) string {
	var out []string
	for _, f := range fields {
		if f.Is(wire.Patch) && f.Min <= minor {
			out = append(out, "/"+f.Name)
		}
	}
	return strings.Join(out, ", ")
}

// applyPatch changes t by the operations, in order; on an error t may be half changed and must be dropped.
// It never changes a value that t shares with anybody: every touched attribute is rebuilt.
func applyPatch[T, W any](t *T, ops []operation, fields []wire.Field[W], setters map[string]setter[T]) error {
	values := map[string]any{}
	var roots []string
	for i := 0; i < len(ops); {
		o := ops[i]
		if _, seen := values[o.root]; !seen {
			values[o.root] = setters[o.root].get(t)
			roots = append(roots, o.root)
		}
		if o.nested == "" {
			values[o.root] = o.value
			if o.op == "remove" {
				values[o.root] = nil
			}
			i++
			continue
		}
		end := i + 1
		for end < len(ops) && ops[end].root == o.root && ops[end].nested != "" {
			end++
		}
		changed, err := applyNested(values[o.root], ops[i:end])
		if err != nil {
			return err
		}
		values[o.root], i = changed, end
	}
	for _, name := range roots {
		f, _ := wire.Find(fields, name) // parsePatch found it
		v, err := f.Check(values[name])
		if err != nil {
			return err
		}
		if m, ok := v.(map[string]any); ok && (name == "driver_info" || name == "instance_info") {
			stored, _ := setters[name].get(t).(map[string]any)
			if err := refuseMasked(m, stored, name); err != nil {
				return err
			}
		}
		if err := setters[name].set(t, v); err != nil {
			return err
		}
	}
	return nil
}

// applyNested runs operations inside one attribute. The library does what RFC 6902 says of arrays and
// missing keys; nobody is told the values.
func applyNested(doc any, ops []operation) (any, error) {
	before, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("marshal attribute to patch: %w", err)
	}
	wrong := func(o operation, why string) error {
		return invalid("Couldn't apply patch %s %s. Reason: %s", o.op, clip(o.path), why)
	}
	switch doc.(type) {
	case map[string]any, []any:
	default:
		return nil, wrong(ops[0], "there is nothing inside "+ops[0].root+" to change.")
	}
	patch := make(jsonpatch.Patch, 0, len(ops))
	for _, o := range ops {
		one, err := libraryOp(o)
		if err != nil {
			return nil, err
		}
		patch = append(patch, one)
	}
	options := jsonpatch.NewApplyOptions()
	options.SupportNegativeIndices = false
	after, err := patch.ApplyWithOptions(before, options)
	if err != nil {
		return nil, wrong(firstFailing(before, patch, ops, options), "its path does not exist, or does not fit what is there.")
	}
	switch {
	case len(after) > maxBody && len(after) > len(before):
		return nil, wrong(ops[len(ops)-1], fmt.Sprintf("%s would be larger than %d KiB.", ops[0].root, maxBody>>10))
	case deeper(after, maxDepth):
		return nil, wrong(ops[len(ops)-1], fmt.Sprintf("%s would be nested more than %d levels.", ops[0].root, maxDepth))
	}
	var out any
	if err := json.Unmarshal(after, &out); err != nil {
		return nil, fmt.Errorf("unmarshal patched attribute: %w", err)
	}
	return out, nil
}

func libraryOp(o operation) (jsonpatch.Operation, error) {
	one := jsonpatch.Operation{}
	fields := map[string]any{"op": o.op, "path": o.nested}
	if o.op != "remove" {
		fields["value"] = o.value
	}
	for k, v := range fields {
		j, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("marshal patch operation: %w", err)
		}
		raw := json.RawMessage(j)
		one[k] = &raw
	}
	return one, nil
}

// firstFailing finds which operation the library refused, by a binary search over prefixes: it does not say.
func firstFailing(doc []byte, patch jsonpatch.Patch, ops []operation, options *jsonpatch.ApplyOptions) operation {
	low, high := 0, len(ops)-1 // the first low operations work, the first high+1 do not
	for low < high {
		mid := (low + high) / 2
		if _, err := patch[:mid+1].ApplyWithOptions(doc, options); err == nil {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return ops[low]
}

// patchRules are the rules that stand over a patch of a node, each once.
func patchRules(ops []operation) []policy.Rule {
	var out []policy.Rule
	for _, o := range ops {
		value := o.value
		if o.nested != "" {
			value = nil
		}
		if r := policy.OfNodeField(o.root, value); !slices.Contains(out, r) {
			out = append(out, r)
		}
	}
	if out == nil {
		out = []policy.Rule{"node:update"}
	}
	return out
}

func (c *call) patchNode() (answer, error) {
	reset, err := c.boolParam("reset_interfaces")
	if err != nil {
		return answer{}, err
	}
	ops, err := parsePatch(c.body, wire.NodeFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	wantsReset := reset != nil && *reset
	if wantsReset && !slices.ContainsFunc(ops, func(o operation) bool { return o.root == "driver" }) {
		return answer{}, invalid("The reset_interfaces parameter can only be used when changing the node's driver.")
	}
	changed, err := c.s.UpdateNode(c.r.Context(), c.caller(), c.node(), patchRules(ops), wantsReset, func(n *metal.Node) error {
		if n.ProvisionState == metal.Inspecting && c.minor >= metal.SinceInspectLocks {
			return fault.New(fault.Conflict, "Cannot update node %s while it is in state %q.", n.UUID, n.ProvisionState)
		}
		name, chassis := n.Name, n.ChassisUUID
		if err := applyPatch(n, ops, wire.NodeFields, nodeSetters); err != nil {
			return err
		}
		if slices.ContainsFunc(ops, func(o operation) bool { return o.root == "network_data" }) {
			if err := c.checkNetworkData(n.NetworkData); err != nil {
				return err
			}
		}
		if chassis != "" && n.ChassisUUID == "" && c.minor < metal.SinceUnsetChassis {
			return wire.TooNew("Unsetting chassis_uuid", metal.SinceUnsetChassis, c.minor)
		}
		if n.Name != name && n.Name != "" || slices.ContainsFunc(ops, emptyName) {
			return wire.CheckNodeName(n.Name, c.minor)
		}
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	return c.oneNode(200, changed, wire.Full(wire.NodeFields, c.minor))
}

// emptyName tells whether an operation gives a node the name "". Who wants none removes it.
func emptyName(o operation) bool { return o.path == "/name" && o.op != "remove" && o.value == "" }

// intOf reads a whole number as the API's clients send it: a JSON number or digits in a string.
func intOf(v any) (int, bool) {
	switch v := v.(type) {
	case float64:
		return int(v), v == float64(int(v))
	case string:
		n, err := strconv.Atoi(v)
		return n, err == nil
	}
	return 0, false
}
