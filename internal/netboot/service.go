package netboot

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/sync/errgroup"

	"ingot/internal/secret"
)

// Options are what the boot services are made of.
type Options struct {
	Networks   []Network // of ParseNetworks
	Boots      Boots
	Leases     Leases // nil only if no network gives addresses
	HTTPListen string // address of an own HTTP listener; "": none
	// BootURL is where another listener of this process serves Handler, as machines reach it; "": nowhere. The own
	// listener is preferred.
	BootURL string
	// TFTPListen is the address of the TFTP server; "": none.
	TFTPListen string
	Log        *slog.Logger
	// Count is told of every packet and request: what served it, and in a word how. Nil: nobody is.
	Count func(service, outcome string)
}

// ports are those of DHCP. Tests have others.
type ports struct{ server4, client4, boot4, server6, client6 uint16 }

// The ports. Source: RFC 2131, PXE specification 2.1, RFC 8415.
var wellKnown = ports{server4: 67, client4: 68, boot4: 4011, server6: 547, client6: 546}

// Service answers machines that boot. It is safe for many goroutines.
type Service struct {
	o         Options
	networks  []Network
	ports     ports
	log       *slog.Logger
	duid      dhcpv6.DUID
	transfers transfers
	gate      chan struct{} // a token for each HTTP request and TFTP transfer that runs
	packets   chan struct{} // a token for each DHCP packet that is being answered
	now       func() time.Time
	neighbor  func(netip.Addr) string // the MAC the kernel knows of an address

	sockets []*socket
	tftp    *net.UDPConn
	http    net.Listener
}

const (
	maxTransfers = 256
	maxAnswers   = 64
)

// New makes the services and opens their sockets, so that a missing right is known before anything runs.
func New(o Options) (*Service, error) {
	s := newService(o, wellKnown)
	if err := s.open(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func newService(o Options, p ports) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Service{o: o, networks: slices.Clone(o.Networks), ports: p, log: o.Log, gate: make(chan struct{}, maxTransfers),
		packets: make(chan struct{}, maxAnswers), now: time.Now, neighbor: Neighbor,
		duid: &dhcpv6.DUIDLL{HWType: 1, LinkLayerAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}}
}

// open finds the addresses of the networks and opens what is configured.
func (s *Service) open() error {
	seen := map[string]bool{}
	for i := range s.networks {
		n := &s.networks[i]
		if n.DHCP == ModeOff && n.DHCPv6 == ModeOff {
			continue
		}
		iface, err := net.InterfaceByName(n.Interface)
		if err != nil {
			return fmt.Errorf("network %s: there is no interface %s on this host: ip link shows those it has", n.Name, n.Interface)
		}
		if err := n.findServer(iface); err != nil {
			return err
		}
		if d, err := serverDUID(iface.HardwareAddr); err == nil && len(seen) == 0 {
			s.duid = d
		}
		if s.o.Leases == nil && (n.DHCP == ModeServer || n.DHCPv6 == ModeServer) {
			return fmt.Errorf("network %s: there is no place for leases", n.Name)
		}
		if err := s.openDHCP(n, iface, seen); err != nil {
			return err
		}
	}
	return s.openFiles()
}

// findServer takes the addresses that a network does not say from its interface.
func (n *Network) findServer(iface *net.Interface) error {
	addrs, err := iface.Addrs()
	if err != nil {
		return fmt.Errorf("network %s: addresses of %s: %w", n.Name, n.Interface, err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := p.Addr().Unmap()
		if !n.Server.IsValid() && ip.Is4() && n.Subnet.IsValid() && n.Subnet.Contains(ip) {
			n.Server = ip
		}
		if !n.Server6.IsValid() && ip.Is6() && !ip.IsLinkLocalUnicast() && (!n.Subnet6.IsValid() || n.Subnet6.Contains(ip)) {
			n.Server6 = ip
		}
	}
	switch {
	case n.DHCP != ModeOff && !n.Server.IsValid():
		return fmt.Errorf("network %s: %s has no address in %s: give it one, or say with server which machines reach", n.Name, n.Interface, n.Subnet)
	case n.DHCPv6 != ModeOff && !n.Server6.IsValid():
		return fmt.Errorf("network %s: %s has no IPv6 address that machines reach: give it one, or say it with server6", n.Name, n.Interface)
	}
	return nil
}

func (s *Service) server4(n *Network) netip.Addr { return n.Server }

func (s *Service) server6(n *Network) netip.Addr { return n.Server6 }

// place is where this process serves a boot's files, for a machine that reaches it by an address.
func (s *Service) place(n *Network, server netip.Addr, key secret.Secret) Place {
	var p Place
	if base := s.httpBase(n, server); base != "" {
		p.HTTP = base + "/netboot/" + key.Expose()
	}
	if s.o.TFTPListen != "" && server.IsValid() {
		p.TFTP = "tftp://" + host(server) + "/" + key.Expose()
	}
	return p
}

// httpBase is the URL of the HTTP listener without a slash at its end; "" for none. n may be nil.
func (s *Service) httpBase(n *Network, server netip.Addr) string {
	switch {
	case n != nil && n.HTTPURL != "":
		return strings.TrimRight(n.HTTPURL, "/")
	case s.http != nil && server.IsValid():
		at, err := netip.ParseAddrPort(s.http.Addr().String())
		if err != nil {
			return ""
		}
		if at.Port() == 80 {
			return "http://" + host(server)
		}
		return "http://" + host(server) + ":" + strconv.Itoa(int(at.Port()))
	case strings.HasPrefix(s.o.BootURL, "http://"):
		return strings.TrimRight(s.o.BootURL, "/")
	}
	return ""
}

func host(a netip.Addr) string {
	if a.Is6() {
		return "[" + a.WithZone("").String() + "]"
	}
	return a.String()
}

func (s *Service) count(service, outcome string) {
	if s.o.Count != nil {
		s.o.Count(service, outcome)
	}
}

// Run serves until ctx ends or a listener fails.
func (s *Service) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for _, k := range s.sockets {
		g.Go(func() error { return s.serveSocket(ctx, k) })
	}
	if s.tftp != nil {
		g.Go(func() error { return s.serveTFTP(ctx) })
	}
	if s.http != nil {
		g.Go(func() error { return s.serveHTTP(ctx) })
	}
	g.Go(func() error {
		<-ctx.Done()
		s.Close()
		return nil
	})
	return g.Wait()
}

// Close closes the sockets of services that do not run.
func (s *Service) Close() {
	for _, k := range s.sockets {
		k.conn.Close()
	}
	if s.tftp != nil {
		s.tftp.Close()
	}
	if s.http != nil {
		s.http.Close()
	}
}
