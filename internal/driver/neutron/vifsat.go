package neutron

import (
	"context"
	"net/netip"
	"slices"
)

// BoundVIF is a VIF of a node's user that Neutron says is bound to the node.
type BoundVIF struct {
	VIF  string // UUID of the port
	Node string // UUID
}

// VIFsAt are the VIFs with a fixed IP, of all networks, that are bound to something. Ports of ours are left out. Networks of several
// users may overlap: there may be more than one.
func (d *Driver) VIFsAt(ctx context.Context, a netip.Addr) ([]BoundVIF, error) {
	found, err := d.list(ctx, filter{"fixed_ips": {"ip_address=" + a.String()}})
	if err != nil {
		return nil, err
	}
	var out []BoundVIF
	for _, p := range found {
		if p.HostID == "" || p.hasAny(labels(p.HostID)) || !slices.ContainsFunc(p.FixedIPs, func(ip fixedIP) bool { return sameAddress(ip.IPAddress, a) }) {
			continue
		}
		out = append(out, BoundVIF{VIF: p.ID, Node: p.HostID})
	}
	return out, nil
}

// sameAddress tells whether a text is an address. A server that does not know the filter gives all ports.
func sameAddress(text string, a netip.Addr) bool {
	is, err := netip.ParseAddr(text)
	return err == nil && is.Unmap() == a.Unmap()
}
