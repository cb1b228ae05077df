package network

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxData bounds network data; a boot CD has room for this much.
const maxData = 64 << 10

// Plan is what the network is to look like. No Links: DHCP on every NIC.
type Plan struct {
	Links []Link
	DNS   []netip.Addr
}

// Link is one NIC, found by its MAC, or a bond or a VLAN that is made. In a Plan it comes after those it is made of.
type Link struct {
	MAC       net.HardwareAddr // of a bond or a VLAN: nil for what it has by itself
	MTU       int              // 0: as it is
	DHCP      bool
	Addresses []netip.Prefix
	Routes    []Route
	Bond      *Bond
	VLAN      *VLAN
	ID        string // in the network data
	Member    bool   // of a bond
}

// Route goes to a network by a gateway.
type Route struct {
	To  netip.Prefix
	Via netip.Addr
}

// physical are the kinds of link that are a plain NIC to the machine. Source: metadata reference §6.
var physical = []string{"phy", "vif", "ovs", "bridge", "tap", "dvs", "hw_veb", "hyperv", "vhostuser"}

type wireLink struct {
	ID   string   `json:"id"`
	Type string   `json:"type"`
	MAC  string   `json:"ethernet_mac_address"`
	MTU  *float64 `json:"mtu"`
	wireBond
	wireVLAN
}

type wireNetwork struct {
	Link     string        `json:"link"`
	Type     string        `json:"type"`
	Address  string        `json:"ip_address"`
	Netmask  string        `json:"netmask"`
	Gateway  string        `json:"gateway"`
	Routes   []wireRoute   `json:"routes"`
	Services []wireService `json:"services"`
}

type wireRoute struct {
	Network string `json:"network"`
	Netmask string `json:"netmask"`
	Gateway string `json:"gateway"`
}

type wireService struct {
	Type    string `json:"type"`
	Address string `json:"address"`
}

// Parse reads Nova's network_data.json. Errors say which entry is wrong and why. Links that no network
// uses are left down.
func Parse(data []byte) (_ Plan, err error) {
	var wire struct {
		Links    []wireLink    `json:"links"`
		Networks []wireNetwork `json:"networks"`
		Services []wireService `json:"services"`
	}
	data = bytes.TrimSpace(data)
	if len(data) > maxData {
		return Plan{}, fmt.Errorf("network data is larger than %d bytes", maxData)
	}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &wire); err != nil {
			return Plan{}, fmt.Errorf("network data: %w", err)
		}
	}
	used := map[string]*Link{}
	var order []string
	for _, l := range wire.Links {
		link, err := l.read()
		if err != nil {
			return Plan{}, fmt.Errorf("network data: link %q: %w", l.ID, err)
		}
		if l.ID == "" || used[l.ID] != nil {
			return Plan{}, fmt.Errorf("network data: link %q: its id is missing or not its own", l.ID)
		}
		used[l.ID] = &link
		order = append(order, l.ID)
	}
	var p Plan
	if err := p.addDNS(wire.Services); err != nil {
		return Plan{}, err
	}
	busy := map[string]bool{}
	for i, n := range wire.Networks {
		link := used[n.Link]
		if link == nil {
			return Plan{}, fmt.Errorf("network data: network %d: there is no link %q", i, n.Link)
		}
		if err := n.join(link); err != nil {
			return Plan{}, fmt.Errorf("network data: network %d: %w", i, err)
		}
		if err := p.addDNS(n.Services); err != nil {
			return Plan{}, err
		}
		busy[n.Link] = true
	}
	if p.Links, err = arrange(order, used, busy); err != nil {
		return Plan{}, err
	}
	if len(wire.Links) > 0 && len(p.Links) == 0 {
		return Plan{}, errors.New("network data: it has links and no networks on them")
	}
	return p, nil
}

func (l wireLink) read() (Link, error) {
	link := Link{ID: l.ID}
	var err error
	mac, optional := l.MAC, true
	switch {
	case l.Type == "bond":
		link.Bond, err = l.bond()
	case l.Type == "vlan":
		mac = l.VLANMAC
		link.VLAN, err = l.vlan()
	case slices.Contains(physical, l.Type):
		optional = false
	default:
		return Link{}, fmt.Errorf("there is no type %q", l.Type)
	}
	if err != nil {
		return Link{}, err
	}
	if mac != "" || !optional {
		if link.MAC, err = net.ParseMAC(mac); err != nil || len(link.MAC) != 6 {
			return Link{}, errors.New("its ethernet_mac_address is not a MAC address")
		}
	}
	if l.MTU != nil {
		if *l.MTU < 1 || *l.MTU > 65535 {
			return Link{}, errors.New("its mtu is not between 1 and 65535")
		}
		link.MTU = int(*l.MTU)
	}
	return link, nil
}

// join adds what a network says to its link.
func (n wireNetwork) join(l *Link) error {
	switch kind := n.Type; {
	case kind == "ipv4_dhcp":
		l.DHCP = true
		return nil
	case strings.HasPrefix(kind, "ipv6_"):
		return nil // the kernel listens to router advertisements by itself
	case kind != "ipv4" && kind != "ipv6":
		return fmt.Errorf("there is no type %q", kind)
	}
	address, err := prefix(n.Address, n.Netmask)
	if err != nil {
		return fmt.Errorf("ip_address: %w", err)
	}
	if address.Addr().Is4() != (n.Type == "ipv4") {
		return fmt.Errorf("%s is not of type %s", address, n.Type)
	}
	l.Addresses = append(l.Addresses, address)
	routes := n.Routes
	if n.Gateway != "" { // an older form, which people still write
		all := wireRoute{Network: "0.0.0.0", Netmask: "0.0.0.0", Gateway: n.Gateway}
		if n.Type == "ipv6" {
			all.Network, all.Netmask = "::", "::"
		}
		routes = append([]wireRoute{all}, routes...)
	}
	for i, r := range routes {
		to, err := prefix(r.Network, r.Netmask)
		if err != nil {
			return fmt.Errorf("route %d: %w", i, err)
		}
		via, err := netip.ParseAddr(r.Gateway)
		if err != nil || via.Zone() != "" || via.Is4() != to.Addr().Is4() || via.Is4In6() {
			return fmt.Errorf("route %d: its gateway is not an address of its kind", i)
		}
		l.Routes = append(l.Routes, Route{to.Masked(), via})
	}
	return nil
}

// prefix joins an address, which may carry its own "/24", and a netmask, which is an address or a length.
func prefix(address, mask string) (netip.Prefix, error) {
	if strings.Contains(address, "/") {
		p, err := netip.ParsePrefix(address)
		if err != nil || p.Addr().Is4In6() {
			return netip.Prefix{}, fmt.Errorf("%q is not an address with a prefix length", address)
		}
		return p, nil
	}
	a, err := netip.ParseAddr(address)
	if err != nil || a.Zone() != "" || a.Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is not an IP address", address)
	}
	bits, err := maskBits(mask, a.BitLen())
	if err != nil {
		return netip.Prefix{}, err
	}
	return netip.PrefixFrom(a, bits), nil
}

func maskBits(mask string, length int) (int, error) {
	wrong := fmt.Errorf("%q is not a netmask", mask)
	if m, err := netip.ParseAddr(mask); err == nil {
		ones, size := net.IPMask(m.AsSlice()).Size()
		if size != length { // not contiguous, or of the other kind
			return 0, wrong
		}
		return ones, nil
	}
	bits, err := strconv.Atoi(mask)
	if err != nil || bits < 0 || bits > length {
		return 0, wrong
	}
	return bits, nil
}

func (p *Plan) addDNS(services []wireService) error {
	for _, s := range services {
		if s.Type != "dns" {
			continue
		}
		a, err := netip.ParseAddr(s.Address)
		if err != nil {
			return errors.New("network data: the address of a DNS service is not an IP address")
		}
		if !slices.Contains(p.DNS, a) {
			p.DNS = append(p.DNS, a)
		}
	}
	return nil
}
