package netboot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
)

// maxPacket bounds DHCP packets of both versions: what an Ethernet frame takes.
const maxPacket = 1500

// query4 is a DHCPv4 packet that was found in order.
type query4 struct {
	*dhcpv4.DHCPv4

	kind  dhcpv4.MessageType
	mac   string
	asker asker
	from  netip.AddrPort
	boot  bool // it came to port 4011, where only boot files are spoken of
}

// parse4 reads a packet. What is not a request of an Ethernet NIC in the form of RFC 2131 is an error.
func parse4(raw []byte, from netip.AddrPort, bootPort bool) (q query4, err error) {
	if len(raw) > maxPacket {
		return q, silence{reason: "malformed", detail: "longer than a frame"}
	}
	p, err := dhcpv4.FromBytes(raw)
	if err != nil {
		return q, silence{reason: "malformed", detail: err.Error()}
	}
	switch {
	case p.OpCode != dhcpv4.OpcodeBootRequest:
		return q, silence{reason: "not a request"}
	case p.HWType != iana.HWTypeEthernet || len(p.ClientHWAddr) != 6 || raw[2] != 6:
		return q, silence{reason: "malformed", detail: "not of an Ethernet NIC"}
	case p.ClientHWAddr[0]&1 != 0 || [6]byte(p.ClientHWAddr) == [6]byte{}:
		return q, silence{reason: "malformed", detail: "not the MAC of a NIC"}
	}
	kind := p.Options.Get(dhcpv4.OptionDHCPMessageType)
	if len(kind) != 1 {
		return q, silence{reason: "malformed", detail: "no message type"}
	}
	q = query4{DHCPv4: p, kind: dhcpv4.MessageType(kind[0]), mac: p.ClientHWAddr.String(), from: from, boot: bootPort}
	q.asker, err = asker4(p)
	return q, err
}

// asker4 reads the options about who boots. One that is there and malformed is an error: a firmware that is misread would
// get another's loader.
func asker4(p *dhcpv4.DHCPv4) (a asker, err error) {
	var archs []uint16
	a.class, archs = classOf(p.Options.Get(dhcpv4.OptionClassIdentifier))
	if raw := p.Options.Get(dhcpv4.OptionClientSystemArchitectureType); raw != nil {
		if archs = archsOf(raw); archs == nil {
			return a, silence{reason: "malformed", detail: "option 93"}
		}
	}
	a.archs = archs
	a.ipxe = isIPXE(p.Options.Get(dhcpv4.OptionUserClassInformation)) || p.Options.Has(dhcpv4.GenericOptionCode(175))
	if raw := p.Options.Get(dhcpv4.OptionClientMachineIdentifier); raw != nil {
		if len(raw) != 17 {
			return a, silence{reason: "malformed", detail: "option 97"}
		}
		a.uuid = uuidOf(raw)
	}
	a.mute = a.uuid == nil
	return a, nil
}

// answer4 answers a packet that came in on an interface; where to is what RFC 2131 section 4.1 says. An error is a
// silence, or something that failed.
func (s *Service) answer4(ctx context.Context, iface string, q query4) (*dhcpv4.DHCPv4, netip.AddrPort, *Network, error) {
	n := s.network4(iface, q)
	if n == nil {
		return nil, netip.AddrPort{}, nil, silence{reason: "unknown network", detail: fmt.Sprint("relay ", q.GatewayIPAddr)}
	}
	known, boot, err := s.who(ctx, q.mac, q.asker)
	if err != nil {
		return nil, netip.AddrPort{}, n, err
	}
	r, err := dhcpv4.NewReplyFromRequest(q.DHCPv4)
	if err != nil {
		return nil, netip.AddrPort{}, n, silence{reason: "malformed", detail: err.Error()}
	}
	if id := q.Options.Get(dhcpv4.OptionClientIdentifier); id != nil {
		r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientIdentifier, id)) // RFC 6842
	}
	server := s.server4(n)
	r.UpdateOption(dhcpv4.OptServerIdentifier(net.IP(server.AsSlice())))
	if q.boot || n.DHCP == ModeProxy {
		err = s.proxy4(q, r)
	} else {
		err = s.serve4(ctx, n, q, r, known)
	}
	if err != nil || r.MessageType() == dhcpv4.MessageTypeNak {
		return r, s.target4(q, r), n, err
	}
	var p Place
	if boot != nil {
		p = s.place(n, server, boot.Key)
	}
	o, err := s.offerTo(ctx, boot, q.asker, p, server)
	var quiet silence
	switch {
	case err == nil:
		o.into4(r, q, n.DHCP == ModeProxy || q.boot)
	case q.boot || n.DHCP == ModeProxy || !errors.As(err, &quiet):
		return nil, netip.AddrPort{}, n, err
	default: // an address it gets all the same
		s.log.Debug("no boot file", "network", n.Name, "mac", q.mac, "node", known.NodeUUID, "reason", quiet.Error())
		s.count("dhcpv4", "address only")
	}
	return r, s.target4(q, r), n, nil
}

// network4 is the network a packet is from: the relay's, or that of the interface.
func (s *Service) network4(iface string, q query4) *Network {
	relay, relayed := addr4(q.GatewayIPAddr)
	for i := range s.networks {
		n := &s.networks[i]
		if n.DHCP == ModeOff || n.Interface != iface {
			continue
		}
		if relayed && n.Subnet.Contains(relay) || !relayed && !n.Relayed && !q.boot {
			return n
		}
		if q.boot && !relayed && n.Subnet.Contains(q.from.Addr().Unmap()) { // unicast from the machine's address
			return n
		}
	}
	return nil
}

// addr4 is an address of a packet; false for none.
func addr4(ip net.IP) (netip.Addr, bool) {
	a, ok := netip.AddrFromSlice(ip.To4())
	return a, ok && !a.IsUnspecified()
}

// serve4 fills a reply with an address and what belongs to it.
func (s *Service) serve4(ctx context.Context, n *Network, q query4, r *dhcpv4.DHCPv4, known *Known) error {
	w := want{known: known, mac: q.mac, life: n.LeaseTime}
	asked, hasAsked := addr4(q.RequestedIPAddress())
	current, hasCurrent := addr4(q.ClientIPAddr)
	if id := q.ServerIdentifier(); q.Options.Has(dhcpv4.OptionServerIdentifier) && !id.Equal(r.ServerIdentifier()) {
		return silence{reason: "chose another server"}
	}
	kind := dhcpv4.MessageTypeAck
	switch q.kind {
	case dhcpv4.MessageTypeDiscover:
		kind, w.addr, w.life = dhcpv4.MessageTypeOffer, asked, offerTime
	case dhcpv4.MessageTypeRequest:
		switch {
		case hasAsked:
			w.addr = asked
		case hasCurrent:
			w.addr = current
		default:
			return silence{reason: "malformed", detail: "a request for no address"}
		}
		w.strict = true
	case dhcpv4.MessageTypeInform:
		if !hasCurrent || !n.Subnet.Contains(current) {
			return silence{reason: "address not its own"}
		}
		r.UpdateOption(dhcpv4.OptMessageType(kind))
		n.into4(r)
		return nil
	case dhcpv4.MessageTypeDecline:
		return s.decline(ctx, n, w, asked)
	case dhcpv4.MessageTypeRelease:
		return s.release(ctx, n, w, current)
	default:
		return silence{reason: "malformed", detail: "no message of a client"}
	}
	l, err := s.lease(ctx, n, n.Range, w)
	var quiet silence
	if errors.As(err, &quiet) && w.strict { // so that it asks anew at once
		s.count("dhcpv4", "nak")
		r.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak))
		r.ClientIPAddr = net.IPv4zero
		return nil
	}
	if err != nil {
		return err
	}
	r.UpdateOption(dhcpv4.OptMessageType(kind))
	r.YourIPAddr = net.IP(l.Address.AsSlice())
	r.UpdateOption(dhcpv4.OptIPAddressLeaseTime(n.LeaseTime))
	n.into4(r)
	if kind == dhcpv4.MessageTypeAck {
		s.log.Info("lease", "network", n.Name, "mac", q.mac, "node", known.NodeUUID, "address", l.Address)
	}
	return nil
}

// into4 adds what is the same for all machines of a network.
func (n *Network) into4(r *dhcpv4.DHCPv4) {
	r.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(n.Subnet.Bits(), 32)))
	if len(n.Routers) > 0 {
		r.UpdateOption(dhcpv4.OptRouter(ips(n.Routers)...))
	}
	if len(n.DNS) > 0 {
		r.UpdateOption(dhcpv4.OptDNS(ips(n.DNS)...))
	}
	if n.Domain != "" {
		r.UpdateOption(dhcpv4.OptDomainName(n.Domain))
	}
}

func ips(addrs []netip.Addr) []net.IP {
	out := make([]net.IP, len(addrs))
	for i, a := range addrs {
		out[i] = a.AsSlice()
	}
	return out
}

// decline keeps an address from everybody for a while: a machine found somebody else on it.
func (s *Service) decline(ctx context.Context, n *Network, w want, a netip.Addr) error {
	held, err := s.o.Leases.Holder(ctx, a, s.now())
	if err != nil {
		return fmt.Errorf("look for the lease: %w", err)
	}
	if held == nil || held.MAC != w.mac || held.Client != w.client || held.Network != n.Name {
		return silence{reason: "address not its own"} // nobody takes addresses from others with this
	}
	all, err := s.o.Leases.List(ctx, n.Name)
	if err != nil {
		return fmt.Errorf("read the leases: %w", err)
	}
	now, before := s.now(), 0
	for _, l := range all {
		if l.Declined && l.Node == w.known.NodeUUID && l.Until.After(now) {
			before++
		}
	}
	if before >= maxDeclined {
		return silence{reason: "declined too often"}
	}
	if err := s.o.Leases.Drop(ctx, *held); err != nil {
		return fmt.Errorf("drop the lease: %w", err)
	}
	bad := Lease{Network: n.Name, Address: a, Node: w.known.NodeUUID, Until: now.Add(declineTime), Declined: true}
	if err := s.o.Leases.Hold(ctx, bad, now); err != nil {
		return fmt.Errorf("keep the address from others: %w", err)
	}
	s.log.Warn("a machine found its address in use by another", "network", n.Name, "address", a, "mac", w.mac, "node", w.known.NodeUUID)
	return silence{reason: "declined"}
}

func (s *Service) release(ctx context.Context, n *Network, w want, a netip.Addr) error {
	if err := s.o.Leases.Drop(ctx, Lease{Network: n.Name, Address: a, MAC: w.mac, Client: w.client}); err != nil {
		return fmt.Errorf("drop the lease: %w", err)
	}
	return silence{reason: "released"}
}

// proxy4 begins a reply beside the site's own server: no address, only who offers a boot file. Source: PXE
// specification 2.1, section 2.2.3.
func (s *Service) proxy4(q query4, r *dhcpv4.DHCPv4) error {
	if q.asker.class == "" {
		return silence{reason: "asks for no boot file"}
	}
	switch {
	case q.kind == dhcpv4.MessageTypeDiscover && !q.boot:
		r.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeOffer))
	case q.kind == dhcpv4.MessageTypeRequest && q.boot, q.kind == dhcpv4.MessageTypeInform && q.boot:
		r.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeAck))
	default:
		return silence{reason: "for the site's server"}
	}
	return nil
}

// maxBootFile is what fits into the header's field with its end.
const maxBootFile = 127

// into4 adds a boot file: in the header, where old firmware looks, if it fits, and as options.
func (o offer) into4(r *dhcpv4.DHCPv4, q query4, proxy bool) {
	if len(o.file) <= maxBootFile && !o.http {
		r.BootFileName = o.file
	}
	if o.tftp.IsValid() {
		r.ServerIPAddr = net.IP(o.tftp.AsSlice())
		r.UpdateOption(dhcpv4.OptTFTPServerName(o.tftp.String()))
	}
	r.UpdateOption(dhcpv4.OptBootFileName(o.file))
	if raw := q.Options.Get(dhcpv4.OptionClientMachineIdentifier); raw != nil && proxy {
		r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionClientMachineIdentifier, raw)) // PXE 2.1 wants it back
	}
	switch {
	case o.http: // without it a firmware takes no URL. Source: UEFI specification, section 24.7.3
		r.UpdateOption(dhcpv4.OptClassIdentifier(classHTTP))
	case proxy:
		r.UpdateOption(dhcpv4.OptClassIdentifier(classPXE))
		// PXE_DISCOVERY_CONTROL with bit 3: load the boot file that is named here, look for no boot servers.
		r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionVendorSpecificInformation, []byte{6, 1, 8, 255}))
	}
}

// target4 is where a reply goes. To a machine without an address it is broadcast: unicast to one needs an entry in the
// ARP table that only a raw socket could do without. To an address that a packet names it goes only when that is the
// machine's, in this network: a reply holds the key of a boot, and must not leave it. Source: RFC 2131 section 4.1.
func (s *Service) target4(q query4, r *dhcpv4.DHCPv4) netip.AddrPort {
	relay, relayed := addr4(q.GatewayIPAddr)
	current, hasCurrent := addr4(q.ClientIPAddr)
	leased, hasLeased := addr4(r.YourIPAddr)
	switch {
	case relayed:
		return netip.AddrPortFrom(relay, s.ports.server4)
	case q.boot:
		return q.from
	case !hasCurrent || r.MessageType() != dhcpv4.MessageTypeAck:
	case hasLeased && current == leased, q.kind == dhcpv4.MessageTypeInform: // whose address was looked at
		return netip.AddrPortFrom(current, s.ports.client4)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), s.ports.client4)
}
