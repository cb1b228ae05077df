package api

import (
	"encoding/json"
	"net/http"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/wire"
)

func (c *call) listRules() (answer, error) {
	page, shape, err := listing(c, wire.InspectionRuleFields, false)
	if err != nil {
		return answer{}, err
	}
	found, err := c.s.Rules(c.r.Context(), page)
	if err != nil {
		return answer{}, err
	}
	out := make([]wire.InspectionRule, len(found))
	for i, r := range found {
		out[i] = c.ruleView(r)
	}
	next := c.next(page, len(found), func() string { return found[len(found)-1].UUID })
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "inspection_rules", out, shape, next)}, nil
}

// ruleView is the rule with secret-looking arguments masked. Upstream's links say /v1/inspection/…, where nothing is.
func (c *call) ruleView(r *metal.InspectionRule) wire.InspectionRule {
	w := wire.InspectionRule{UUID: r.UUID, Description: r.Description, Priority: r.Priority, Phase: r.Phase, Sensitive: r.Sensitive,
		CreatedAt: wire.Time{Time: r.CreatedAt}, UpdatedAt: wire.Time{Time: r.UpdatedAt}, Links: wire.Links(c.base(), "inspection_rules/"+r.UUID)}
	if !r.Sensitive {
		w.Conditions, w.Actions = maskValue(ruleList(r.Conditions)), maskValue(ruleList(r.Actions))
	}
	return w
}

func (c *call) oneRule(status int, r *metal.InspectionRule, shape wire.Shape[wire.InspectionRule]) answer {
	w := c.ruleView(r)
	a := answer{status: status, raw: shape.Append(nil, &w)}
	if status == http.StatusCreated {
		a.location = "/v1/inspection_rules/" + r.UUID
	}
	return a
}

func (c *call) showRule() (answer, error) {
	shape, err := oneShape(c, wire.InspectionRuleFields)
	if err != nil {
		return answer{}, err
	}
	r, err := c.s.Rule(c.r.Context(), c.r.PathValue("uuid"))
	if err != nil {
		return answer{}, err
	}
	return c.oneRule(http.StatusOK, r, shape), nil
}

// ruleSetters has every field of a rule that a caller may give.
var ruleSetters = map[string]setter[metal.InspectionRule]{
	"uuid":        text(func(r *metal.InspectionRule) *string { return &r.UUID }),
	"description": text(func(r *metal.InspectionRule) *string { return &r.Description }),
	"phase":       text(func(r *metal.InspectionRule) *string { return &r.Phase }),
	"priority": {get: func(r *metal.InspectionRule) any { return r.Priority }, set: func(r *metal.InspectionRule, v any) error {
		r.Priority, _ = v.(int)
		return nil
	}},
	"sensitive": {get: func(r *metal.InspectionRule) any { return r.Sensitive }, set: func(r *metal.InspectionRule, v any) error {
		on, _ := v.(bool)
		if r.Sensitive && !on {
			return invalid("A sensitive inspection rule cannot be made visible again: delete it and create another.")
		}
		r.Sensitive = on
		return nil
	}},
	"conditions": ruleOps("conditions", func(r *metal.InspectionRule) *[]metal.RuleOp { return &r.Conditions }),
	"actions":    ruleOps("actions", func(r *metal.InspectionRule) *[]metal.RuleOp { return &r.Actions }),
}

// ruleOps is one of a rule's two lists.
func ruleOps(name string, at func(*metal.InspectionRule) *[]metal.RuleOp) setter[metal.InspectionRule] {
	return setter[metal.InspectionRule]{
		get: func(r *metal.InspectionRule) any { return ruleList(*at(r)) },
		set: func(r *metal.InspectionRule, v any) (err error) {
			list, _ := v.([]any)
			*at(r), err = readRuleOps(name, list)
			return err
		},
	}
}

// ruleList is a list of conditions or actions as a caller gives it.
func ruleList(list []metal.RuleOp) []any {
	out := make([]any, len(list))
	for i, o := range list {
		m := map[string]any{"op": o.Op, "args": o.Args}
		if o.Loop != nil {
			m["loop"] = o.Loop
		}
		if o.Multiple != "" {
			m["multiple"] = o.Multiple
		}
		out[i] = m
	}
	return out
}

func readRuleOps(name string, list []any) ([]metal.RuleOp, error) {
	out := make([]metal.RuleOp, len(list))
	for i, v := range list {
		m, ok := v.(map[string]any)
		if !ok {
			return nil, invalid("Invalid %s: entry %d must be an object with op and args.", name, i+1)
		}
		keys := "op args loop"
		if name == "conditions" {
			keys += " multiple"
		}
		if err := unexpected(m, keys); err != nil {
			return nil, err
		}
		if masked(v) {
			return nil, invalid("Invalid %s: entry %d has a masked value (%s) among its arguments; give the real one.", name, i+1, secret.Mask)
		}
		b, err := json.Marshal(m)
		if err == nil {
			err = json.Unmarshal(b, &out[i])
		}
		if err != nil || out[i].Op == "" || out[i].Args == nil {
			return nil, invalid("Invalid %s: entry %d needs op, a string, and args, an object or a list.", name, i+1)
		}
	}
	return out, nil
}

func (c *call) createRule() (answer, error) {
	body, err := c.object()
	if err != nil {
		return answer{}, err
	}
	r := &metal.InspectionRule{}
	for key, v := range body {
		f, ok := wire.Find(wire.InspectionRuleFields, key)
		if !ok || !f.Is(wire.Create) {
			return answer{}, invalid("Schema error for inspection rule: %q cannot be given when it is created.", clip(key))
		}
		checked, err := f.Check(v)
		if err != nil {
			return answer{}, err
		}
		if err := ruleSetters[key].set(r, checked); err != nil {
			return answer{}, err
		}
	}
	made, err := c.s.CreateRule(c.r.Context(), c.caller(), r)
	if err != nil {
		return answer{}, err
	}
	return c.oneRule(http.StatusCreated, made, wire.Full(wire.InspectionRuleFields, c.minor)), nil
}

func (c *call) patchRule() (answer, error) {
	list, err := parsePatch(c.body, wire.InspectionRuleFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	changed, err := c.s.UpdateRule(c.r.Context(), c.caller(), c.r.PathValue("uuid"), func(r *metal.InspectionRule) error {
		return applyPatch(r, list, wire.InspectionRuleFields, ruleSetters)
	})
	if err != nil {
		return answer{}, err
	}
	return c.oneRule(http.StatusOK, changed, wire.Full(wire.InspectionRuleFields, c.minor)), nil
}

func (c *call) deleteRule() (answer, error) {
	if err := c.s.DeleteRule(c.r.Context(), c.caller(), c.r.PathValue("uuid")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
