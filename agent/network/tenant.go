package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// A machine that was handed over is moved to its tenant's network a little later, by a switch that need not drop the
// carrier: nothing in the machine hears of it, and a lease of the network it was on would be kept until it ends. So DHCP is
// asked anew for some minutes: an offer that is not of the lease we have means that the machine was moved.
const (
	// moveLimit is how long a move is looked out for after the machine was handed over. moveEvery is how often.
	moveLimit = 15 * time.Minute
	moveEvery = 5 * time.Second
)

// timing is how patient Tenant is; tests are not.
type timing struct{ limit, every, answer time.Duration }

// Tenant gives a machine that was handed over the network that its data name, until ctx ends: static addresses at once,
// DHCP as above. What the machine had before is taken away when there is something in its place. It listens on no port:
// DHCP goes through packet sockets. What cannot be done now is tried again.
func Tenant(ctx context.Context, log *slog.Logger, data json.RawMessage) {
	tenant(ctx, log, data, timing{moveLimit, moveEvery, answerLimit})
}

func tenant(ctx context.Context, log *slog.Logger, data json.RawMessage, t timing) {
	plan, err := Parse(data)
	if err != nil { // was checked before the machine was handed over
		log.Error("network data of the tenant not read: DHCP instead", "error", err)
		plan = Plan{}
	}
	var following sync.WaitGroup
	defer following.Wait()
	if len(plan.Links) == 0 {
		everywhere(ctx, log, t, &following)
		return
	}
	for ctx.Err() == nil {
		if err = build(ctx, log, plan, t, &following); err == nil {
			<-ctx.Done() // those who follow leases go on, and what is static stays as it is
			return
		}
		log.Warn("the tenant's network is not whole, and is tried again", "after", againWhole, "error", err)
		pause(ctx, againWhole)
	}
}

// everywhere follows a lease on every NIC, also on one that comes late.
func everywhere(ctx context.Context, log *slog.Logger, t timing, following *sync.WaitGroup) {
	known := map[int]bool{}
	for ctx.Err() == nil {
		for _, nic := range hardware() {
			if known[nic.Attrs().Index] {
				continue
			}
			known[nic.Attrs().Index] = true
			following.Go(func() { follow(ctx, log, nic.Attrs().Name, t) })
		}
		pause(ctx, againWhole)
	}
}

// build makes what is static and starts to follow leases. It takes away what was there before.
func build(ctx context.Context, log *slog.Logger, plan Plan, t timing, following *sync.WaitGroup) error {
	for _, made := range madeLinks() {
		if err := netlink.LinkDel(made); err != nil {
			return fmt.Errorf("remove %s: %w", made.Attrs().Name, err)
		}
	}
	nics := hardware()
	for _, l := range plan.Links {
		if l.Bond == nil && l.VLAN == nil {
			nic, err := nicByMAC(ctx, l.MAC)
			if err != nil {
				return fmt.Errorf("%s: %w", l.title(), err)
			}
			nics = append(nics, nic)
		}
	}
	for _, nic := range nics {
		if err := flush(nic, nil); err != nil {
			return fmt.Errorf("take addresses from %s: %w", nic.Attrs().Name, err)
		}
	}
	names := devices{}
	var leased []string
	for _, l := range plan.Links {
		name, err := l.address(ctx, log, names)
		if err != nil {
			return fmt.Errorf("%s: %w", l.title(), err)
		}
		if l.DHCP {
			leased = append(leased, name)
		}
	}
	if len(plan.DNS) > 0 {
		if err := writeResolver(plan.DNS); err != nil {
			return err
		}
	}
	for _, name := range leased {
		following.Go(func() { follow(ctx, log, name, t) })
	}
	return nil
}

// madeLinks are the bonds and VLANs that are there.
func madeLinks() (made []netlink.Link) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil
	}
	for _, kind := range []string{"vlan", "bond"} { // what lies on others first
		for _, l := range links {
			if l.Type() == kind {
				made = append(made, l)
			}
		}
	}
	return made
}

// follow keeps a lease on a NIC, and takes another when the machine was moved.
func follow(ctx context.Context, log *slog.Logger, nic string, t timing) {
	moved := time.Now().Add(t.limit)
	carrier := watch(ctx, log, nic)
	for ctx.Err() == nil {
		if err := holdOrMove(ctx, log, nic, carrier, &moved, t); err != nil && ctx.Err() == nil {
			log.Warn("no DHCP lease", "nic", nic, "error", err)
		}
		pause(ctx, t.every)
	}
}

// holdOrMove gets a lease and keeps it, until it cannot be renewed.
func holdOrMove(ctx context.Context, log *slog.Logger, nic string, carrier <-chan struct{}, until *time.Time, t timing) error {
	link, err := netlink.LinkByName(nic)
	if err != nil {
		return err
	}
	if err := raise(ctx, log, link); err != nil {
		return err
	}
	client, err := nclient4.New(nic, nclient4.WithTimeout(t.answer), nclient4.WithRetry(1))
	if err != nil {
		return fmt.Errorf("open a DHCP socket: %w", err)
	}
	defer client.Close()
	solicit(link, log)
	l, err := client.Request(ctx)
	if err != nil {
		return fmt.Errorf("ask for a lease: %w", err)
	}
	for {
		if err := settle(log, nic, l); err != nil {
			return err
		}
		next, err := awaitMove(ctx, log, client, link, l, carrier, until, t)
		if err != nil {
			return err
		}
		if next == nil {
			if next, err = client.Renew(ctx, l); err != nil {
				return fmt.Errorf("renew the lease: %w", err)
			}
		}
		l = next
	}
}

// awaitMove returns when the lease is to be renewed (nil), or with the lease of another network.
func awaitMove(ctx context.Context, log *slog.Logger, client *nclient4.Client, link netlink.Link, l *nclient4.Lease, carrier <-chan struct{}, until *time.Time, t timing) (*nclient4.Lease, error) {
	renew := time.Now().Add(terms(l.ACK).lasts / 2)
	for {
		wait := time.Until(renew)
		if time.Now().Before(*until) {
			wait = min(wait, t.every)
		}
		timer := time.NewTimer(max(wait, 0))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		case <-carrier: // plugged in again, perhaps elsewhere
			timer.Stop()
			*until = time.Now().Add(t.limit)
		case <-timer.C:
			if !time.Now().Before(renew) {
				return nil, nil
			}
		}
		solicit(link, log)
		offer, err := client.DiscoverOffer(ctx)
		if err != nil {
			continue // between two networks nobody answers: the lease has its own end
		}
		if stays(ctx, client, l, offer) {
			continue
		}
		next, err := client.RequestFromOffer(ctx, offer)
		if err != nil {
			log.Warn("another network's lease not taken", "nic", link.Attrs().Name, "error", err)
			continue
		}
		// Once is enough: whoever moves a machine that was handed over moves it once.
		*until = time.Now()
		log.Info("the machine is on another network", "nic", link.Attrs().Name)
		return next, nil
	}
}

// stays tells whether the machine is still on the network that its lease is of, whatever is offered: where there are two
// servers the other one's offer is no move, and the lease's own server is there to renew it. One server may be that of both
// networks: what it offers tells then.
func stays(ctx context.Context, client *nclient4.Client, l *nclient4.Lease, offer *dhcpv4.DHCPv4) bool {
	if offer.ServerIdentifier().Equal(l.ACK.ServerIdentifier()) {
		if offer.YourIPAddr.Equal(l.ACK.YourIPAddr) {
			return true
		}
		if terms(offer).address.Masked() != terms(l.ACK).address.Masked() {
			return false
		}
	}
	_, err := client.Renew(ctx, l)
	return err == nil
}

// settle gives a NIC what a lease says, and nothing else.
func settle(log *slog.Logger, nic string, l *nclient4.Lease) error {
	o := terms(l.ACK)
	link, err := netlink.LinkByName(nic)
	if err != nil {
		return err
	}
	if !o.address.Addr().IsValid() || o.address.Addr().IsUnspecified() {
		return errors.New("the DHCP server gave no address")
	}
	if err := flush(link, ipNet(o.address)); err != nil {
		return fmt.Errorf("take addresses from %s: %w", nic, err)
	}
	if err := o.apply(nic); err != nil {
		return err
	}
	log.Info("DHCP lease", "nic", nic, "address", o.address.String(), "lasts", o.lasts)
	nameHost(log, l.ACK.HostName())
	return nil
}

// flush takes all addresses but one from a NIC, and the routes that it has by hand, by DHCP or by router advertisements. A
// NIC that has the address already keeps everything: its lease was renewed.
func flush(link netlink.Link, but *net.IPNet) error {
	addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if but != nil && a.IPNet.String() == but.String() {
			return nil
		}
	}
	var errs []error
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := netlink.RouteList(link, family)
		errs = append(errs, err)
		for _, r := range routes {
			if r.Protocol != unix.RTPROT_KERNEL {
				errs = append(errs, gone(netlink.RouteDel(&r)))
			}
		}
	}
	for _, a := range addresses {
		if !a.IP.IsLinkLocalUnicast() && !a.IP.IsLoopback() {
			errs = append(errs, gone(netlink.AddrDel(link, &a)))
		}
	}
	return errors.Join(errs...)
}

// gone is no error about what is not there any more.
func gone(err error) error {
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	return err
}
