package vswitch

import (
	"context"
	"fmt"
	"net/url"
	"slices"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// socket is a port of a switch.
type socket struct{ Switch, Port string }

func (s socket) String() string { return fmt.Sprintf("port %s of switch %s", s.Port, s.Switch) }

func (s socket) query() url.Values {
	return url.Values{"switch_id": {s.Switch}, "port_id": {s.Port}}
}

// setting is what a port is set to: a network, "" for isolated, and the node whose port it is, "" for nobody's.
type setting struct{ network, owner string }

// nic is one NIC of a node with its place.
type nic struct {
	*metal.Port
	at socket
}

// nics finds where the NICs of a node are cabled to.
func nics(n *metal.Node, w metal.Wiring) ([]nic, error) {
	var out []nic
	seen := map[socket]string{}
	for _, p := range w.Ports {
		if p.LocalLinkConnection["network_type"] == "unmanaged" {
			continue // the operator says that no switch of ours has it
		}
		s := socket{}
		s.Switch, _ = p.LocalLinkConnection["switch_id"].(string)
		s.Port, _ = p.LocalLinkConnection["port_id"].(string)
		if !nameForm(s.Switch) || !nameForm(s.Port) {
			return nil, fault.New(fault.Invalid, "Port %s (%s) does not say where it is cabled to: set local_link_connection switch_id and port_id, "+
				"or network_type unmanaged if no switch of this API has it.", p.UUID, p.Address)
		}
		if other := seen[s]; other != "" {
			return nil, fault.New(fault.Invalid, "Ports %s and %s of node %s name the same %s in local_link_connection.", other, p.UUID, n.UUID, s)
		}
		seen[s] = p.UUID
		out = append(out, nic{p, s})
	}
	return out, nil
}

// change leads one port from what it was to something else.
type change struct {
	at       socket
	revision string
	from, to setting
}

func (c change) String() string {
	if c.to.network == "" {
		return fmt.Sprintf("isolate %s", c.at)
	}
	return fmt.Sprintf("put %s on network %s", c.at, c.to.network)
}

// aims says where the NICs of a node belong in a role.
func (d *Driver) aims(n *metal.Node, w metal.Wiring, list []nic, role metal.NetworkRole) (map[socket]setting, error) {
	out := map[socket]setting{}
	network := ""
	if role != metal.TenantNetwork {
		var err error
		if network, err = d.names.Need(n, role, "vswitch"); err != nil {
			return nil, err
		}
	}
	used := 0
	for _, p := range list {
		to := d.idle(n)
		switch vif := vifOf(w, p.Port); {
		case role != metal.TenantNetwork && boots(w, p.Port):
			to = setting{network, n.UUID}
		case role == metal.TenantNetwork && vif != "":
			to = setting{vif, n.UUID}
		}
		if to.network != "" && to != d.idle(n) {
			used++
		}
		out[p.at] = to
	}
	if used == 0 && role != metal.TenantNetwork {
		return nil, fault.New(fault.Invalid, "No NIC of node %s can be on the %s network: enrol a port with pxe_enabled, and with local_link_connection.", n.UUID, role)
	}
	return out, nil
}

// idle is where a port without use is.
func (d *Driver) idle(n *metal.Node) setting {
	if d.config.IdleNetwork == "" {
		return setting{}
	}
	return setting{d.config.IdleNetwork, n.UUID}
}

// boots tells whether a NIC boots from the network, or one beside it in its port group.
func boots(w metal.Wiring, p *metal.Port) bool {
	return slices.ContainsFunc(w.Ports, func(q *metal.Port) bool {
		return q.PXEEnabled && (q.UUID == p.UUID || p.PortgroupUUID != "" && q.PortgroupUUID == p.PortgroupUUID)
	})
}

// vifOf is the VIF of a NIC, or that of its port group.
func vifOf(w metal.Wiring, p *metal.Port) string {
	if v := metal.VIFOf(p.InternalInfo, p.Extra); v != "" {
		return v
	}
	for _, g := range w.Groups {
		if g.UUID == p.PortgroupUUID {
			return metal.VIFOf(g.InternalInfo, g.Extra)
		}
	}
	return ""
}

// read shows each port, and refuses what is another node's.
func (d *Driver) read(ctx context.Context, n *metal.Node, list []nic) (map[socket]portState, error) {
	out := map[socket]portState{}
	for _, p := range list {
		state, err := d.client.port(ctx, p.at)
		if err != nil {
			return nil, err
		}
		if err := ours(n, p.at, state); err != nil {
			return nil, err
		}
		out[p.at] = state
	}
	return out, nil
}

func ours(n *metal.Node, s socket, state portState) error {
	if state.Owner != "" && state.Owner != n.UUID {
		return fault.New(fault.Conflict, "%s is in use by node %s and is not touched: either local_link_connection of node %s is wrong, or that node has to release it.",
			upper(s.String()), state.Owner, n.UUID)
	}
	return nil
}

func upper(s string) string { return "P" + s[1:] } // "port …" at the beginning of a sentence

// plan is the list of changes that lead from what was read to the aims, isolation first: no machine is on two networks
// in between.
func plan(list []nic, states map[socket]portState, aims map[socket]setting) []change {
	var out []change
	for _, p := range list {
		to, have := aims[p.at]
		state := states[p.at]
		from := setting{state.network(), state.Owner}
		if have && from != to {
			out = append(out, change{p.at, state.Revision, from, to})
		}
	}
	slices.SortStableFunc(out, func(a, b change) int {
		switch ai, bi := a.to.network == "", b.to.network == ""; {
		case ai && !bi:
			return -1
		case bi && !ai:
			return 1
		}
		return 0
	})
	return out
}
