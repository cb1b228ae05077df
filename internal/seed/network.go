package seed

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// Network is what is known of a machine's network: its NICs, those of them that are one, and what is plugged into them.
type Network struct {
	NICs  []NIC
	Bonds []Bond
	VIFs  []VIF
	DNS   []netip.Addr // name servers of the machine, before those of its subnets
}

// NIC is a port of the machine.
type NIC struct {
	ID  string // of the port; that of its link, too
	MAC string
}

// Bond is NICs that are one: a port group.
type Bond struct {
	ID         string         // of the group; that of its link, too
	MAC        string         // "": that of the VIF, else of the first NIC
	Mode       string         // "": active-backup
	Properties map[string]any // of the bonding driver, with "bond_" before them or not
	Members    []string       // ids of NICs
}

// VIF is one network on a NIC or bond.
type VIF struct {
	ID        string // in the network service; "" for none
	On        string // the id of a NIC or a bond
	VLAN      int    // its tag; 0: untagged
	MAC       string // of a VLAN, or of a bond that has none of its own; "": that of what it is on
	NetworkID string // "": there is none to be told
	MTU       int    // of the network; 0: not known, and nothing is said
	Subnets   []Subnet
}

// Subnet is how a VIF gets an address: a static one, or by one of the ways that need no more to be said.
type Subnet struct {
	By      string         // "" for Address; ByDHCPv4, ByDHCPv6, BySLAAC
	Address netip.Prefix   // with the host's bits
	Gateway netip.Addr     // zero: none
	Routes  []NetworkRoute // beside that to the gateway
	DNS     []netip.Addr
}

// NetworkRoute goes to a network by a gateway.
type NetworkRoute struct {
	To  netip.Prefix
	Via netip.Addr
}

// How addresses come without being told.
const (
	ByDHCPv4 = "ipv4_dhcp"
	ByDHCPv6 = "ipv6_dhcp"
	BySLAAC  = "ipv6_slaac"
)

// bondMode is that of groups that name none. Source: rest-api reference §5.
const bondMode = "active-backup"

// Data gives network_data.json, valid by its schema. A VIF on a NIC is a link of type phy; on a group, a bond with the
// members after it; with a tag, a vlan on top of either. The MTU is the network's, or not said where nobody knows it: never
// null, as upstream has it for networks with DHCP. Unlike upstream every subnet counts, not only the first two; of gateways
// the first of its kind of a VIF does. VIFs without subnets are left out; if none is left, the data has no links. What
// cannot be a network is fault.Invalid. Source: metadata reference §6.
func (n Network) Data() (map[string]any, error) {
	w := &networkWriter{Network: n, at: map[string]map[string]any{}, links: []any{}, networks: []any{}, services: []any{}}
	vifs := slices.DeleteFunc(slices.Clone(n.VIFs), func(v VIF) bool { return len(v.Subnets) == 0 })
	slices.SortStableFunc(vifs, func(a, b VIF) int { return cmp.Compare(min(a.VLAN, 1), min(b.VLAN, 1)) }) // what is below first
	if err := w.checkBonds(); err != nil {
		return nil, err
	}
	for _, a := range n.DNS {
		w.addDNS(a)
	}
	untagged := map[string]bool{}
	for _, v := range vifs {
		if v.VLAN == 0 && untagged[v.On] {
			return nil, invalidNetwork("two VIFs are untagged on %s.", v.On)
		}
		untagged[v.On] = untagged[v.On] || v.VLAN == 0
		if err := w.add(v); err != nil {
			return nil, err
		}
	}
	data := map[string]any{"links": w.links, "networks": w.networks, "services": w.services}
	if wrong := NetworkSchema.Wrong(data); wrong != "" {
		return nil, fault.New(fault.Invalid, "The network data of the instance would be wrong %s.", wrong)
	}
	return data, nil
}

// networkWriter makes the lists.
type networkWriter struct {
	Network
	links, networks, services []any
	at                        map[string]map[string]any // links by id
	dns                       []netip.Addr
}

func invalidNetwork(format string, args ...any) error {
	return fault.New(fault.Invalid, "The network of the instance cannot be described: "+format, args...)
}

// checkBonds sees that every member is a NIC, and of one bond only.
func (w *networkWriter) checkBonds() error {
	bondOf := map[string]string{}
	for _, b := range w.Bonds {
		if len(b.Members) == 0 && slices.ContainsFunc(w.VIFs, func(v VIF) bool { return v.On == b.ID && len(v.Subnets) > 0 }) {
			return invalidNetwork("port group %s has no ports, and a network is on it.", b.ID)
		}
		for _, m := range b.Members {
			if !slices.ContainsFunc(w.NICs, func(n NIC) bool { return n.ID == m }) {
				return invalidNetwork("port group %s has a port %s that is not there.", b.ID, m)
			}
			if bondOf[m] != "" {
				return invalidNetwork("port %s is in the port groups %s and %s.", m, bondOf[m], b.ID)
			}
			bondOf[m] = b.ID
		}
	}
	return nil
}

// add writes the links and networks of one VIF.
func (w *networkWriter) add(v VIF) error {
	if v.VLAN < 0 || v.VLAN > 4094 {
		return invalidNetwork("%d is not a tag of a VLAN.", v.VLAN)
	}
	below, err := w.below(v)
	if err != nil {
		return err
	}
	link := below
	if v.VLAN > 0 {
		if link, err = w.vlan(v, below); err != nil {
			return err
		}
	} else {
		setMTU(below, v.MTU)
	}
	if v.ID != "" {
		link["vif_id"] = v.ID
	}
	gateways := map[bool]bool{} // of IPv4, of IPv6
	for _, s := range v.Subnets {
		if err := w.network(link, v, s, gateways); err != nil {
			return err
		}
	}
	return nil
}

// below is the NIC or bond that a VIF is on, written when it is first needed.
func (w *networkWriter) below(v VIF) (map[string]any, error) {
	if link := w.at[v.On]; link != nil {
		return link, nil
	}
	for _, b := range w.Bonds {
		if slices.Contains(b.Members, v.On) {
			return nil, invalidNetwork("a VIF is on port %s, which is part of port group %s.", v.On, b.ID)
		}
		if b.ID == v.On {
			return w.bond(b, v)
		}
	}
	for _, n := range w.NICs {
		if n.ID == v.On {
			return w.link(n.ID, "phy", n.MAC)
		}
	}
	return nil, invalidNetwork("a VIF is on %q, which is neither a port nor a port group.", v.On)
}

// link adds one; its MAC is written as all clients compare it.
func (w *networkWriter) link(id, kind, mac string) (map[string]any, error) {
	parsed, err := net.ParseMAC(mac)
	if err != nil || len(parsed) != 6 {
		return nil, invalidNetwork("%s has no MAC address that is one.", id)
	}
	key := "ethernet_mac_address"
	if kind == "vlan" {
		key = "vlan_mac_address"
	}
	if w.at[id] != nil {
		return nil, invalidNetwork("two links have the id %s.", id)
	}
	link := map[string]any{"id": id, "type": kind, key: parsed.String()}
	w.at[id] = link
	w.links = append(w.links, link)
	return link, nil
}

// bond adds a bond, and its members after it.
func (w *networkWriter) bond(b Bond, v VIF) (map[string]any, error) {
	macs := map[string]string{}
	for _, n := range w.NICs {
		macs[n.ID] = n.MAC
	}
	link, err := w.link(b.ID, "bond", cmp.Or(b.MAC, v.MAC, macs[b.Members[0]]))
	if err != nil {
		return nil, err
	}
	for key, value := range b.Properties {
		if !strings.HasPrefix(key, "bond") {
			key = "bond_" + key
		}
		link[key] = value
	}
	link["bond_mode"], link["bond_links"] = cmp.Or(b.Mode, bondMode), b.Members
	for _, m := range b.Members {
		if _, err := w.link(m, "phy", macs[m]); err != nil {
			return nil, err
		}
	}
	return link, nil
}

// vlan adds a tagged link. It is never larger than what it is on; a link that only carries VLANs is as large as the
// largest of them.
func (w *networkWriter) vlan(v VIF, below map[string]any) (map[string]any, error) {
	mac := v.MAC
	if mac == "" {
		mac, _ = below["ethernet_mac_address"].(string)
	}
	link, err := w.link(fmt.Sprintf("%s.%d", v.On, v.VLAN), "vlan", mac)
	if err != nil {
		return nil, err
	}
	link["vlan_id"], link["vlan_link"] = v.VLAN, v.On
	mtu := v.MTU
	untagged := slices.ContainsFunc(w.VIFs, func(o VIF) bool { return o.On == v.On && o.VLAN == 0 && len(o.Subnets) > 0 })
	has, known := below["mtu"].(int)
	switch {
	case untagged && known:
		mtu = min(mtu, has)
	case !untagged:
		setMTU(below, max(mtu, has))
	}
	setMTU(link, mtu)
	return link, nil
}

func setMTU(link map[string]any, mtu int) {
	if mtu > 0 {
		link["mtu"] = mtu
	}
}

// network adds one subnet of a VIF.
func (w *networkWriter) network(link map[string]any, v VIF, s Subnet, gateways map[bool]bool) error {
	id := fmt.Sprintf("network%d", len(w.networks))
	out := map[string]any{"id": id, "link": link["id"], "network_id": cmp.Or(v.NetworkID, id)}
	w.networks = append(w.networks, out)
	switch s.By {
	case ByDHCPv4, ByDHCPv6, BySLAAC:
		out["type"] = s.By
		return nil
	case "":
	default:
		return invalidNetwork("%q is no way to an address.", s.By)
	}
	a := s.Address.Addr()
	if !s.Address.IsValid() || a.Is4In6() || a.Zone() != "" {
		return invalidNetwork("a subnet of VIF %q has neither an address nor a way to one.", v.ID)
	}
	out["type"] = "ipv6"
	if a.Is4() {
		out["type"] = "ipv4"
	}
	out["ip_address"], out["netmask"] = a.String(), mask(s.Address)
	routes := []any{}
	add := func(to netip.Prefix, via netip.Addr) error {
		if !to.IsValid() || !via.IsValid() || to.Addr().Is4() != a.Is4() || via.Is4() != a.Is4() || via.Zone() != "" {
			return invalidNetwork("a route of %s by %s is not one of its kind.", s.Address, via)
		}
		routes = append(routes, map[string]any{"network": to.Masked().Addr().String(), "netmask": mask(to), "gateway": via.String()})
		return nil
	}
	if s.Gateway.IsValid() && !gateways[a.Is4()] {
		gateways[a.Is4()] = true
		if err := add(netip.PrefixFrom(everywhere(a), 0), s.Gateway); err != nil {
			return err
		}
	}
	for _, r := range s.Routes {
		if err := add(r.To, r.Via); err != nil {
			return err
		}
	}
	out["routes"] = routes
	own := []any{}
	for _, d := range s.DNS {
		own = append(own, service(d))
		w.addDNS(d)
	}
	out["services"] = own
	return nil
}

// everywhere is the address of the default route of an address's kind.
func everywhere(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// mask is a netmask as an address.
func mask(p netip.Prefix) string {
	m, _ := netip.AddrFromSlice(net.CIDRMask(p.Bits(), p.Addr().BitLen()))
	return m.String()
}

func service(a netip.Addr) map[string]any {
	return map[string]any{"type": "dns", "address": a.String()}
}

// addDNS adds a name server of the machine, once.
func (w *networkWriter) addDNS(a netip.Addr) {
	if a.IsValid() && !slices.Contains(w.dns, a) {
		w.dns = append(w.dns, a)
		w.services = append(w.services, service(a))
	}
}
