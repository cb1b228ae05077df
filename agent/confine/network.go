package confine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Address is where the channel answers, in the network of a script.
var Address = netip.MustParseAddr("169.254.169.254")

// Network is a network of its own, with one device: lo, which has Address and the addresses of every lo. There is no way out of it
// and none into it but sockets that Listen made. It is the machine's and not the script's: root of the script's namespace cannot change it.
type Network struct {
	file *os.File // the namespace
	once sync.Once
}

// NewNetwork makes a network. Whoever calls it closes it.
func NewNetwork() (n *Network, err error) {
	onThread(func() { n, err = newNetwork() })
	if err != nil {
		return nil, refuse("it gets no network of its own: %v", err)
	}
	return n, nil
}

func newNetwork() (*Network, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return nil, fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return nil, fmt.Errorf("bring lo up: %w", err)
	}
	one := &net.IPNet{IP: Address.AsSlice(), Mask: net.CIDRMask(32, 32)}
	if err := netlink.AddrAdd(lo, &netlink.Addr{IPNet: one}); err != nil {
		return nil, fmt.Errorf("give lo the address %s: %w", Address, err)
	}
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	return &Network{file: f}, nil
}

// Listen makes a listener in the network. address is an IP address and a port.
func (n *Network) Listen(network, address string) (l net.Listener, err error) {
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, fmt.Errorf("listen in a script's network: %w", err)
	}
	onThread(func() {
		if err = n.enter(); err == nil {
			l, err = (&net.ListenConfig{}).Listen(context.Background(), network, address)
		}
	})
	return l, err
}

// enter moves the calling thread into the network.
func (n *Network) enter() error {
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the script's network: %w", err)
	}
	return nil
}

// Close gives the network up. What still runs in it, and its listeners, keep it.
func (n *Network) Close() error {
	var err error
	n.once.Do(func() { err = n.file.Close() })
	return err
}
