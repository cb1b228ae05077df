package peer

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"time"

	"ingot/internal/fault"
)

// Leases are those of a boot host's DHCP server.
type Leases interface {
	// Addresses are those that a MAC, in lower case, has leased, the newest first; none is no error.
	Addresses(ctx context.Context, mac string) ([]netip.Addr, error)
	// Holder is the MAC, in lower case, that has leased an address; "" for none.
	Holder(ctx context.Context, a netip.Addr) (mac string, err error)
}

const (
	// maxLeases is how many addresses of one MAC are told, and believed. A NIC has one of IPv4, and a few of IPv6.
	maxLeases = 16
	// leaseLimit is how long a boot host may take to tell them: it looks into its memory, and others may know.
	leaseLimit = 3 * time.Second
)

// leases answers which addresses a MAC has.
func (c *call) leases() (any, error) {
	mac, err := net.ParseMAC(c.r.PathValue("mac"))
	if err != nil || len(mac) != 6 {
		return nil, fault.New(fault.Invalid, "This is not the MAC of a NIC.")
	}
	found, err := c.o.Leases.Addresses(c.r.Context(), mac.String())
	if found == nil {
		found = []netip.Addr{}
	}
	return found[:min(len(found), maxLeases)], err
}

// leaseHolder answers which MAC has an address.
func (c *call) leaseHolder() (any, error) {
	a, err := netip.ParseAddr(c.r.PathValue("address"))
	if err != nil || a.Zone() != "" {
		return nil, fault.New(fault.Invalid, "This is not an address.")
	}
	return c.o.Leases.Holder(c.r.Context(), a.Unmap())
}

// LeaseHolder asks a boot host which MAC, in lower case, has leased an address there; "" for none.
func (p *Peer) LeaseHolder(ctx context.Context, at Server, a netip.Addr) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseLimit)
	defer cancel()
	var mac string
	if err := p.ask(ctx, at, http.MethodGet, "/v1/lease-holders/"+a.Unmap().WithZone("").String(), nil, &mac); err != nil || mac == "" {
		return "", err
	}
	hw, err := net.ParseMAC(mac)
	if err != nil || len(hw) != 6 {
		return "", fault.Wrap(fault.Unavailable, err, "Server %s gave an answer that cannot be read.", at.Name)
	}
	return hw.String(), nil
}

// Leases asks a boot host which addresses a MAC, in lower case, has leased there, the newest first.
func (p *Peer) Leases(ctx context.Context, at Server, mac string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseLimit)
	defer cancel()
	var raw json.RawMessage
	if err := p.ask(ctx, at, http.MethodGet, "/v1/leases/"+mac, nil, &raw); err != nil {
		return nil, err
	}
	found, err := parseLeases(raw)
	if err != nil {
		return nil, fault.Wrap(fault.Unavailable, err, "Server %s gave an answer that cannot be read.", at.Name)
	}
	return found, nil
}

// parseLeases reads what a boot host told. It may have been taken over: an address that no machine on a network of its can have would
// lead the conductor to itself, or to many at once.
func parseLeases(raw []byte) ([]netip.Addr, error) {
	var all []netip.Addr
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, err
	}
	if len(all) > maxLeases {
		return nil, fault.New(fault.TooLarge, "These are more addresses than a NIC has.")
	}
	for i, a := range all {
		if a.Zone() != "" || !a.Unmap().IsGlobalUnicast() {
			return nil, fault.New(fault.Invalid, "%s is not the address of a machine.", a)
		}
		all[i] = a.Unmap()
	}
	return all, nil
}
