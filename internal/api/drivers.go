package api

import (
	"net/http"

	"ingot/internal/fault"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

func (c *call) driverView(d ops.Driver) wire.Driver {
	w := wire.Driver{Name: d.Name, Hosts: d.Hosts, Type: "dynamic", Links: wire.Links(c.base(), "drivers/"+d.Name),
		Properties: wire.Links(c.base(), "drivers/"+d.Name+"/properties"), Default: map[string]string{}, Enabled: d.Interfaces}
	for kind := range d.Interfaces {
		w.Default[kind] = d.HardwareType.Default(kind)
	}
	return w
}

func (c *call) listDrivers() (answer, error) {
	shape, err := shaping(c, wire.DriverFields, false)
	if err != nil {
		return answer{}, err
	}
	kind := c.param("type")
	if kind != "" && kind != "classic" && kind != "dynamic" {
		return answer{}, invalid("Driver type must be one of classic, dynamic.")
	}
	out := []wire.Driver{}
	if kind != "classic" {
		all, err := c.s.Drivers(c.r.Context())
		if err != nil {
			return answer{}, err
		}
		for _, d := range all {
			out = append(out, c.driverView(d))
		}
	}
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "drivers", out, shape, "")}, nil
}

// driver is the one the path names.
func (c *call) driver() (ops.Driver, error) {
	name := c.r.PathValue("driver")
	all, err := c.s.Drivers(c.r.Context())
	if err != nil {
		return ops.Driver{}, err
	}
	for _, d := range all {
		if d.Name == name {
			return d, nil
		}
	}
	return ops.Driver{}, fault.New(fault.NotFound, "Could not find the following driver(s) or hardware type(s): %s.", clip(name))
}

func (c *call) showDriver() (answer, error) {
	shape, err := oneShape(c, wire.DriverFields)
	if err != nil {
		return answer{}, err
	}
	d, err := c.driver()
	if err != nil {
		return answer{}, err
	}
	w := c.driverView(d)
	return answer{status: http.StatusOK, raw: shape.Append(nil, &w)}, nil
}

func (c *call) driverProperties() (answer, error) {
	d, err := c.driver()
	if err != nil {
		return answer{}, err
	}
	out := map[string]string{}
	for _, f := range d.Fields {
		out[f.Name] = f.Description
		if f.Required {
			out[f.Name] += " Required."
		}
	}
	return answer{status: http.StatusOK, json: out}, nil
}

func (c *call) conductorView(k ops.Conductor) wire.Conductor {
	return wire.Conductor{Hostname: k.Hostname, ConductorGroup: k.Group, Alive: k.Alive, Drivers: k.Drivers, CreatedAt: wire.Time{Time: k.CreatedAt},
		UpdatedAt: wire.Time{Time: k.UpdatedAt}, Links: wire.Links(c.base(), "conductors/"+k.Hostname)}
}

func (c *call) listConductors() (answer, error) {
	page, shape, err := listing(c, wire.ConductorFields, false)
	if err != nil {
		return answer{}, err
	}
	all, err := c.s.Conductors(c.r.Context())
	if err != nil {
		return answer{}, err
	}
	if all, err = pageOf(all, page); err != nil {
		return answer{}, err
	}
	out := make([]wire.Conductor, len(all))
	for i, k := range all {
		out[i] = c.conductorView(k)
	}
	next := c.next(page, len(all), func() string { return all[len(all)-1].Hostname })
	return answer{status: http.StatusOK, raw: wire.AppendList(nil, "conductors", out, shape, next)}, nil
}

func (c *call) showConductor() (answer, error) {
	shape, err := oneShape(c, wire.ConductorFields)
	if err != nil {
		return answer{}, err
	}
	name := c.r.PathValue("hostname")
	all, err := c.s.Conductors(c.r.Context())
	if err != nil {
		return answer{}, err
	}
	for _, k := range all {
		if k.Hostname == name {
			w := c.conductorView(k)
			return answer{status: http.StatusOK, raw: shape.Append(nil, &w)}, nil
		}
	}
	return answer{}, fault.New(fault.NotFound, "Conductor %s could not be found.", clip(name))
}
