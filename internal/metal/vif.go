package metal

import (
	"slices"

	"ingot/internal/fault"
)

// VIF is a request to attach a network's port to a node. Port and Portgroup say which, "" for any that is free.
type VIF struct {
	ID        string `json:"id"`                  // name or UUID in the network service
	Port      string `json:"port,omitempty"`      // UUID
	Portgroup string `json:"portgroup,omitempty"` // UUID
	// Physical are the physical networks that the VIF's network is on; none: any, or it is not known.
	Physical []string `json:"-"`
}

// reaches tells whether a port may have the VIF: one that is not said to be on a physical network may have any.
func (v VIF) reaches(p *Port) bool {
	return len(v.Physical) == 0 || p.PhysicalNetwork == "" || slices.Contains(v.Physical, p.PhysicalNetwork)
}

// fits tells whether a port is better for the VIF than another one: it is on a physical network of the VIF's, or boots from
// the network.
func (v VIF) fits(p, than *Port) bool {
	if a, b := slices.Contains(v.Physical, p.PhysicalNetwork), slices.Contains(v.Physical, than.PhysicalNetwork); a != b {
		return a
	}
	return p.PXEEnabled && !than.PXEEnabled
}

// vifKey is where a port or port group keeps the VIF of its node's user, in internal_info.
// Source: lifecycle reference §14.
const vifKey = "tenant_vif_port_id"

// VIFOf is the VIF of the node's user that a port or port group has, "" for none. Old clients of Nova wrote it into
// extra.
func VIFOf(internal, extra map[string]any) string {
	if v, _ := internal[vifKey].(string); v != "" {
		return v
	}
	v, _ := extra["vif_port_id"].(string)
	return v
}

// VIFs lists the VIFs of a node, those of ports first.
func VIFs(ports []*Port, groups []*Portgroup) []string {
	out := []string{}
	for _, p := range ports {
		if v := VIFOf(p.InternalInfo, p.Extra); v != "" {
			out = append(out, v)
		}
	}
	for _, g := range groups {
		if v := VIFOf(g.InternalInfo, g.Extra); v != "" {
			out = append(out, v)
		}
	}
	return out
}

// AttachVIF notes a VIF in the port or the port group that suits it best, and gives the one that it changed: a port
// group goes before a port, one that is known to be on a physical network of the VIF's before others, then one that boots
// from the network. A VIF that is attached already is
// fault.Conflict, and where nothing is free fault.Invalid. Source of the order: OpenStack Ironic,
// ironic/drivers/modules/network/common.py.
func AttachVIF(v VIF, ports []*Port, groups []*Portgroup) (*Port, *Portgroup, error) {
	byGroup := map[string]int{} // free ports in groups
	used := map[string]bool{}   // groups of which a port is used by itself
	var free []*Port
	for _, p := range ports {
		switch has := VIFOf(p.InternalInfo, p.Extra); {
		case has == v.ID:
			return nil, nil, attached(v.ID, "Port", p.UUID)
		case has != "":
			used[p.PortgroupUUID] = true
		case !v.reaches(p):
		case p.PortgroupUUID == "":
			free = append(free, p)
		default:
			byGroup[p.PortgroupUUID]++
		}
	}
	var group *Portgroup
	for _, g := range groups {
		switch has := VIFOf(g.InternalInfo, g.Extra); {
		case has == v.ID:
			return nil, nil, attached(v.ID, "Portgroup", g.UUID)
		case has != "":
		case used[g.UUID]: // its other ports are used by themselves, too
			for _, p := range ports {
				if p.PortgroupUUID == g.UUID && VIFOf(p.InternalInfo, p.Extra) == "" && v.reaches(p) {
					free = append(free, p)
				}
			}
		case group == nil && byGroup[g.UUID] > 0 && v.Port == "" && (v.Portgroup == "" || v.Portgroup == g.UUID):
			group = g
		}
	}
	if group != nil {
		group.InternalInfo = withVIF(group.InternalInfo, v.ID)
		return nil, group, nil
	}
	var port *Port
	for _, p := range free {
		if v.Portgroup == "" && (v.Port == "" || v.Port == p.UUID) && (port == nil || v.fits(p, port)) {
			port = p
		}
	}
	if port == nil {
		return nil, nil, fault.New(fault.Invalid, "Unable to attach VIF %s, not enough free physical ports.", v.ID)
	}
	port.InternalInfo = withVIF(port.InternalInfo, v.ID)
	return port, nil, nil
}

func attached(vif, what, uuid string) error {
	return fault.New(fault.Conflict, "Unable to attach VIF because VIF %s is already attached to Ironic %s %s", vif, what, uuid)
}

func withVIF(info map[string]any, vif string) map[string]any {
	out := map[string]any{vifKey: vif}
	for k, v := range info {
		if k != vifKey {
			out[k] = v
		}
	}
	return out
}

// DetachVIF takes a VIF out of the port or the port group that has it and gives that; fault.Invalid if none has.
func DetachVIF(n *Node, vif string, ports []*Port, groups []*Portgroup) (*Port, *Portgroup, error) {
	for _, g := range groups {
		if VIFOf(g.InternalInfo, g.Extra) == vif {
			g.InternalInfo, g.Extra = without(g.InternalInfo, vifKey), without(g.Extra, "vif_port_id")
			return nil, g, nil
		}
	}
	for _, p := range ports {
		if VIFOf(p.InternalInfo, p.Extra) == vif {
			p.InternalInfo, p.Extra = without(p.InternalInfo, vifKey), without(p.Extra, "vif_port_id")
			return p, nil, nil
		}
	}
	return nil, nil, fault.New(fault.Invalid, "Unable to detach VIF %s from node %s because it is not attached to it.", vif, n.UUID)
}

func without(m map[string]any, key string) map[string]any {
	out := map[string]any{}
	for k, v := range m {
		if k != key {
			out[k] = v
		}
	}
	return out
}
