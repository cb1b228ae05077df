package api

import (
	"net/http"
	"slices"

	"ingot/internal/metal"
	"ingot/internal/ops"
	"ingot/internal/wire"
)

var portgroups = resource[metal.Portgroup, wire.Portgroup]{
	word: "portgroup", key: "portgroups", path: "portgroups", fields: wire.PortgroupFields, view: (*call).portgroupView, needs: []string{"node_uuid"},
	uuid: func(g *metal.Portgroup) *string { return &g.UUID },
	setters: map[string]setter[metal.Portgroup]{
		"node_uuid":                  text(func(g *metal.Portgroup) *string { return &g.NodeUUID }),
		"address":                    text(func(g *metal.Portgroup) *string { return &g.Address }),
		"name":                       text(func(g *metal.Portgroup) *string { return &g.Name }),
		"extra":                      object(func(g *metal.Portgroup) *map[string]any { return &g.Extra }),
		"standalone_ports_supported": flag(func(g *metal.Portgroup) *bool { return &g.StandalonePorts }),
		"mode":                       text(func(g *metal.Portgroup) *string { return &g.Mode }),
		"properties":                 object(func(g *metal.Portgroup) *map[string]any { return &g.Properties }),
		"physical_network":           text(func(g *metal.Portgroup) *string { return &g.PhysicalNetwork }),
		"category":                   text(func(g *metal.Portgroup) *string { return &g.Category }),
	},
}

func (c *call) portgroupView(g *metal.Portgroup) wire.Portgroup {
	return wire.Portgroup{UUID: g.UUID, NodeUUID: g.NodeUUID, Address: g.Address, Name: g.Name, Extra: g.Extra, InternalInfo: maskSecrets(g.InternalInfo),
		StandalonePortsSupported: g.StandalonePorts, Mode: g.Mode, Properties: g.Properties, PhysicalNetwork: g.PhysicalNetwork, Category: g.Category,
		DynamicPortgroup: g.Dynamic, CreatedAt: wire.Time{Time: g.CreatedAt}, UpdatedAt: wire.Time{Time: g.UpdatedAt},
		Links: wire.Links(c.base(), "portgroups/"+g.UUID), Ports: wire.Links(c.base(), "portgroups/"+g.UUID+"/ports")}
}

func (c *call) listPortgroups() (answer, error) { return c.portgroups(false, "") }

func (c *call) detailPortgroups() (answer, error) { return c.portgroups(true, "") }

func (c *call) nodePortgroups() (answer, error) { return c.portgroups(false, c.node()) }

func (c *call) nodePortgroupsDetail() (answer, error) { return c.portgroups(true, c.node()) }

// portgroups lists port groups, those of one node if it is named by the path.
func (c *call) portgroups(all bool, node string) (answer, error) {
	page, shape, err := listing(c, wire.PortgroupFields, all)
	if err != nil {
		return answer{}, err
	}
	given := 0
	for _, name := range []string{"node", "address", "shard", "conductor_groups"} {
		if c.param(name) != "" {
			given++
		}
	}
	mac, isMAC := wire.ParseMAC(c.param("address"))
	switch {
	case given > 1:
		return answer{}, invalid("The parameters node, address, shard and conductor_groups exclude each other.")
	case c.has("address") && !isMAC:
		return answer{}, invalid("Expected a MAC address for address.")
	}
	q := ops.PortgroupQuery{Page: page, Node: node, Address: mac, Shards: c.listParam("shard"), Groups: c.listParam("conductor_groups")}
	if node == "" {
		if q.Node, err = c.nodeParam("node"); err != nil {
			return answer{}, err
		}
	}
	found, err := c.s.Portgroups(c.r.Context(), c.caller(), q)
	if err != nil {
		return answer{}, err
	}
	return portgroups.page(c, page, shape, found, q.Address != ""), nil
}

func (c *call) showPortgroup() (answer, error) {
	return portgroups.show(c, func() (*metal.Portgroup, error) {
		return c.s.Portgroup(c.r.Context(), c.caller(), c.r.PathValue("portgroup"))
	})
}

func (c *call) createPortgroup() (answer, error) {
	g := &metal.Portgroup{StandalonePorts: true}
	if err := portgroups.read(c, g); err != nil {
		return answer{}, err
	}
	if err := checkPortgroupName(g.Name); err != nil {
		return answer{}, err
	}
	made, err := c.s.CreatePortgroup(c.r.Context(), c.caller(), g)
	if err != nil {
		return answer{}, err
	}
	return portgroups.made(c, made), nil
}

func checkPortgroupName(name string) error {
	if name != "" && !wire.IsName(name) {
		return invalid("Cannot create portgroup with invalid name %q: use letters, digits and . _ ~ -, at most 255, and nothing that looks like a UUID.", clip(name))
	}
	return nil
}

func (c *call) patchPortgroup() (answer, error) {
	list, err := parsePatch(c.body, wire.PortgroupFields, c.minor)
	if err != nil {
		return answer{}, err
	}
	changed, err := c.s.UpdatePortgroup(c.r.Context(), c.caller(), c.r.PathValue("portgroup"), func(g *metal.Portgroup) error {
		name := g.Name
		if err := portgroups.change(g, list); err != nil {
			return err
		}
		if g.Mode == "" && slices.ContainsFunc(list, func(o operation) bool { return o.root == "mode" }) {
			return invalid("The mode of a portgroup cannot be removed: give another, such as %s.", metal.BondMode)
		}
		if g.Name != name {
			return checkPortgroupName(g.Name)
		}
		return nil
	})
	if err != nil {
		return answer{}, err
	}
	return portgroups.full(c, changed), nil
}

func (c *call) deletePortgroup() (answer, error) {
	if err := c.s.DeletePortgroup(c.r.Context(), c.caller(), c.r.PathValue("portgroup")); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
