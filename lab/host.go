package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"ingot/internal/fault"
)

const (
	namespaceDir = "/run/netns" // where ip(8) looks for named namespaces too
	innerLink    = "host"       // the namespace's end of the veth
)

// makeNetwork makes the namespace, the veth and the bridges of a lab. What it made before an error is
// left: removeNetwork takes it away.
func makeNetwork(c *Config) error {
	if err := c.subnetIsFree(); err != nil {
		return err
	}
	ns, err := newNamespace(c.namespace())
	if err != nil {
		return fmt.Errorf("make network namespace %s: %w", c.namespace(), err)
	}
	defer ns.Close()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: c.hostLink()}, PeerName: innerLink, PeerNamespace: netlink.NsFd(ns)}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make link %s: %w", c.hostLink(), err)
	}
	if err := addressAndUp(&netlink.Handle{}, c.hostLink(), netip.PrefixFrom(c.address(1), 24)); err != nil {
		return err
	}
	h, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := addressAndUp(h, "lo"); err != nil {
		return err
	}
	bridges := c.Networks
	if c.Switch {
		bridges = 1 // the others are its logical networks
	}
	for n := 1; n <= bridges; n++ {
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: c.bridge(n)}}
		if err := h.LinkAdd(bridge); err != nil {
			return fmt.Errorf("make bridge %s: %w", c.bridge(n), err)
		}
		var addrs []netip.Prefix
		if n == 1 {
			addrs = append(addrs, netip.PrefixFrom(c.address(2), 24))
			for _, s := range c.specs() {
				addrs = append(addrs, netip.PrefixFrom(s.BMC, 24))
			}
			if err := enslave(h, innerLink, bridge); err != nil {
				return err
			}
		}
		if err := addressAndUp(h, c.bridge(n), addrs...); err != nil {
			return err
		}
	}
	if c.Switch {
		return makeLogicalNetworks(h)
	}
	return nil
}

// makeTap makes a tap on a bridge, or on none for "", in the namespace of this process.
func makeTap(name, bridge string) error {
	tap := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: name}, Mode: netlink.TUNTAP_MODE_TAP}
	if err := netlink.LinkAdd(tap); err != nil {
		return fmt.Errorf("make tap %s: %w", name, err)
	}
	if bridge == "" {
		return nil
	}
	br, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("find bridge %s: %w", bridge, err)
	}
	return enslave(&netlink.Handle{}, name, br)
}

func enslave(h *netlink.Handle, name string, master netlink.Link) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	if err := h.LinkSetMaster(l, master); err != nil {
		return fmt.Errorf("put %s on %s: %w", name, master.Attrs().Name, err)
	}
	return h.LinkSetUp(l)
}

func addressAndUp(h *netlink.Handle, name string, addrs ...netip.Prefix) error {
	l, err := h.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find link %s: %w", name, err)
	}
	for _, a := range addrs {
		ip := &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), 32)}
		if err := h.AddrAdd(l, &netlink.Addr{IPNet: ip}); err != nil {
			return fmt.Errorf("give %s to %s: %w", a, name, err)
		}
	}
	return h.LinkSetUp(l)
}

// subnetIsFree refuses a subnet that something else on this host uses.
func (c *Config) subnetIsFree() error {
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return fmt.Errorf("list this host's addresses: %w", err)
	}
	for _, a := range addrs {
		if c.Subnet.Overlaps(prefixOf(a.IPNet)) {
			return fault.New(fault.Conflict, "The subnet %s is in use on this host (%s): choose another with --subnet.", c.Subnet, a.IPNet)
		}
	}
	return nil
}

func prefixOf(n *net.IPNet) netip.Prefix {
	ip, _ := netip.AddrFromSlice(n.IP.To4())
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(ip, ones)
}

// visit runs f on a thread that may change its network namespace, and leads the thread back. One that
// cannot be led back is given up: it must not serve anybody else.
func visit(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		home, err := netns.Get()
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer home.Close()
		err = f()
		if back := netns.Set(home); back != nil {
			err = errors.Join(err, fmt.Errorf("leave the namespace: %w", back))
		} else {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}

// newNamespace makes a named namespace without leaving this one.
func newNamespace(name string) (ns netns.NsHandle, err error) {
	err = visit(func() (err error) {
		ns, err = netns.NewNamed(name)
		return err
	})
	return ns, err
}

// startInside starts a process inside a named namespace.
func startInside(name string, cmd *exec.Cmd) error {
	ns, err := netns.GetFromName(name)
	if err != nil {
		return fmt.Errorf("open network namespace %s: %w", name, err)
	}
	defer ns.Close()
	return visit(func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		return cmd.Start() // the child is born in the namespace of the thread that makes it
	})
}

// removeNetwork takes away the namespace and the veth; what is not there is no error. The namespace itself
// lives on while a process is inside it, but nothing of the host is connected with it any more.
func removeNetwork(c *Config) error {
	var errs []error
	if l, err := netlink.LinkByName(c.hostLink()); err == nil {
		errs = append(errs, netlink.LinkDel(l))
	}
	return errors.Join(append(errs, removeNamespaceName(c.namespace()))...)
}

func removeNamespaceName(name string) error {
	path := filepath.Join(namespaceDir, name)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := netns.DeleteNamed(name); err != nil {
		// A file without a namespace mounted on it, left by a crash between the two.
		if rmErr := os.Remove(path); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			return fmt.Errorf("remove network namespace %s: %w", name, err)
		}
	}
	return nil
}

// removeFromInside is removeNetwork for the daemon, which is in the namespace: one end of the veth takes the
// other with it.
func removeFromInside(c *Config) error {
	var errs []error
	if l, err := netlink.LinkByName(innerLink); err == nil {
		errs = append(errs, netlink.LinkDel(l))
	}
	return errors.Join(append(errs, removeNamespaceName(c.namespace()))...)
}

// inhabitants lists the processes inside a named namespace, as pids.
func inhabitants(name string) []int {
	want, err := os.Stat(filepath.Join(namespaceDir, name))
	if err != nil {
		return nil
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var pids []int
	for _, d := range dirs {
		// os.Stat follows the link to the namespace: the same device and inode are the same namespace.
		if st, err := os.Stat(filepath.Join(d, "ns/net")); err == nil && os.SameFile(st, want) {
			if pid, err := strconv.Atoi(filepath.Base(d)); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
