package netboot

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"ingot/internal/metal"
)

// Neighbor asks the kernel which MAC an address of a neighbour has; "" if it knows none. A link-local address is of the
// link of its zone: another link may have the same.
func Neighbor(a netip.Addr) string {
	family := netlink.FAMILY_V4
	if a.Is6() {
		family = netlink.FAMILY_V6
	}
	const usable = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
	link := 0 // of any
	if a.IsLinkLocalUnicast() && a.Is6() {
		i, err := net.InterfaceByName(a.Zone())
		if err != nil {
			return ""
		}
		link, a = i.Index, a.WithZone("")
	}
	all, err := netlink.NeighListExecute(netlink.Ndmsg{Family: uint8(family), Index: uint32(link)})
	if err != nil {
		return ""
	}
	for _, n := range all {
		ip, ok := netip.AddrFromSlice(n.IP)
		if ok && ip.Unmap() == a && (link == 0 || n.LinkIndex == link) && n.State&usable != 0 && len(n.HardwareAddr) == 6 {
			return n.HardwareAddr.String()
		}
	}
	return ""
}

// bootAt is the boot of the machine that has an address: what GRUB's fixed names mean for it. Who has the address is told by
// the kernel, which speaks with the machine, and by the lease; when they name two machines, it is neither's.
func (s *Service) bootAt(ctx context.Context, a netip.Addr) (*metal.NetworkBoot, error) {
	a = a.Unmap()
	mac := s.neighbor(a)
	a = a.WithZone("")
	if s.o.Leases != nil {
		l, err := s.o.Leases.Holder(ctx, a, s.now())
		if err != nil {
			return nil, fmt.Errorf("look for the lease of %s: %w", a, err)
		}
		switch {
		case l == nil:
		case mac == "":
			mac = l.MAC
		case l.MAC != mac:
			s.log.Warn("an address is used by another machine than has leased it", "address", a, "mac", mac, "leased_to", l.MAC)
			return nil, silence{reason: "address of another"}
		}
	}
	if mac == "" {
		return nil, silence{reason: "unknown machine"}
	}
	b, err := s.o.Boots.ByMAC(ctx, mac)
	if err != nil {
		return nil, fmt.Errorf("look for the boot of %s: %w", mac, err)
	}
	if b == nil {
		return nil, silence{reason: "no boot"}
	}
	return b, nil
}
