package neutron

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"slices"

	"github.com/gophercloud/gophercloud/v2/openstack/networking/v2/subnets"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// wish is how a network interface wants ports on the operator's networks.
type wish struct {
	groups []string // security groups
	links  bool     // NICs whose switch port is not known are left out
	await  bool     // until they are ACTIVE
}

// plug makes a port for each NIC on the operator's network of a role. It looks first: what is there as it should be stays,
// anything else of these NICs goes.
func (d *Driver) plug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole, want wish) (metal.Notes, string, error) {
	nics, err := d.nics(n, w, want.links)
	if err != nil {
		return nil, "", err
	}
	net, err := d.operators(ctx, n, role)
	if err != nil {
		return nil, "", err
	}
	wanted := map[string]attrs{}
	for _, nic := range nics {
		wanted[nic.Address] = d.attrs(n, nic, role, net.ID, want.groups)
	}
	have, err := d.tidy(ctx, n, w, role, net.ID, wanted)
	if err != nil {
		return nil, "", err
	}
	notes, there := metal.Notes{}, []*port{}
	var failed []error
	for _, nic := range nics {
		p, err := d.ensure(ctx, have[nic.Address], wanted[nic.Address], label(n.UUID, role))
		if ctx.Err() != nil {
			return notes, "", err
		}
		if err != nil {
			failed = append(failed, err)
			d.log.Warn("a NIC gets no port on a network of Neutron", "node", n.UUID, "port", nic.UUID, "role", string(role), "error", err)
			continue
		}
		notes.Note(nic.UUID, role.VIFKey(), p.ID)
		there = append(there, p)
	}
	if len(there) == 0 {
		return nil, "", none(n, role, failed, d.sweep(ctx, n, role))
	}
	waiting, err := d.await(n, role, there, want.await, (*port).made)
	return notes, waiting, err
}

// none is what is wrong when no NIC has a port. swept is what became of removing what there may be.
func none(n *metal.Node, role metal.NetworkRole, failed []error, swept error) error {
	public, ok := fault.PublicOf(failed[0])
	if !ok {
		public = "the log says why"
	}
	return fault.Wrap(fault.KindOf(failed[0]), errors.Join(append(failed, swept)...), "None of the NICs of node %s got a port on the %s network: %s", n.UUID, role, public)
}

// nics are those that get a port: all of them where the node does not boot from the network. Source: lifecycle reference §27.
func (d *Driver) nics(n *metal.Node, w metal.Wiring, links bool) ([]*metal.Port, error) {
	all := d.config.AddAllPorts || !slices.Contains([]string{metal.BootPXE, metal.BootIPXE, metal.BootHTTP, metal.BootHTTPIPXE}, n.Interface("boot"))
	var out []*metal.Port
	unlinked := 0
	for _, p := range w.Ports {
		switch {
		case !all && !p.PXEEnabled:
		case links && len(p.LocalLinkConnection) == 0 && clientID(p) == "":
			unlinked++
			d.log.Warn("a NIC without local_link_connection gets no port on a network of Neutron", "node", n.UUID, "port", p.UUID)
		default:
			out = append(out, p)
		}
	}
	switch {
	case len(out) > 0:
		return out, nil
	case unlinked > 0:
		return nil, fault.New(fault.Invalid, "No port of node %s has local_link_connection, which the network interface neutron needs to know the switch port.", n.UUID)
	case len(w.Ports) > 0:
		return nil, fault.New(fault.Invalid, "No port of node %s has pxe_enabled: set it, or [neutron] add_all_ports.", n.UUID)
	}
	return nil, fault.New(fault.Invalid, "Node %s has no ports: create one for each of its NICs.", n.UUID)
}

// clientID is how a NIC on InfiniBand names itself to DHCP, "" for others.
func clientID(p *metal.Port) string {
	s, _ := p.Extra["client-id"].(string)
	return s
}

// attrs is the port of a NIC as it should be.
func (d *Driver) attrs(n *metal.Node, nic *metal.Port, role metal.NetworkRole, network string, groups []string) attrs {
	a := attrs{"network_id": network, "name": label(n.UUID, role), "admin_state_up": true, "mac_address": nic.Address,
		"device_id": device(n), "device_owner": owner, "binding:host_id": n.UUID, "binding:vnic_type": vnicBaremetal,
		"binding:profile": profile(nic)}
	if len(groups) > 0 {
		a["security_groups"] = groups
	}
	if !nic.PXEEnabled {
		a["fixed_ips"] = []fixedIP{}
	}
	if options := d.options(n, nic, role); len(options) > 0 {
		a["extra_dhcp_opts"] = options
	}
	return a
}

// device is what the port's device_id says.
func device(n *metal.Node) string {
	if n.InstanceUUID != "" {
		return n.InstanceUUID
	}
	return n.UUID
}

// profile tells whoever binds the port which switch port it is about.
func profile(nics ...*metal.Port) map[string]any {
	out, links := map[string]any{}, []any{}
	for _, nic := range nics {
		if len(nic.LocalLinkConnection) > 0 {
			links = append(links, nic.LocalLinkConnection)
		}
		if nic.PhysicalNetwork != "" {
			out["physical_network"] = nic.PhysicalNetwork
		}
	}
	if len(links) > 0 {
		out["local_link_information"] = links
	}
	return out
}

// optionClientID is DHCP option 61. Source: RFC 2132 §9.14.
const optionClientID = "61"

// options are what Neutron's own DHCP tells the NIC.
func (d *Driver) options(n *metal.Node, nic *metal.Port, role metal.NetworkRole) []dhcpOption {
	var out []dhcpOption
	if id := clientID(nic); id != "" {
		out = append(out, dhcpOption{Name: optionClientID, Value: id})
	}
	if d.dhcp == nil || !nic.PXEEnabled {
		return out
	}
	for _, o := range d.dhcp(n, nic, role) {
		out = append(out, dhcpOption{Name: o.Name, Value: o.Value, Version: max(o.Version, 4)})
	}
	return out
}

// tidy gives, by MAC, what of the NICs is there already as it should be, and removes all else: ports of ours on other
// networks, and whatever has one of these MACs on this network, but for the VIFs of the node's user.
func (d *Driver) tidy(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole, network string, wanted map[string]attrs) (map[string]*port, error) {
	found, err := d.owned(ctx, n.UUID, operators...)
	if err != nil {
		return nil, err
	}
	macs := make([]string, 0, len(wanted))
	for mac := range wanted {
		macs = append(macs, mac)
	}
	others, err := d.list(ctx, filter{"network_id": {network}, "mac_address": macs})
	if err != nil {
		return nil, err
	}
	vifs := metal.VIFs(w.Ports, w.Groups)
	for _, p := range others {
		if !slices.ContainsFunc(found, func(q *port) bool { return p.ID == q.ID }) && !slices.Contains(vifs, p.ID) {
			found = append(found, p)
		}
	}
	have, stale := map[string]*port{}, []*port{}
	for _, p := range found {
		if p.has(label(n.UUID, role)) && p.NetworkID == network && have[p.MAC] == nil && p.is(wanted[p.MAC]) {
			have[p.MAC] = p
			continue
		}
		stale = append(stale, p)
	}
	return have, d.remove(ctx, stale)
}

// is tells whether a port is bound as it should be.
func (p *port) is(want attrs) bool {
	return want != nil && p.DeviceID == want["device_id"] && p.HostID == want["binding:host_id"] && p.VNIC == vnicBaremetal && same(p.Profile, want["binding:profile"])
}

// same compares what becomes the same JSON.
func same(a, b any) bool {
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// ensure makes a port that is not there, with its tag and its addresses.
func (d *Driver) ensure(ctx context.Context, p *port, want attrs, tag string) (*port, error) {
	var err error
	if p == nil {
		p, err = d.create(ctx, want, tag)
	} else {
		err = d.tag(ctx, p, tag)
	}
	if err != nil {
		return nil, err
	}
	return p, d.moreAddresses(ctx, p)
}

// moreAddresses gives a port on a subnet with stateful DHCPv6 as many addresses as firmware, loader and ramdisk ask for:
// each names itself differently. Source: OpenStack Ironic, ironic/common/neutron.py.
func (d *Driver) moreAddresses(ctx context.Context, p *port) error {
	missing := d.config.DHCPv6StatefulAddressCount - len(p.FixedIPs)
	if missing <= 0 || len(p.FixedIPs) == 0 {
		return nil
	}
	first := p.FixedIPs[0]
	if a, err := netip.ParseAddr(first.IPAddress); err != nil || !a.Is6() {
		return nil
	}
	net, err := d.client.service(ctx)
	if err != nil {
		return err
	}
	subnet, err := subnets.Get(ctx, net, first.SubnetID).Extract()
	if is(err, http.StatusNotFound) {
		return nil
	}
	if err != nil {
		return refused(ctx, err, "show subnet %s", first.SubnetID)
	}
	if subnet.IPv6AddressMode != "dhcpv6-stateful" {
		return nil
	}
	all := slices.Clone(p.FixedIPs)
	for range missing {
		all = append(all, fixedIP{SubnetID: first.SubnetID})
	}
	_, err = d.update(ctx, p.ID, attrs{"fixed_ips": all})
	return err
}

// unplug removes the ports of ours of a role, noted or not.
func (d *Driver) unplug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, error) {
	if err := d.sweep(ctx, n, role); err != nil {
		return nil, err
	}
	notes := metal.Notes{}
	for _, p := range w.Ports {
		if _, noted := p.InternalInfo[role.VIFKey()]; noted {
			notes.Note(p.UUID, role.VIFKey(), "")
		}
	}
	for _, g := range w.Groups {
		if _, noted := g.InternalInfo[role.VIFKey()]; noted {
			notes.Note(g.UUID, role.VIFKey(), "")
		}
	}
	return notes, nil
}

func (d *Driver) sweep(ctx context.Context, n *metal.Node, role metal.NetworkRole) error {
	own, err := d.owned(ctx, n.UUID, role)
	if err != nil {
		return err
	}
	return d.remove(ctx, own)
}

// labels are those of all ports of ours of a node.
func labels(node string) []string {
	out := make([]string, len(operators))
	for i, role := range operators {
		out[i] = label(node, role)
	}
	return out
}
