package network

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// watch says when a NIC has its carrier again.
func watch(ctx context.Context, log *slog.Logger, nic string) <-chan struct{} {
	again := make(chan struct{}, 1)
	updates := make(chan netlink.LinkUpdate, 16)
	if err := netlink.LinkSubscribe(updates, ctx.Done()); err != nil {
		log.Warn("carriers are not watched", "nic", nic, "error", err)
		return again
	}
	go func() { // ends with ctx: the subscription closes the channel
		up := true
		for u := range updates {
			a := u.Link.Attrs()
			if a.Name != nic {
				continue
			}
			now := a.RawFlags&unix.IFF_LOWER_UP != 0
			if now && !up {
				select {
				case again <- struct{}{}:
				default:
				}
			}
			up = now
		}
	}()
	return again
}

// allRouters is where routers listen, and solicitation what they are asked. Source: RFC 4861 §4.1.
var (
	allRouters   = [16]byte{0: 0xff, 1: 0x02, 15: 0x02}
	solicitation = []byte{133, 0, 0, 0, 0, 0, 0, 0} // the kernel fills in the checksum
)

// solicit asks the routers of the network that a NIC is on by now to advertise themselves: the kernel does so only when the
// carrier comes, and takes the answers by itself. A NIC without IPv6 has nobody to ask.
func solicit(nic netlink.Link, log *slog.Logger) {
	if err := sendSolicitation(nic.Attrs().Index); err != nil {
		log.Debug("routers not asked", "nic", nic.Attrs().Name, "error", err)
	}
}

func sendSolicitation(index int) error {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Routers take nothing that could have come from another network.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255); err != nil {
		return err
	}
	return unix.Sendto(fd, solicitation, 0, &unix.SockaddrInet6{Addr: allRouters, ZoneId: uint32(index)})
}

const hostsFile = "/etc/hosts"

// hostName is what may be a machine's name. Source: RFC 1123 §2.1.
var hostName = regexp.MustCompile(`\A[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\z`)

// nameHost gives the machine the name that a lease has for it, and lets the machine find itself by it.
func nameHost(log *slog.Logger, name string) {
	name, _, _ = strings.Cut(name, ".")
	if old, err := os.Hostname(); err != nil || old == name || !hostName.MatchString(name) {
		return
	}
	hosts, err := os.ReadFile(hostsFile)
	if err == nil {
		err = os.WriteFile(hostsFile, hostsOf(hosts, name), 0o644)
	}
	if err == nil {
		err = unix.Sethostname([]byte(name))
	}
	if err != nil {
		log.Warn("host name not set", "error", err)
		return
	}
	log.Info("host name is set", "name", name)
}

// hostsOf is hosts(5) with the machine's own name. Source: Debian's convention for a name without a fixed address.
func hostsOf(old []byte, name string) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(old) {
		if !bytes.HasPrefix(line, []byte("127.0.1.1")) {
			out.Write(bytes.TrimRight(line, "\n"))
			out.WriteByte('\n')
		}
	}
	out.WriteString("127.0.1.1 " + name + "\n")
	return out.Bytes()
}
