package osinstall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"ingot/internal/channel"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// loopback is the NIC that only this machine's own programs are on.
const loopback = "lo"

// OnLoopback listens at the channel's address for the machine's own programs: the address is on lo for as long as the listener is open. It is
// bound to lo, for Linux would answer for the address on every NIC, and whoever is on the same network could ask.
func OnLoopback(ctx context.Context) (net.Listener, error) {
	link, err := netlink.LinkByName(loopback)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", loopback, err)
	}
	at := netip.MustParseAddrPort(channel.Address).Addr()
	address := &netlink.Addr{IPNet: &net.IPNet{IP: at.AsSlice(), Mask: net.CIDRMask(32, 32)}, Scope: unix.RT_SCOPE_HOST}
	if err := netlink.AddrReplace(link, address); err != nil {
		return nil, fmt.Errorf("put %s on %s: %w", at, loopback, err)
	}
	leave := func() error {
		if err := netlink.AddrDel(link, address); err != nil {
			return fmt.Errorf("take %s from %s: %w", at, loopback, err)
		}
		return nil
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var bound error
		err := c.Control(func(fd uintptr) { bound = unix.BindToDevice(int(fd), loopback) })
		return errors.Join(err, bound)
	}}
	l, err := config.Listen(ctx, "tcp4", channel.Address)
	if err != nil {
		return nil, errors.Join(err, leave())
	}
	return &leaving{Listener: l, leave: leave}, nil
}

// leaving takes its address away when it is closed.
type leaving struct {
	net.Listener
	leave func() error
}

func (l *leaving) Close() error {
	err := l.Listener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err // closed before
	}
	return errors.Join(err, l.leave())
}
