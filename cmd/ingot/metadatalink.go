package main

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"

	"ingot/internal/netboot"
)

// neighbours tells the metadata service which MAC the kernel speaks with. Without check it does so for link-local addresses alone, which
// nothing else tells of.
func neighbours(check bool) func(netip.Addr) string {
	return func(a netip.Addr) string {
		local := a.Is6() && a.IsLinkLocalUnicast()
		if !local && (!check || !onLink(a)) {
			return ""
		}
		return netboot.Neighbor(a)
	}
}

// onLink tells whether an address is reached without a router: those behind one have no MAC here. It costs less than a look through
// all neighbours.
func onLink(a netip.Addr) bool {
	if a.IsLoopback() {
		return false
	}
	routes, err := netlink.RouteGet(net.IP(a.AsSlice()))
	if err != nil {
		return true // then the look decides
	}
	for _, r := range routes {
		if r.Gw != nil || r.Via != nil {
			return false
		}
	}
	return true
}
