// Package network gives the machine its addresses in the ramdisk: those that network data name, or what
// DHCP says on every NIC. It also takes the network down for good.
//
// It is for the ramdisk's first process, or the unit that a ramdisk with systemd runs: it owns all NICs, and a plain
// process must not call it. Bonds and VLANs are made if network data names them. Up is for an agent that has a control
// plane to call, Keep for one that is found, and Tenant for a machine that was handed over and is moved to another network
// behind its back. cmd/ingot-agent calls it.
package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// nicLimit is how long a NIC may take to appear after its driver was loaded, carrierLimit how long its
	// link may take to come up: a switch with spanning tree keeps a port closed for 30 s.
	nicLimit     = 30 * time.Second
	carrierLimit = 45 * time.Second
	poll         = 250 * time.Millisecond

	resolvFile = "/etc/resolv.conf"
)

// Up applies network data (Nova's network_data.json); empty data, or none, means DHCP on every NIC. It
// returns when there is an address, and ended waits for what goes on in the background (renewing leases)
// after ctx has ended. Errors are sentences for an operator.
func Up(ctx context.Context, log *slog.Logger, data json.RawMessage) (ended func(), err error) {
	plan, err := Parse(data)
	if err != nil {
		return nil, err
	}
	if lo, err := netlink.LinkByName("lo"); err == nil {
		if err := netlink.LinkSetUp(lo); err != nil {
			log.Warn("loopback not up", "error", err)
		}
	}
	var background sync.WaitGroup
	if len(plan.Links) == 0 {
		if err := dhcpEverywhere(ctx, log, &background); err != nil {
			return nil, err
		}
		return background.Wait, nil
	}
	names := devices{}
	for _, l := range plan.Links {
		if err := l.apply(ctx, log, names, &background); err != nil {
			return nil, fmt.Errorf("%s: %w", l.title(), err)
		}
	}
	if len(plan.DNS) > 0 {
		if err := writeResolver(plan.DNS); err != nil {
			return nil, err
		}
	}
	return background.Wait, nil
}

// Down takes every NIC down.
func Down() error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list NICs: %w", err)
	}
	var errs []error
	for _, l := range links {
		if l.Attrs().Flags&net.FlagLoopback == 0 {
			errs = append(errs, netlink.LinkSetDown(l))
		}
	}
	return errors.Join(errs...)
}

func (l Link) apply(ctx context.Context, log *slog.Logger, names devices, background *sync.WaitGroup) error {
	name, err := l.address(ctx, log, names)
	if err != nil {
		return err
	}
	if !l.DHCP {
		return nil
	}
	got := make(chan error, 1)
	background.Go(func() { lease(ctx, log, name, got) })
	select {
	case err := <-got:
		return err
	case <-time.After(dhcpLimit):
		return fmt.Errorf("no DHCP server answered in %v", dhcpLimit)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// address gives the link what is static of it. It gives its device's name, and notes it.
func (l Link) address(ctx context.Context, log *slog.Logger, names devices) (name string, err error) {
	nic, err := l.device(ctx, names)
	if err != nil {
		return "", err
	}
	name = nic.Attrs().Name
	names[l.ID] = name
	if l.MTU > 0 {
		if err := netlink.LinkSetMTU(nic, l.MTU); err != nil {
			return "", fmt.Errorf("set MTU %d: %w", l.MTU, err)
		}
	}
	if l.Member {
		return name, nil // it goes up in its bond
	}
	if err := raise(ctx, log, nic); err != nil {
		return "", err
	}
	for _, p := range l.Addresses {
		// No duplicate address detection: an address that is tentative cannot be served on yet.
		a := &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}
		if err := netlink.AddrReplace(nic, a); err != nil {
			return "", fmt.Errorf("add address %s: %w", p, err)
		}
		log.Info("address is set", "nic", name, "address", p.String())
	}
	for _, r := range l.Routes {
		route := &netlink.Route{LinkIndex: nic.Attrs().Index, Dst: ipNet(r.To), Gw: r.Via.AsSlice()}
		if err := netlink.RouteReplace(route); err != nil {
			return "", fmt.Errorf("add route to %s by %s: %w", r.To, r.Via, err)
		}
	}
	return name, nil
}

// raise sets a NIC up and waits for its carrier. A NIC without one may still get it: that is no error.
func raise(ctx context.Context, log *slog.Logger, nic netlink.Link) error {
	if err := netlink.LinkSetUp(nic); err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	name := nic.Attrs().Name
	err := await(ctx, carrierLimit, func() bool {
		l, err := netlink.LinkByName(name)
		return err == nil && l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0
	})
	if errors.Is(err, errLimit) {
		log.Warn("NIC has no carrier", "nic", name, "waited", carrierLimit)
		return nil
	}
	return err
}

// nicByMAC waits for the NIC with that permanent address, or that current one.
func nicByMAC(ctx context.Context, mac net.HardwareAddr) (found netlink.Link, err error) {
	err = await(ctx, nicLimit, func() bool {
		links, err := netlink.LinkList()
		if err != nil {
			return false
		}
		for _, l := range links {
			a := l.Attrs()
			if l.Type() == "bond" || l.Type() == "vlan" {
				continue // has the address of a NIC that it is made of
			}
			if strings.EqualFold(a.HardwareAddr.String(), mac.String()) || strings.EqualFold(a.PermHWAddr.String(), mac.String()) {
				found = l
				return true
			}
		}
		return false
	})
	if errors.Is(err, errLimit) {
		return nil, errors.New("this machine has no NIC with that MAC address")
	}
	return found, err
}

var errLimit = errors.New("waited too long")

// await looks until done, at most for limit (errLimit).
func await(ctx context.Context, limit time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errLimit)
	defer cancel()
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func writeResolver(servers []netip.Addr) error {
	if err := os.WriteFile(resolvFile, resolver(servers), 0o644); err != nil {
		return fmt.Errorf("name servers: %w", err)
	}
	return nil
}

// resolver is a resolv.conf; only three servers of it are ever asked.
func resolver(servers []netip.Addr) []byte {
	var b []byte
	for _, s := range servers {
		b = fmt.Appendf(b, "nameserver %s\n", s)
	}
	return b
}
