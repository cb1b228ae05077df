package e2e

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// space is a network namespace by its name; "" is the test's own.
type space string

// testStart is when the tests began.
var testStart = time.Now()

var spaces atomic.Int32

// namespace makes a network namespace that routes nothing, for one test.
func namespace(t *testing.T, name string) space {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces are for root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("there is no ip (package iproute2)")
	}
	clearLeftovers()
	s := space(fmt.Sprintf("e2e-%d-%d-%s", os.Getpid(), spaces.Add(1), name))
	if out, err := exec.Command("ip", "netns", "add", string(s)).CombinedOutput(); err != nil {
		t.Skipf("this host makes no network namespaces: %s", out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", string(s)).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", err, out)
		}
	})
	s.run(t, "ip", "link", "set", "lo", "up")
	s.run(t, "bash", "-c", "echo 0 > /proc/sys/net/ipv4/ip_forward")
	return s
}

var cables atomic.Int32

// cable joins two namespaces: here is the address in s, there the one in the other.
func (s space) cable(t *testing.T, there, other, here string) {
	t.Helper()
	k := cables.Add(1)
	a, b := fmt.Sprintf("e%d-%da", os.Getpid()%100000, k), fmt.Sprintf("e%d-%db", os.Getpid()%100000, k)
	space("").run(t, "ip", "link", "add", a, "type", "veth", "peer", "name", b)
	ends := []struct {
		link, at string
		in       space
	}{{a, here, s}, {b, there, space(other)}}
	for _, e := range ends {
		if e.in != "" {
			space("").run(t, "ip", "link", "set", e.link, "netns", string(e.in))
		}
		e.in.run(t, "ip", "address", "add", e.at+"/30", "dev", e.link)
		e.in.run(t, "ip", "link", "set", e.link, "up")
	}
}

// within does something in the namespace: a socket that is made there stays there. The thread comes back: programs that it
// has started would end with it.
func (s space) within(f func() error) error {
	if s == "" {
		return f()
	}
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer own.Close() // read-only: nothing is lost
	ns, err := os.Open("/run/netns/" + string(s))
	if err == nil {
		err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		ns.Close() // read-only: nothing is lost
	}
	if err == nil {
		err = f()
	}
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // this thread stays locked, and nothing of this process could go on safely
	}
	runtime.UnlockOSThread()
	return err
}

func (s space) listen(t *testing.T, at string) (l net.Listener) {
	t.Helper()
	err := s.within(func() (err error) {
		l, err = net.Listen("tcp4", at)
		return err
	})
	if err != nil {
		t.Fatalf("listen at %s in %q: %v", at, s, err)
	}
	t.Cleanup(func() { _ = l.Close() }) // perhaps closed already
	return l
}

func (s space) dial(to string) (c net.Conn, err error) {
	err = s.within(func() (err error) {
		c, err = net.Dial("tcp4", to)
		return err
	})
	return c, err
}

// syn is a connection that somebody asked for.
type syn struct{ from, to string }

// capture looks at all packets of the link that has an address. What it returns ends that, and gives the connections
// that were asked for, and everything over UDP, and ICMP echo requests.
func capture(t *testing.T, in space, at string) func() []syn {
	t.Helper()
	var fd int
	err := in.within(func() error {
		links, err := net.Interfaces()
		if err != nil {
			return err
		}
		for _, l := range links {
			all, err := l.Addrs()
			if err != nil {
				return err
			}
			for _, a := range all {
				if p, err := netip.ParsePrefix(a.String()); err != nil || p.Addr().String() != at {
					continue
				}
				const everything = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network order
				if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, everything); err != nil {
					return err
				}
				// The deadline is how the end is noticed.
				return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everything, Ifindex: l.Index})
			}
		}
		return fmt.Errorf("no link has the address %s", at)
	})
	if err != nil {
		t.Fatalf("capture at %s: %v", at, err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		t.Fatal(err)
	}
	var quit atomic.Bool
	seen := make(chan []syn)
	go func() {
		defer unix.Close(fd)
		var out []syn
		packet := make([]byte, 64<<10)
		for {
			n, _, err := unix.Recvfrom(fd, packet, 0)
			if err != nil { // nothing for a while
				if quit.Load() {
					seen <- out
					return
				}
				continue
			}
			if s, ok := asked(packet[:n]); ok {
				out = append(out, s)
			}
		}
	}()
	end := sync.OnceValue(func() []syn { quit.Store(true); return <-seen })
	t.Cleanup(func() { end() })
	return end
}

// asked reads a packet that asks for a connection, or one of UDP, or an ICMP echo request.
func asked(p []byte) (syn, bool) {
	if len(p) < 20 || p[0]>>4 != 4 {
		return syn{}, false
	}
	head := int(p[0]&15) * 4
	from, to := netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	if p[9] == unix.IPPROTO_ICMP && len(p) > head && p[head] == 8 { // RFC 792
		return syn{from.String(), to.String() + " echo"}, true
	}
	if len(p) < head+8 || p[9] == unix.IPPROTO_TCP && len(p) < head+14 {
		return syn{}, false
	}
	begins := p[9] == unix.IPPROTO_TCP && p[head+13]&0x12 == 0x02 // SYN without ACK
	if !begins && p[9] != unix.IPPROTO_UDP {
		return syn{}, false
	}
	return syn{from.String(), netip.AddrPortFrom(to, binary.BigEndian.Uint16(p[head+2:])).String()}, true
}
