package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// dhcpLimit is how long the first lease may take, over all tries.
	dhcpLimit = 3 * time.Minute
	// answerLimit and answerTries are one try's patience with a server.
	answerLimit = 5 * time.Second
	answerTries = 3
	againWait   = 5 * time.Second
	// defaultLease is used when a server names no time, which it must (RFC 2131 §4.3.1), and shortestLease
	// keeps a wrong one from keeping the NIC busy.
	defaultLease  = time.Hour
	shortestLease = time.Minute
)

// dhcpEverywhere asks on every NIC and returns when the first has a lease.
func dhcpEverywhere(ctx context.Context, log *slog.Logger, background *sync.WaitGroup) error {
	var nics []netlink.Link
	err := await(ctx, nicLimit, func() bool {
		nics = hardware()
		return len(nics) > 0
	})
	if errors.Is(err, errLimit) {
		return errors.New("this machine has no NIC that the ramdisk has a driver for")
	}
	if err != nil {
		return err
	}
	got := make(chan error, len(nics))
	for _, nic := range nics {
		background.Go(func() {
			if err := raise(ctx, log, nic); err != nil {
				log.Warn("NIC not up", "nic", nic.Attrs().Name, "error", err)
				return
			}
			lease(ctx, log, nic.Attrs().Name, got)
		})
	}
	select {
	case <-got:
		return nil
	case <-time.After(dhcpLimit):
		return fmt.Errorf("no DHCP server answered on %d NICs in %v", len(nics), dhcpLimit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hardware lists the NICs that are no software: loopback, bridges and tunnels have a type of their own.
func hardware() (nics []netlink.Link) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil
	}
	for _, l := range links {
		a := l.Attrs()
		if l.Type() == "device" && a.Flags&net.FlagLoopback == 0 && len(a.HardwareAddr) == 6 {
			nics = append(nics, l)
		}
	}
	return nics
}

// lease gets a lease and keeps it until ctx ends. got hears nil once, when the NIC has its address.
func lease(ctx context.Context, log *slog.Logger, nic string, got chan<- error) {
	told := false
	for ctx.Err() == nil {
		err := hold(ctx, log, nic, func() {
			if !told {
				told = true
				got <- nil
			}
		})
		if ctx.Err() == nil {
			log.Warn("no DHCP lease", "nic", nic, "error", err)
		}
		pause(ctx, againWait)
	}
}

// hold gets one lease and renews it for as long as the server lets it.
func hold(ctx context.Context, log *slog.Logger, nic string, ready func()) error {
	client, err := nclient4.New(nic, nclient4.WithTimeout(answerLimit), nclient4.WithRetry(answerTries))
	if err != nil {
		return fmt.Errorf("open a DHCP socket: %w", err)
	}
	defer client.Close()
	l, err := client.Request(ctx)
	if err != nil {
		return fmt.Errorf("ask for a lease: %w", err)
	}
	for {
		t := terms(l.ACK)
		if err := t.apply(nic); err != nil {
			return err
		}
		log.Info("DHCP lease", "nic", nic, "address", t.address.String(), "lasts", t.lasts)
		ready()
		pause(ctx, t.lasts/2)
		if l, err = client.Renew(ctx, l); err != nil {
			return fmt.Errorf("renew the lease: %w", err)
		}
	}
}

// offer is what we use of a lease.
type offer struct {
	address  netip.Prefix
	gateways []netip.Addr
	dns      []netip.Addr
	mtu      int
	lasts    time.Duration
}

func terms(ack *dhcpv4.DHCPv4) offer {
	o := offer{lasts: max(ack.IPAddressLeaseTime(defaultLease), shortestLease)}
	a, _ := netip.AddrFromSlice(ack.YourIPAddr.To4())
	bits, size := ack.SubnetMask().Size()
	if size != 32 {
		bits = 24
	}
	o.address = netip.PrefixFrom(a, bits)
	o.gateways, o.dns = addresses(ack.Router()), addresses(ack.DNS())
	if raw := ack.Options.Get(dhcpv4.OptionInterfaceMTU); len(raw) == 2 {
		o.mtu = int(raw[0])<<8 | int(raw[1])
	}
	return o
}

func addresses(ips []net.IP) (out []netip.Addr) {
	for _, ip := range ips {
		if a, ok := netip.AddrFromSlice(ip.To4()); ok && !a.IsUnspecified() {
			out = append(out, a)
		}
	}
	return out
}

// apply is done again at every renewal: the address's life is the lease's, and the kernel ends it if we do
// not come back.
func (o offer) apply(nic string) error {
	if !o.address.Addr().IsValid() || o.address.Addr().IsUnspecified() {
		return errors.New("the DHCP server gave no address")
	}
	link, err := netlink.LinkByName(nic)
	if err != nil {
		return err
	}
	if o.mtu >= 576 { // the least that IPv4 needs: RFC 791 §3.1
		if err := netlink.LinkSetMTU(link, o.mtu); err != nil {
			return fmt.Errorf("set MTU %d: %w", o.mtu, err)
		}
	}
	seconds := int(o.lasts.Seconds())
	if err := netlink.AddrReplace(link, &netlink.Addr{IPNet: ipNet(o.address), ValidLft: seconds, PreferedLft: seconds}); err != nil {
		return fmt.Errorf("add address %s: %w", o.address, err)
	}
	if len(o.gateways) > 0 {
		// A higher metric for a later NIC: the first one that has a way out keeps it.
		r := &netlink.Route{LinkIndex: link.Attrs().Index, Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0")), Gw: o.gateways[0].AsSlice(),
			Priority: 100 + link.Attrs().Index, Protocol: unix.RTPROT_DHCP}
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("add route by %s: %w", o.gateways[0], err)
		}
	}
	if len(o.dns) > 0 {
		return writeResolver(o.dns)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
