package api

import (
	"net/http"

	"ingot/internal/metal"
	"ingot/internal/wire"
)

var chassis = resource[metal.Chassis, wire.Chassis]{
	word: "chassis", key: "chassis", path: "chassis", fields: wire.ChassisFields, view: (*call).chassisView,
	uuid: func(v *metal.Chassis) *string { return &v.UUID },
	setters: map[string]setter[metal.Chassis]{
		"uuid":        text(func(v *metal.Chassis) *string { return &v.UUID }), // ops refuses another one
		"description": text(func(v *metal.Chassis) *string { return &v.Description }),
		"extra":       object(func(v *metal.Chassis) *map[string]any { return &v.Extra }),
	},
}

func (c *call) chassisView(v *metal.Chassis) wire.Chassis {
	return wire.Chassis{UUID: v.UUID, Description: v.Description, Extra: v.Extra, CreatedAt: wire.Time{Time: v.CreatedAt},
		UpdatedAt: wire.Time{Time: v.UpdatedAt}, Links: wire.Links(c.base(), "chassis/"+v.UUID),
		Nodes: [][]wire.Link{wire.Links(c.base(), "chassis/"+v.UUID+"/nodes")}}
}

func (c *call) listChassis() (answer, error) { return c.chassis(false) }

func (c *call) detailChassis() (answer, error) { return c.chassis(true) }

func (c *call) chassis(all bool) (answer, error) {
	page, shape, err := listing(c, wire.ChassisFields, all)
	if err != nil {
		return answer{}, err
	}
	found, err := c.s.ChassisList(c.r.Context(), page)
	if err != nil {
		return answer{}, err
	}
	return chassis.page(c, page, shape, found, false), nil
}

func (c *call) showChassis() (answer, error) {
	return chassis.show(c, func() (*metal.Chassis, error) { return c.s.Chassis(c.r.Context(), c.r.PathValue("uuid")) })
}

func (c *call) createChassis() (answer, error) {
	v := &metal.Chassis{}
	if err := chassis.read(c, v); err != nil {
		return answer{}, err
	}
	made, err := c.s.CreateChassis(c.r.Context(), c.caller(), v)
	if err != nil {
		return answer{}, err
	}
	return chassis.made(c, made), nil
}

func (c *call) patchChassis() (answer, error) {
	list, err := parsePatch(c.body, wire.ChassisFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	changed, err := c.s.UpdateChassis(c.r.Context(), c.r.PathValue("uuid"), func(v *metal.Chassis) error { return chassis.change(v, list) })
	if err != nil {
		return answer{}, err
	}
	return chassis.full(c, changed), nil
}

func (c *call) deleteChassis() (answer, error) {
	if err := c.s.DeleteChassis(c.r.Context(), c.caller(), c.r.PathValue("uuid")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
