package neutron

import (
	"context"
	"net/netip"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/seed"
)

// subnet is a subnet of Neutron, as an instance must know it.
type subnet struct {
	ID      string   `json:"id"`
	Version int      `json:"ip_version"`
	CIDR    string   `json:"cidr"`
	Gateway string   `json:"gateway_ip"`
	DHCP    bool     `json:"enable_dhcp"`
	Mode    string   `json:"ipv6_address_mode"`
	DNS     []string `json:"dns_nameservers"`
	Routes  []struct {
		To  string `json:"destination"`
		Via string `json:"nexthop"`
	} `json:"host_routes"`
}

// trunk is what a port carries beside its own network. Source: OpenStack, neutron-lib, api/definitions/trunk_details.py.
type trunk struct {
	Details *struct {
		Ports []struct {
			ID   string `json:"port_id"`
			Kind string `json:"segmentation_type"`
			Tag  int    `json:"segmentation_id"`
			MAC  string `json:"mac_address"`
		} `json:"sub_ports"`
	} `json:"trunk_details"`
}

// Describe is what an instance is to be told of the networks of its user's VIFs, tagged ones of their trunks too. It changes nothing.
func (d *Driver) Describe(ctx context.Context, _ *metal.Node, w metal.Wiring) ([]seed.VIF, error) {
	l := lookup{d: d, networks: map[string]networkSize{}, subnets: map[string]*subnet{}}
	var out []seed.VIF
	for _, at := range places(w) {
		p, err := d.vif(ctx, at.vif)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return nil, fault.New(fault.Invalid, "Neutron has no port %s, which is a VIF of the node: detach it.", at.vif)
		}
		on := ""
		if at.group != nil {
			on = at.group.UUID
		} else {
			on = at.nics[0].UUID
		}
		own, err := l.describe(ctx, p, on)
		if err != nil {
			return nil, err
		}
		tagged, err := l.tagged(ctx, p, on)
		if err != nil {
			return nil, err
		}
		out = append(append(out, own), tagged...)
	}
	return out, nil
}

// lookup asks for each network and each subnet once.
type lookup struct {
	d        *Driver
	networks map[string]networkSize
	subnets  map[string]*subnet
}

type networkSize struct {
	MTU int `json:"mtu"`
}

func (l *lookup) get(ctx context.Context, kind, id string, into any) error {
	net, err := l.d.client.service(ctx)
	if err != nil {
		return err
	}
	if _, err := net.Get(ctx, net.ServiceURL(kind, id), into, nil); err != nil {
		return refused(ctx, err, "show %s of %s", id, kind)
	}
	return nil
}

func (l *lookup) describe(ctx context.Context, p *port, on string) (seed.VIF, error) {
	v := seed.VIF{ID: p.ID, On: on, MAC: p.MAC, NetworkID: p.NetworkID}
	if _, known := l.networks[p.NetworkID]; !known {
		var answer struct{ Network networkSize }
		if err := l.get(ctx, "networks", p.NetworkID, &answer); err != nil {
			return v, err
		}
		l.networks[p.NetworkID] = answer.Network
	}
	v.MTU = l.networks[p.NetworkID].MTU
	for _, ip := range p.FixedIPs {
		if l.subnets[ip.SubnetID] == nil {
			var answer struct{ Subnet subnet }
			if err := l.get(ctx, "subnets", ip.SubnetID, &answer); err != nil {
				return v, err
			}
			l.subnets[ip.SubnetID] = &answer.Subnet
		}
		if s, ok := l.subnets[ip.SubnetID].told(ip.IPAddress); ok {
			v.Subnets = append(v.Subnets, s)
		}
	}
	return v, nil
}

// tagged are the networks that a port carries with tags.
func (l *lookup) tagged(ctx context.Context, p *port, on string) ([]seed.VIF, error) {
	var answer struct{ Port trunk }
	if err := l.get(ctx, "ports", p.ID, &answer); err != nil || answer.Port.Details == nil {
		return nil, err
	}
	var out []seed.VIF
	for _, sub := range answer.Port.Details.Ports {
		if sub.Kind != "" && sub.Kind != "vlan" {
			continue
		}
		below, err := l.d.vif(ctx, sub.ID)
		if err != nil {
			return nil, err
		}
		if below == nil {
			continue // it has just gone
		}
		v, err := l.describe(ctx, below, on)
		if err != nil {
			return nil, err
		}
		v.VLAN = sub.Tag
		out = append(out, v)
	}
	return out, nil
}

// told is a subnet as an instance is told of it, with its address there.
func (s *subnet) told(address string) (out seed.Subnet, ok bool) {
	switch {
	case s.Version == 6 && s.DHCP && (s.Mode == "" || s.Mode == "slaac"):
		out.By = seed.BySLAAC
	case s.Version == 6 && s.DHCP:
		out.By = seed.ByDHCPv6
	case s.DHCP:
		out.By = seed.ByDHCPv4
	default:
		at, err := netip.ParseAddr(address)
		net, wrong := netip.ParsePrefix(s.CIDR)
		if err != nil || wrong != nil {
			return out, false
		}
		out.Address = netip.PrefixFrom(at, net.Bits())
		out.Gateway, _ = netip.ParseAddr(s.Gateway) // null: there is none
	}
	for _, r := range s.Routes {
		to, err := netip.ParsePrefix(r.To)
		via, wrong := netip.ParseAddr(r.Via)
		if err == nil && wrong == nil {
			out.Routes = append(out.Routes, seed.NetworkRoute{To: to, Via: via})
		}
	}
	for _, text := range s.DNS {
		if a, err := netip.ParseAddr(text); err == nil {
			out.DNS = append(out.DNS, a)
		}
	}
	return out, true
}
