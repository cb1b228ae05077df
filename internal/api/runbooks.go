package api

import (
	"net/http"
	"slices"

	"ingot/internal/metal"
	"ingot/internal/policy"
	"ingot/internal/wire"
)

func (c *call) listRunbooks() (answer, error) {
	page, shape, err := listing(c, wire.RunbookFields, false)
	if err != nil {
		return answer{}, err
	}
	mine, err := c.boolParam("project")
	if err != nil {
		return answer{}, err
	}
	found, err := c.s.Runbooks(c.r.Context(), c.caller(), mine != nil && *mine, page)
	if err != nil {
		return answer{}, err
	}
	out := make([]wire.Runbook, len(found))
	for i, r := range found {
		out[i] = c.runbookView(r)
	}
	next := c.next(page, len(found), func() string { return found[len(found)-1].UUID })
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "runbooks", out, shape, next)}, nil
}

// runbookView is the runbook with secret-looking arguments masked.
func (c *call) runbookView(r *metal.Runbook) wire.Runbook {
	return wire.Runbook{UUID: r.UUID, Name: r.Name, Description: r.Description, Steps: showSteps(r.Steps, "order", true), DisableRamdisk: r.DisableRamdisk,
		Extra: r.Extra, Public: r.Public, Owner: r.Owner, Traits: r.Traits, CreatedAt: wire.Time{Time: r.CreatedAt},
		UpdatedAt: wire.Time{Time: r.UpdatedAt}, Links: wire.Links(c.base(), "runbooks/"+r.UUID)}
}

func (c *call) oneRunbook(status int, r *metal.Runbook, shape wire.Shape[wire.Runbook]) answer {
	w := c.runbookView(r)
	a := answer{status: status, raw: shape.Append(nil, &w)}
	if status == http.StatusCreated {
		a.location = "/v1/runbooks/" + r.UUID
	}
	return a
}

func (c *call) runbook() string { return c.r.PathValue("runbook") }

func (c *call) showRunbook() (answer, error) {
	shape, err := oneShape(c, wire.RunbookFields)
	if err != nil {
		return answer{}, err
	}
	r, err := c.s.Runbook(c.r.Context(), c.caller(), c.runbook())
	if err != nil {
		return answer{}, err
	}
	return c.oneRunbook(http.StatusOK, r, shape), nil
}

// runbookSetters has every field of a runbook that a caller may give.
func (c *call) runbookSetters() map[string]setter[metal.Runbook] {
	return map[string]setter[metal.Runbook]{
		"uuid":            text(func(r *metal.Runbook) *string { return &r.UUID }),
		"name":            text(func(r *metal.Runbook) *string { return &r.Name }),
		"description":     text(func(r *metal.Runbook) *string { return &r.Description }),
		"disable_ramdisk": flag(func(r *metal.Runbook) *bool { return &r.DisableRamdisk }),
		"public":          flag(func(r *metal.Runbook) *bool { return &r.Public }),
		"owner":           text(func(r *metal.Runbook) *string { return &r.Owner }),
		"extra":           object(func(r *metal.Runbook) *map[string]any { return &r.Extra }),
		"steps":           stepList(c, runbookStepKeys, "order", func(r *metal.Runbook) *[]metal.Step { return &r.Steps }),
	}
}

func (c *call) createRunbook() (answer, error) {
	body, err := c.object()
	if err != nil {
		return answer{}, err
	}
	r := &metal.Runbook{}
	if err := newFrom(c, r, body, "runbook", wire.RunbookFields, c.runbookSetters()); err != nil {
		return answer{}, err
	}
	made, err := c.s.CreateRunbook(c.r.Context(), c.caller(), r)
	if err != nil {
		return answer{}, err
	}
	return c.oneRunbook(http.StatusCreated, made, wire.Full(wire.RunbookFields, c.minor)), nil
}

// runbookPatchRules are the rules over the attributes of a runbook; the others are runbook:update's. Source: RBAC reference §6.
var runbookPatchRules = map[string]policy.Rule{"owner": "runbook:update:owner", "public": "runbook:update:public"}

func (c *call) patchRunbook() (answer, error) {
	list, err := parsePatch(c.body, wire.RunbookFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	var rules []policy.Rule
	for _, o := range list {
		rule, own := runbookPatchRules[o.root]
		if !own {
			rule = "runbook:update"
		}
		if !slices.Contains(rules, rule) {
			rules = append(rules, rule)
		}
	}
	if len(rules) == 0 {
		rules = []policy.Rule{"runbook:update"}
	}
	changed, err := c.s.UpdateRunbook(c.r.Context(), c.caller(), c.runbook(), rules, func(r *metal.Runbook) error {
		return applyPatch(r, list, wire.RunbookFields, c.runbookSetters())
	})
	if err != nil {
		return answer{}, err
	}
	return c.oneRunbook(http.StatusOK, changed, wire.Full(wire.RunbookFields, c.minor)), nil
}

func (c *call) deleteRunbook() (answer, error) {
	return c.noContent(c.s.DeleteRunbook(c.r.Context(), c.caller(), c.runbook()))
}

func (c *call) listRunbookTraits() (answer, error) {
	r, err := c.s.Runbook(c.r.Context(), c.caller(), c.runbook())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, json: map[string]any{"traits": append([]string{}, r.Traits...)}}, nil
}

func (c *call) setRunbookTraits() (answer, error) {
	want, err := c.traitsArg()
	if err != nil {
		return answer{}, err
	}
	return c.changeRunbookTraits(func([]string) []string { return want })
}

func (c *call) addRunbookTrait() (answer, error) {
	if len(c.body) > 0 {
		return answer{}, invalid("A trait is added by its path; the request takes no body.")
	}
	trait := c.r.PathValue("trait")
	a, err := c.changeRunbookTraits(func(have []string) []string { return append(have, trait) })
	a.location = "/v1/runbooks/" + c.runbook() + "/traits/" + trait
	return a, err
}

func (c *call) clearRunbookTraits() (answer, error) {
	return c.changeRunbookTraits(func([]string) []string { return nil })
}

func (c *call) dropRunbookTrait() (answer, error) {
	trait := c.r.PathValue("trait")
	return c.changeRunbookTraits(func(have []string) []string {
		return slices.DeleteFunc(have, func(t string) bool { return t == trait })
	})
}

func (c *call) changeRunbookTraits(change func([]string) []string) (answer, error) {
	_, err := c.s.ChangeRunbookTraits(c.r.Context(), c.caller(), c.runbook(), change)
	return c.noContent(err)
}
