package api

import (
	"net/http"

	"ingot/internal/metal"
	"ingot/internal/wire"
)

func (c *call) listTemplates() (answer, error) {
	page, shape, err := listing(c, wire.DeployTemplateFields, false)
	if err != nil {
		return answer{}, err
	}
	found, err := c.s.Templates(c.r.Context(), page)
	if err != nil {
		return answer{}, err
	}
	out := make([]wire.DeployTemplate, len(found))
	for i, d := range found {
		out[i] = c.templateView(d)
	}
	next := c.next(page, len(found), func() string { return found[len(found)-1].UUID })
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "deploy_templates", out, shape, next)}, nil
}

// templateView is the template with secret-looking arguments masked.
func (c *call) templateView(d *metal.DeployTemplate) wire.DeployTemplate {
	return wire.DeployTemplate{UUID: d.UUID, Name: d.Name, Steps: showSteps(d.Steps, "priority", true), Extra: d.Extra, CreatedAt: wire.Time{Time: d.CreatedAt},
		UpdatedAt: wire.Time{Time: d.UpdatedAt}, Links: wire.Links(c.base(), "deploy_templates/"+d.UUID)}
}

func (c *call) oneTemplate(status int, d *metal.DeployTemplate, shape wire.Shape[wire.DeployTemplate]) answer {
	w := c.templateView(d)
	a := answer{status: status, raw: shape.Append(nil, &w)}
	if status == http.StatusCreated {
		a.location = "/v1/deploy_templates/" + d.UUID
	}
	return a
}

func (c *call) showTemplate() (answer, error) {
	shape, err := oneShape(c, wire.DeployTemplateFields)
	if err != nil {
		return answer{}, err
	}
	d, err := c.s.Template(c.r.Context(), c.r.PathValue("template"))
	if err != nil {
		return answer{}, err
	}
	return c.oneTemplate(http.StatusOK, d, shape), nil
}

// templateSetters has every field of a template that a caller may give.
func (c *call) templateSetters() map[string]setter[metal.DeployTemplate] {
	return map[string]setter[metal.DeployTemplate]{
		"uuid":  text(func(d *metal.DeployTemplate) *string { return &d.UUID }),
		"name":  text(func(d *metal.DeployTemplate) *string { return &d.Name }),
		"extra": object(func(d *metal.DeployTemplate) *map[string]any { return &d.Extra }),
		"steps": stepList(c, deployStepKeys, "priority", func(d *metal.DeployTemplate) *[]metal.Step { return &d.Steps }),
	}
}

func (c *call) createTemplate() (answer, error) {
	body, err := c.object()
	if err != nil {
		return answer{}, err
	}
	delete(body, "description") // taken and dropped, as upstream does
	d := &metal.DeployTemplate{}
	if err := newFrom(c, d, body, "deploy template", wire.DeployTemplateFields, c.templateSetters()); err != nil {
		return answer{}, err
	}
	made, err := c.s.CreateTemplate(c.r.Context(), c.caller(), d)
	if err != nil {
		return answer{}, err
	}
	return c.oneTemplate(http.StatusCreated, made, wire.Full(wire.DeployTemplateFields, c.minor)), nil
}

func (c *call) patchTemplate() (answer, error) {
	list, err := parsePatch(c.body, wire.DeployTemplateFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	changed, err := c.s.UpdateTemplate(c.r.Context(), c.caller(), c.r.PathValue("template"), func(d *metal.DeployTemplate) error {
		return applyPatch(d, list, wire.DeployTemplateFields, c.templateSetters())
	})
	if err != nil {
		return answer{}, err
	}
	return c.oneTemplate(http.StatusOK, changed, wire.Full(wire.DeployTemplateFields, c.minor)), nil
}

func (c *call) deleteTemplate() (answer, error) {
	if err := c.s.DeleteTemplate(c.r.Context(), c.caller(), c.r.PathValue("template")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
