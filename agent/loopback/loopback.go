// Package loopback listens at an address that the machine has for its own programs alone: where a trusted script of an OS definition
// finds the channel of its installation.
//
// The address is put onto lo while somebody listens and taken away with the listener. Linux answers for every address of its own
// on every NIC, so the listener is bound to lo besides: nobody on the machine's networks reaches it. It needs root, and asks for nothing
// of the network. cmd/ingot-agent gives it to agent/osinstall; what is served is internal/channel's.
package loopback

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
)

const device = "lo"

// Listen puts an address onto lo and listens there. One that lies there already, as of an agent that died, is taken over. Closing the
// listener takes the address away.
func Listen(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	lo, err := netlink.LinkByName(device)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", device, err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return nil, fmt.Errorf("set %s up: %w", device, err)
	}
	bits := at.Addr().BitLen()
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: at.Addr().AsSlice(), Mask: net.CIDRMask(bits, bits)}, Scope: int(netlink.SCOPE_HOST)}
	if err := netlink.AddrReplace(lo, addr); err != nil {
		return nil, fmt.Errorf("put %s onto %s: %w", at.Addr(), device, err)
	}
	release := func() error {
		err := netlink.AddrDel(lo, addr)
		if err == nil || errors.Is(err, syscall.EADDRNOTAVAIL) { // somebody else has taken it away
			return nil
		}
		return fmt.Errorf("take %s from %s: %w", at.Addr(), device, err)
	}
	config := net.ListenConfig{Control: bound}
	l, err := config.Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen at %s: %w", at, err), release())
	}
	return &listener{Listener: l, release: sync.OnceValue(release)}, nil
}

// bound lets a socket hear of lo only.
func bound(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptString(int(fd), syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, device)
	})
	return errors.Join(err, failed)
}

type listener struct {
	net.Listener
	release func() error
}

func (l *listener) Close() error { return errors.Join(l.Listener.Close(), l.release()) }
