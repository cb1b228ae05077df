package api

import (
	"net/http"

	"ingot/internal/metal"
	"ingot/internal/wire"
)

func (c *call) listVIFs() (answer, error) {
	found, err := c.s.VIFs(c.r.Context(), c.caller(), c.node())
	if err != nil {
		return answer{}, err
	}
	type vif struct {
		ID string `json:"id"`
	}
	out := make([]vif, len(found))
	for i, id := range found {
		out[i].ID = id
	}
	return answer{status: http.StatusOK, json: map[string]any{"vifs": out}}, nil
}

// attachVIF takes any further keys, as upstream: they are for the network service.
func (c *call) attachVIF() (answer, error) {
	args, err := c.object()
	if err != nil {
		return answer{}, err
	}
	var v metal.VIF
	if v.ID, err = textArg(args, "id", true); err != nil {
		return answer{}, err
	}
	if !wire.IsIdent(v.ID) {
		return answer{}, invalid("Expected a UUID or name as the id of the VIF, and got %q.", clip(v.ID))
	}
	if c.minor >= metal.SinceVIFPorts {
		for name, into := range map[string]*string{"port_uuid": &v.Port, "portgroup_uuid": &v.Portgroup} {
			if *into, err = textArg(args, name, false); err != nil {
				return answer{}, err
			}
			if *into != "" && !wire.IsUUID(*into) {
				return answer{}, invalid("Expected a UUID for %s, and got %q.", name, clip(*into))
			}
		}
		if v.Port != "" && v.Portgroup != "" {
			return answer{}, invalid("Cannot specify both port_uuid and portgroup_uuid.")
		}
	}
	if err := c.s.AttachVIF(c.r.Context(), c.caller(), c.node(), v); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}

func (c *call) detachVIF() (answer, error) {
	if err := c.s.DetachVIF(c.r.Context(), c.caller(), c.node(), c.r.PathValue("vif")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
