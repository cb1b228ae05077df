package netboot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// socket is one of DHCP's, bound to one interface.
type socket struct {
	conn  *net.UDPConn
	iface *net.Interface
	kind  int
}

const (
	socket4 = iota
	socketBoot
	socket6
)

// answerLimit bounds the answer to one packet: the database is asked a few times.
const answerLimit = 5 * time.Second

// openDHCP opens the sockets that a network needs and no other of its interface has opened.
func (s *Service) openDHCP(n *Network, iface *net.Interface, seen map[string]bool) error {
	need := []struct {
		wanted bool
		kind   int
		port   uint16
		name   string
	}{
		{n.DHCP != ModeOff, socket4, s.ports.server4, "udp4"},
		{n.DHCP != ModeOff, socketBoot, s.ports.boot4, "udp4"},
		{n.DHCPv6 != ModeOff, socket6, s.ports.server6, "udp6"},
	}
	for _, w := range need {
		key := fmt.Sprint(n.Interface, w.kind)
		if !w.wanted || seen[key] {
			continue
		}
		seen[key] = true
		c := net.ListenConfig{Control: onDevice(n.Interface)}
		conn, err := c.ListenPacket(context.Background(), w.name, fmt.Sprintf(":%d", w.port))
		if err != nil {
			return cannotListen(fmt.Sprintf("DHCP on %s", n.Interface), err)
		}
		k := &socket{conn: conn.(*net.UDPConn), iface: iface, kind: w.kind}
		s.sockets = append(s.sockets, k)
		if w.kind == socket6 {
			all := &net.UDPAddr{IP: net.ParseIP("ff02::1:2")} // All_DHCP_Relay_Agents_and_Servers
			if err := ipv6.NewPacketConn(conn).JoinGroup(iface, all); err != nil {
				return fmt.Errorf("DHCPv6 on %s: join %s: %w", n.Interface, all.IP, err)
			}
		}
	}
	return nil
}

// onDevice binds a socket to an interface before it gets its port, so that each interface has its own.
func onDevice(name string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		control := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1),
				unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, name))
		})
		return errors.Join(control, err)
	}
}

// cannotListen says what to do about a socket that could not be opened.
func cannotListen(what string, err error) error {
	switch {
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		return fmt.Errorf("%s: this process may not: ports below 1024 are for root, or for a process with CAP_NET_BIND_SERVICE "+
			"(systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE): %w", what, err)
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%s: another program has this port, perhaps dnsmasq or another DHCP server: end it, or serve it with dhcp: proxy from another host (ss -lunp shows which it is): %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// serveSocket answers packets until the socket is closed. Each has a goroutine, of a bounded number: what comes while
// all are busy is dropped, as the network may drop it; clients ask again.
func (s *Service) serveSocket(ctx context.Context, k *socket) error {
	var running sync.WaitGroup
	defer running.Wait()
	buf := make([]byte, maxPacket+1)
	for {
		count, from, err := k.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("read DHCP packets on %s: %w", k.iface.Name, err)
		}
		select {
		case s.packets <- struct{}{}:
		default:
			s.count(k.name(), "busy")
			continue
		}
		raw := append([]byte(nil), buf[:count]...)
		running.Go(func() {
			defer func() { <-s.packets }()
			limited, cancel := context.WithTimeout(ctx, answerLimit)
			defer cancel()
			s.answer(limited, k, raw, from)
		})
	}
}

func (k *socket) name() string {
	if k.kind == socket6 {
		return "dhcpv6"
	}
	return "dhcpv4"
}

// answer answers one packet and tells what became of it.
func (s *Service) answer(ctx context.Context, k *socket, raw []byte, from netip.AddrPort) {
	var out []byte
	var to netip.AddrPort
	var log *slog.Logger
	var err error
	if k.kind == socket6 {
		out, to, log, err = s.packet6(ctx, k.iface.Name, raw, from)
	} else {
		out, to, log, err = s.packet4(ctx, k.iface.Name, raw, from, k.kind == socketBoot)
	}
	var quiet silence
	switch {
	case errors.As(err, &quiet):
		s.count(k.name(), quiet.reason)
		log.Debug("not answered", "reason", quiet.Error(), "from", from)
		return
	case errors.Is(err, errExhausted):
		s.count(k.name(), NoticeExhausted)
		return
	case err != nil:
		s.count(k.name(), "error")
		log.Warn("not answered", "error", err)
		return
	}
	s.count(k.name(), "answered")
	log.Debug("answered", "to", to)
	if _, err := k.conn.WriteToUDPAddrPort(out, to); err != nil {
		log.Warn("answer not sent", "to", to, "error", err)
	}
}

func (s *Service) packet4(ctx context.Context, iface string, raw []byte, from netip.AddrPort, bootPort bool) ([]byte, netip.AddrPort, *slog.Logger, error) {
	log := s.log.With("protocol", "dhcpv4", "interface", iface)
	q, err := parse4(raw, from, bootPort)
	if err != nil {
		return nil, netip.AddrPort{}, log, err
	}
	log = log.With("mac", q.mac, "message", q.kind.String())
	r, to, n, err := s.answer4(ctx, iface, q)
	if n != nil {
		log = log.With("network", n.Name)
	}
	if err != nil {
		return nil, to, log, err
	}
	return r.ToBytes(), to, log, nil
}

func (s *Service) packet6(ctx context.Context, iface string, raw []byte, from netip.AddrPort) ([]byte, netip.AddrPort, *slog.Logger, error) {
	log := s.log.With("protocol", "dhcpv6", "interface", iface)
	q, err := parse6(raw, from)
	if err != nil {
		return nil, from, log, err
	}
	log = log.With("mac", q.mac, "message", q.MessageType.String())
	r, n, err := s.answer6(ctx, iface, q)
	if n != nil {
		log = log.With("network", n.Name)
	}
	if err != nil {
		return nil, from, log, err
	}
	return r.ToBytes(), from, log, nil
}
