package neutron

import (
	"context"
	"errors"
	"strings"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// binding is how a network interface binds the VIFs of a node's user.
type binding struct {
	links bool // tells which switch ports they are behind
	await bool // until they are ACTIVE
	need  bool // a node without VIFs is an error
}

// place is the NIC, or the port group, that has a VIF.
type place struct {
	vif     string
	address string // MAC; "": the group has none of its own
	group   *metal.Portgroup
	nics    []*metal.Port // the NIC, or those of the group
}

// places are all that have a VIF.
func places(w metal.Wiring) []place {
	var out []place
	for _, p := range w.Ports {
		if vif := metal.VIFOf(p.InternalInfo, p.Extra); vif != "" {
			out = append(out, place{vif: vif, address: p.Address, nics: []*metal.Port{p}})
		}
	}
	for _, g := range w.Groups {
		if vif := metal.VIFOf(g.InternalInfo, g.Extra); vif != "" {
			at := place{vif: vif, address: g.Address, group: g}
			for _, p := range w.Ports {
				if p.PortgroupUUID == g.UUID {
					at.nics = append(at.nics, p)
				}
			}
			out = append(out, at)
		}
	}
	return out
}

// attrs is what a VIF gets to be bound to the node.
func (b binding) attrs(n *metal.Node, at place) attrs {
	a := attrs{"binding:host_id": n.UUID, "binding:vnic_type": vnicBaremetal}
	if at.address != "" {
		a["mac_address"] = at.address
	}
	if !b.links {
		return a
	}
	p := profile(at.nics...)
	if at.group != nil {
		p["local_group_information"] = groupInformation(at.group)
	}
	a["binding:profile"] = p
	if at.group == nil {
		if id := clientID(at.nics[0]); id != "" {
			a["extra_dhcp_opts"] = []dhcpOption{{Name: optionClientID, Value: id}}
		}
	}
	return a
}

// groupInformation tells whoever binds the port how the NICs of a group work together. Source: OpenStack Ironic,
// ironic/common/neutron.py: options of the bonding driver begin with bond_.
func groupInformation(g *metal.Portgroup) map[string]any {
	options := map[string]any{}
	for k, v := range g.Properties {
		if !strings.HasPrefix(k, "bond") {
			k = "bond_" + k
		}
		options[k] = v
	}
	return map[string]any{"id": g.UUID, "name": g.Name, "bond_mode": g.Mode, "bond_properties": options}
}

// bindAll binds the VIFs of a node's user to it. One that fails is logged, unless all do.
func (d *Driver) bindAll(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole, b binding) (metal.Notes, string, error) {
	all := places(w)
	if len(all) == 0 {
		if b.need {
			return nil, "", fault.New(fault.Invalid, "Node %s has no VIFs, and its network interface needs one to put it on the %s network: attach a port of Neutron (openstack baremetal node vif attach).", n.UUID, role)
		}
		return nil, "", nil
	}
	var bound []*port
	var failed []error
	for _, at := range all {
		p, err := d.bind(ctx, n, at, b)
		if ctx.Err() != nil {
			return nil, "", err
		}
		if err != nil {
			failed = append(failed, err)
			d.log.Warn("a VIF could not be bound to its node", "node", n.UUID, "vif", at.vif, "error", err)
			continue
		}
		bound = append(bound, p)
	}
	if len(bound) == 0 {
		public, _ := fault.PublicOf(failed[0])
		return nil, "", fault.Wrap(fault.KindOf(failed[0]), errors.Join(failed...), "None of the VIFs of node %s could be bound to it: %s", n.UUID, public)
	}
	waiting, err := d.await(n, role, bound, b.await, (*port).changed)
	return nil, waiting, err
}

// bind binds a VIF. One that is bound so already is left alone.
func (d *Driver) bind(ctx context.Context, n *metal.Node, at place, b binding) (*port, error) {
	p, err := d.vif(ctx, at.vif)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, gone(at.vif)
	}
	if p.ofAnother(n) {
		return nil, fault.New(fault.Conflict, "VIF %s is bound to node %s, which would lose its network: detach it there, or unset the port's binding:host_id if that node is gone.", p.ID, p.HostID)
	}
	want := b.attrs(n, at)
	if p.bound(want) {
		return p, nil
	}
	if mac := want["mac_address"]; mac != nil && mac != p.MAC && p.HostID != "" { // Neutron changes no MAC of a bound port
		if _, err := d.update(ctx, p.ID, unbound()); err != nil {
			return nil, err
		}
	}
	missing, err := d.update(ctx, p.ID, want)
	if err == nil && missing {
		err = gone(at.vif)
	}
	if err != nil {
		return nil, err
	}
	p, err = d.vif(ctx, p.ID)
	if err == nil && p == nil {
		err = gone(at.vif)
	}
	return p, err
}

func gone(vif string) error {
	return fault.New(fault.Invalid, "Neutron has no port %s: detach this VIF from the node, or make the port.", vif)
}

// ofAnother tells whether a VIF is bound to another node. Hosts that are none are let be: Nova binds what flat nodes get to
// its own, and their names are no UUIDs.
func (p *port) ofAnother(n *metal.Node) bool {
	return p.HostID != n.UUID && p.VNIC == vnicBaremetal && uuid.Validate(p.HostID) == nil
}

// bound tells whether a VIF is bound as it should be. Without a profile of ours anybody's is right.
func (p *port) bound(want attrs) bool {
	if p.HostID != want["binding:host_id"] || p.VNIC != vnicBaremetal {
		return false
	}
	if mac := want["mac_address"]; mac != nil && mac != p.MAC {
		return false
	}
	ours := want["binding:profile"]
	return ours == nil || same(p.Profile, ours)
}

// unbound is what makes a port nobody's.
func unbound() attrs { return attrs{"binding:host_id": "", "binding:profile": map[string]any{}} }

// unbindAll unbinds the VIFs of a node's user, and whatever else is bound to the node and is not ours: an attachment that
// was cut off may have bound a VIF that nobody noted.
func (d *Driver) unbindAll(ctx context.Context, n *metal.Node, w metal.Wiring) error {
	done := map[string]bool{}
	var failed error
	for _, at := range places(w) {
		p, err := d.vif(ctx, at.vif)
		if err == nil && p != nil {
			done[p.ID] = true
			err = d.unbind(ctx, n, p, at.address)
		}
		failed = errors.Join(failed, err)
	}
	others, err := d.list(ctx, filter{"binding:host_id": {n.UUID}})
	if err != nil {
		return errors.Join(failed, err)
	}
	for _, p := range others {
		if p.HostID == n.UUID && !done[p.ID] && !p.hasAny(labels(n.UUID)) {
			failed = errors.Join(failed, d.unbind(ctx, n, p, macOf(w, p.MAC)))
		}
	}
	return failed
}

// macOf is a MAC if a NIC or group of the node has it.
func macOf(w metal.Wiring, mac string) string {
	for _, p := range w.Ports {
		if p.Address == mac {
			return mac
		}
	}
	for _, g := range w.Groups {
		if g.Address == mac {
			return mac
		}
	}
	return ""
}

// unbind takes a VIF off the node and gives it a MAC of its own again, so that it is in nobody's way on its network. One that
// is bound elsewhere by now is left alone.
func (d *Driver) unbind(ctx context.Context, n *metal.Node, p *port, mac string) error {
	if p.HostID != "" && p.HostID != n.UUID {
		return nil
	}
	if p.HostID != "" || len(p.Profile) > 0 {
		if missing, err := d.update(ctx, p.ID, unbound()); err != nil || missing {
			return err
		}
	}
	if mac == "" || p.MAC != mac {
		return nil
	}
	_, err := d.update(ctx, p.ID, attrs{"mac_address": nil}) // a request of its own: Neutron changes no MAC of a bound port
	return err
}

// attach gives a VIF the MAC of its NIC and the node as its host; with live it is bound whole. What fails is put back.
func (d *Driver) attach(ctx context.Context, n *metal.Node, w metal.Wiring, vif string, live bool, b binding) error {
	var at *place
	for _, one := range places(w) {
		if one.vif == vif {
			at = &one
		}
	}
	if at == nil {
		return fault.New(fault.Internal, "VIF %s is not noted at any NIC of node %s.", vif, n.UUID)
	}
	before, err := d.vif(ctx, vif)
	if err != nil {
		return err
	}
	if before == nil {
		return fault.New(fault.Invalid, "Neutron has no port %s.", vif)
	}
	if !live {
		b.links = false
	}
	if _, err = d.bind(ctx, n, *at, b); err == nil {
		return nil
	}
	return errors.Join(err, d.putBack(ctx, before))
}

// putBack makes a VIF what it was, if it was changed.
func (d *Driver) putBack(ctx context.Context, before *port) error {
	now, err := d.vif(ctx, before.ID)
	if err != nil || now == nil || now.MAC == before.MAC && now.HostID == before.HostID && now.VNIC == before.VNIC && same(now.Profile, before.Profile) {
		return err
	}
	if now.MAC != before.MAC && now.HostID != "" {
		if _, err := d.update(ctx, before.ID, unbound()); err != nil {
			return err
		}
	}
	was := attrs{"binding:host_id": before.HostID, "binding:vnic_type": before.VNIC, "binding:profile": before.Profile}
	if now.MAC != before.MAC {
		was["mac_address"] = before.MAC
	}
	_, err = d.update(ctx, before.ID, was)
	return err
}

// DetachVIF unbinds a VIF that w still notes. One that Neutron has not any more is detached.
func (d *Driver) DetachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string) error {
	p, err := d.vif(ctx, vif)
	if err != nil || p == nil {
		return err
	}
	mac := macOf(w, p.MAC)
	for _, at := range places(w) {
		if at.vif == vif {
			mac = at.address
		}
	}
	return d.unbind(ctx, n, p, mac)
}

// PhysicalNetworks are those that the network of a VIF is on; none: any, or Neutron does not tell.
func (d *Driver) PhysicalNetworks(ctx context.Context, _ *metal.Node, vif string) ([]string, error) {
	p, err := d.vif(ctx, vif)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fault.New(fault.Invalid, "Neutron has no port %s.", vif)
	}
	net, err := d.find(ctx, "network of VIF "+vif, p.NetworkID)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range append(net.Segments, segment{net.Physical}) {
		if s.Physical != "" {
			out = append(out, s.Physical)
		}
	}
	return out, nil
}
