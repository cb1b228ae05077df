package netboot

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
)

// query6 is a DHCPv6 message that was found in order.
type query6 struct {
	*dhcpv6.Message

	from  netip.Addr
	relay *dhcpv6.RelayMessage // what it came in; nil: from the link itself
	mac   string               // "": not known
	asker asker
	duid  []byte
}

// maxRelays is how many relays a message may have come through. Source: RFC 8415 section 7.6, HOP_COUNT_LIMIT.
const maxRelays = 8

// parse6 reads a message. One that is not a client's, or not in order, is an error.
func parse6(raw []byte, from netip.AddrPort) (q query6, err error) {
	if len(raw) > maxPacket {
		return q, silence{reason: "malformed", detail: "longer than a frame"}
	}
	p, err := dhcpv6.FromBytes(raw)
	if err != nil {
		return q, silence{reason: "malformed", detail: err.Error()}
	}
	q.from = from.Addr()
	link, inner := q.from, p
	for depth := 0; ; depth++ {
		r, relayed := inner.(*dhcpv6.RelayMessage)
		if !relayed {
			break
		}
		if depth >= maxRelays || r.MessageType != dhcpv6.MessageTypeRelayForward {
			return q, silence{reason: "malformed", detail: "relays"}
		}
		if depth == 0 {
			q.relay = r
		}
		if inner = r.Options.RelayMessage(); inner == nil {
			return q, silence{reason: "malformed", detail: "a relay's message without a message"}
		}
		link, _ = netip.AddrFromSlice(r.PeerAddr) // the innermost relay heard the machine itself
		if kind, mac := r.Options.ClientLinkLayerAddress(); kind == iana.HWTypeEthernet && len(mac) == 6 {
			q.mac = mac.String()
		}
	}
	m, isMessage := inner.(*dhcpv6.Message)
	if !isMessage {
		return q, silence{reason: "malformed"}
	}
	q.Message = m
	return q, q.read(link)
}

// read takes what the options tell of who asks.
func (q *query6) read(link netip.Addr) error {
	raw := q.GetOneOption(dhcpv6.OptionClientID)
	if raw != nil {
		q.duid = raw.ToBytes()
	}
	if len(q.duid) > 130 { // RFC 8415 section 11.1
		return silence{reason: "malformed", detail: "DUID"}
	}
	duid := q.Options.ClientID()
	if q.mac == "" {
		q.mac = macOf(link)
	}
	if q.mac == "" {
		q.mac = macOfDUID(duid)
	}
	if u, isUUID := duid.(*dhcpv6.DUIDUUID); isUUID {
		q.asker.uuid = uuidOf(append([]byte{0}, u.UUID[:]...))
	}
	for _, v := range q.Options.VendorClasses() {
		for _, text := range v.Data {
			if class, archs := classOf(text); class != "" {
				q.asker.class, q.asker.archs = class, archs
			}
		}
	}
	if a := q.GetOneOption(dhcpv6.OptionClientArchType); a != nil {
		if q.asker.archs = archsOf(a.ToBytes()); q.asker.archs == nil {
			return silence{reason: "malformed", detail: "option 61"}
		}
	}
	for _, class := range q.Options.UserClasses() {
		q.asker.ipxe = q.asker.ipxe || string(class) == "iPXE"
	}
	return nil
}

// macOf is the MAC in a link-local address that was made of one; "" if it was not. Source: RFC 4291 appendix A.
func macOf(a netip.Addr) string {
	b := a.As16()
	if !a.Is6() || !a.IsLinkLocalUnicast() || b[11] != 0xff || b[12] != 0xfe {
		return ""
	}
	return net.HardwareAddr{b[8] ^ 2, b[9], b[10], b[13], b[14], b[15]}.String()
}

func macOfDUID(d dhcpv6.DUID) string {
	switch d := d.(type) {
	case *dhcpv6.DUIDLL:
		if d.HWType == iana.HWTypeEthernet && len(d.LinkLayerAddr) == 6 {
			return d.LinkLayerAddr.String()
		}
	case *dhcpv6.DUIDLLT:
		if d.HWType == iana.HWTypeEthernet && len(d.LinkLayerAddr) == 6 {
			return d.LinkLayerAddr.String()
		}
	}
	return ""
}

// answer6 answers a message that came in on an interface. The reply is wrapped for the relay it came through.
func (s *Service) answer6(ctx context.Context, iface string, q query6) (dhcpv6.DHCPv6, *Network, error) {
	n := s.network6(iface, q)
	if n == nil {
		return nil, nil, silence{reason: "unknown network"}
	}
	if q.mac == "" {
		return nil, n, silence{reason: "no MAC", detail: "neither its address nor its DUID tells one"}
	}
	known, boot, err := s.who(ctx, q.mac, q.asker)
	if err != nil {
		return nil, n, err
	}
	r, err := s.reply6(ctx, n, q, known)
	if err != nil {
		return nil, n, err
	}
	var p Place
	if boot != nil {
		p = s.place(n, s.server6(n), boot.Key)
	}
	o, err := s.offerTo(ctx, boot, q.asker, p, s.server6(n))
	var quiet silence
	switch {
	case err == nil:
		r.AddOption(dhcpv6.OptBootFileURL(o.url))
		if o.http {
			r.AddOption(&dhcpv6.OptVendorClass{EnterpriseNumber: vendorUEFI, Data: [][]byte{[]byte(classHTTP)}})
		}
	case !errors.As(err, &quiet):
		return nil, n, err
	default:
		s.log.Debug("no boot file", "network", n.Name, "mac", q.mac, "node", known.NodeUUID, "reason", quiet.Error())
	}
	if q.relay == nil {
		return r, n, nil
	}
	out, err := dhcpv6.NewRelayReplFromRelayForw(q.relay, r)
	return out, n, err
}

// vendorUEFI is the enterprise number in the vendor class of UEFI's HTTP boot (Intel's). Source: UEFI specification, 24.7.3.
const vendorUEFI = 343

// network6 is the network a message is from. What comes from afar is of none: the reply goes back there with the key of a
// boot. A machine itself asks from its link-local address; a relay from one of its network, or that the networks file
// names. Source: RFC 8415 sections 16 and 19.1.
func (s *Service) network6(iface string, q query6) *Network {
	var link netip.Addr
	if q.relay != nil {
		link, _ = netip.AddrFromSlice(q.relay.LinkAddr)
	}
	for i := range s.networks {
		n := &s.networks[i]
		if n.DHCPv6 == ModeOff || n.Interface != iface {
			continue
		}
		if q.relay == nil && !n.Relayed && q.from.IsLinkLocalUnicast() {
			return n
		}
		if q.relay != nil && n.Subnet6.IsValid() && n.Subnet6.Contains(link) && n.relayedBy(q.from) {
			return n
		}
	}
	return nil
}

// relayedBy tells whether an address may be a relay's of the network.
func (n *Network) relayedBy(a netip.Addr) bool {
	return a.IsLinkLocalUnicast() || n.Subnet6.Contains(a) || slices.Contains(n.Relays, a)
}

// reply6 makes the answer without what is about boots. Source: RFC 8415 section 18.3.
func (s *Service) reply6(ctx context.Context, n *Network, q query6, known *Known) (*dhcpv6.Message, error) {
	kind, err := s.mayAnswer6(n, q)
	if err != nil {
		return nil, err
	}
	r := &dhcpv6.Message{MessageType: kind, TransactionID: q.TransactionID}
	if q.duid != nil {
		r.AddOption(q.GetOneOption(dhcpv6.OptionClientID))
	}
	r.AddOption(dhcpv6.OptServerID(s.duid))
	if kind == dhcpv6.MessageTypeReply && q.Options.GetOne(dhcpv6.OptionRapidCommit) != nil && q.MessageType == dhcpv6.MessageTypeSolicit {
		r.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
	}
	if len(n.DNS6) > 0 {
		r.AddOption(dhcpv6.OptDNS(ips(n.DNS6)...))
	}
	for _, ia := range q.Options.IANA()[:min(len(q.Options.IANA()), maxIAs)] {
		out, err := s.ia6(ctx, n, q, known, ia)
		if err != nil {
			return nil, err
		}
		if out != nil {
			r.AddOption(out)
		}
	}
	if q.MessageType == dhcpv6.MessageTypeRelease || q.MessageType == dhcpv6.MessageTypeDecline {
		r.AddOption(&dhcpv6.OptStatusCode{StatusCode: iana.StatusSuccess})
	}
	return r, nil
}

// maxIAs is how many addresses one message may ask for: a NIC that boots asks for one.
const maxIAs = 4

// mayAnswer6 tells with which message one of a client's is answered.
func (s *Service) mayAnswer6(n *Network, q query6) (dhcpv6.MessageType, error) {
	server := q.Options.ServerID()
	mine := server != nil && server.Equal(s.duid)
	if server != nil && !mine {
		return 0, silence{reason: "chose another server"}
	}
	stateful := n.DHCPv6 == ModeServer
	switch q.MessageType {
	case dhcpv6.MessageTypeInformationRequest:
		return dhcpv6.MessageTypeReply, nil
	case dhcpv6.MessageTypeSolicit:
		switch {
		case server != nil || q.duid == nil:
			return 0, silence{reason: "malformed", detail: "a solicit without a client, or with a server"}
		case stateful && q.Options.GetOne(dhcpv6.OptionRapidCommit) != nil:
			return dhcpv6.MessageTypeReply, nil
		case stateful:
			return dhcpv6.MessageTypeAdvertise, nil
		}
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline:
		if !mine || q.duid == nil {
			return 0, silence{reason: "malformed", detail: "no client, or no server"}
		}
		if stateful {
			return dhcpv6.MessageTypeReply, nil
		}
	case dhcpv6.MessageTypeRebind:
		if stateful && q.duid != nil {
			return dhcpv6.MessageTypeReply, nil
		}
	default: // CONFIRM too: RFC 8415 section 18.3.3 lets a server be silent
		return 0, silence{reason: "no message that is answered"}
	}
	return 0, silence{reason: "no addresses here"}
}

// ia6 answers one identity association: with its address, or with why it has none. Nil for what needs no answer.
func (s *Service) ia6(ctx context.Context, n *Network, q query6, known *Known, ia *dhcpv6.OptIANA) (*dhcpv6.OptIANA, error) {
	w := want{known: known, mac: q.mac, client: hex.EncodeToString(q.duid) + "/" + hex.EncodeToString(ia.IaId[:]), life: n.LeaseTime}
	if a := ia.Options.OneAddress(); a != nil {
		w.addr, _ = netip.AddrFromSlice(a.IPv6Addr)
	}
	out := &dhcpv6.OptIANA{IaId: ia.IaId, T1: n.LeaseTime / 2, T2: n.LeaseTime * 4 / 5}
	var quiet silence
	switch q.MessageType {
	case dhcpv6.MessageTypeInformationRequest:
		return nil, silence{reason: "malformed", detail: "an information request for an address"}
	case dhcpv6.MessageTypeRelease:
		if err := s.release(ctx, n, w, w.addr); !errors.As(err, &quiet) {
			return nil, err
		}
		return nil, nil //nolint:nilnil // nothing to say
	case dhcpv6.MessageTypeDecline:
		if err := s.decline(ctx, n, w, w.addr); !errors.As(err, &quiet) {
			return nil, err
		}
		return nil, nil //nolint:nilnil // nothing to say
	case dhcpv6.MessageTypeSolicit:
		if q.Options.GetOne(dhcpv6.OptionRapidCommit) == nil {
			w.life = offerTime
		}
	case dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind:
		w.strict = true
	}
	l, err := s.lease(ctx, n, n.Range6, w)
	status := iana.StatusNoAddrsAvail
	if errors.As(err, &quiet) {
		status = iana.StatusNoBinding
	} else if err != nil && !errors.Is(err, errExhausted) {
		return nil, err
	}
	if err != nil {
		out.T1, out.T2 = 0, 0
		out.Options.Add(&dhcpv6.OptStatusCode{StatusCode: status, StatusMessage: "no address"})
		return out, nil
	}
	out.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: l.Address.AsSlice(), PreferredLifetime: n.LeaseTime, ValidLifetime: n.LeaseTime})
	s.log.Debug("lease", "network", n.Name, "mac", q.mac, "node", known.NodeUUID, "address", l.Address, "until", l.Until.UTC().Format(time.RFC3339))
	return out, nil
}

// serverDUID is this server's, of a name that stays: RFC 8415 section 11.5 wants it to be the same after a restart.
func serverDUID(mac net.HardwareAddr) (dhcpv6.DUID, error) {
	if len(mac) != 6 {
		return nil, fmt.Errorf("the interface has no MAC")
	}
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: mac}, nil
}
