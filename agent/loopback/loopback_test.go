package loopback

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// inside marks the process of a test that has a network of its own.
const inside = "INGOT_TEST_OWN_LOOPBACK"

// ownNetwork runs the test again as a process with a network of its own, and tells whether this is it.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("only root makes networks")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS)) {
		t.Skipf("no network of its own here: %v", err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Skipf("%s", out)
	}
	return false
}

var channel = netip.MustParseAddrPort("169.254.169.254:80")

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// has tells whether lo has the address.
func has(t *testing.T) bool {
	t.Helper()
	lo, err := netlink.LinkByName(device)
	do(t, err)
	all, err := netlink.AddrList(lo, netlink.FAMILY_V4)
	do(t, err)
	for _, a := range all {
		if a.IP.String() == channel.Addr().String() {
			return true
		}
	}
	return false
}

func hello(t *testing.T, l net.Listener) {
	t.Helper()
	s := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
}

func TestREQ20TheTrustedEndIsOnTheMachineAlone(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	for round := range 2 {
		if has(t) {
			t.Fatalf("round %d: the address is there before", round)
		}
		l, err := Listen(t.Context(), channel)
		do(t, err)
		if !has(t) {
			t.Error("the address is not there")
		}
		if round == 0 {
			hello(t, l)
			r, err := http.Get("http://169.254.169.254/") //nolint:noctx // to itself
			do(t, err)
			said, err := io.ReadAll(r.Body)
			do(t, err, r.Body.Close())
			if string(said) != "hello" {
				t.Errorf("it says %q", said)
			}
			http.DefaultClient.CloseIdleConnections()
		}
		do(t, ignoreClosed(l.Close()))
		if has(t) {
			t.Error("the address is still there")
		}
	}
	// Whatever an agent that died has left is taken over, and goes with the listener.
	lo, err := netlink.LinkByName(device)
	do(t, err)
	left, err := netlink.ParseAddr(channel.Addr().String() + "/32")
	do(t, err, netlink.AddrAdd(lo, left))
	l, err := Listen(t.Context(), channel)
	do(t, err, l.Close())
	if has(t) {
		t.Error("what was left there is still there")
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// A neighbour sends packets for the address to the machine's NIC. Linux takes them; the listener must not.
func TestREQ20ANeighbourDoesNotReachTheTrustedEnd(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	l, err := Listen(t.Context(), channel)
	do(t, err)
	hello(t, l)
	var other net.ListenConfig // that it could be reached is shown by one that is not bound
	open, err := other.Listen(t.Context(), "tcp", "169.254.169.254:81")
	do(t, err)
	hello(t, open)

	neighbour := make(chan struct{ bound, open error })
	moved, ready := make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its network
		var out struct{ bound, open error }
		defer func() { neighbour <- out }()
		if out.open = syscall.Unshare(syscall.CLONE_NEWNET); out.open != nil {
			close(moved)
			return
		}
		moved <- syscall.Gettid()
		<-ready
		if out.open = join(); out.open == nil {
			out.bound, out.open = dial(t.Context(), "169.254.169.254:80"), dial(t.Context(), "169.254.169.254:81")
		}
	}()
	if tid, ok := <-moved; ok {
		do(t, cable(tid))
		close(ready)
	}
	out := <-neighbour
	if out.open != nil {
		t.Fatalf("the neighbour does not reach the machine at all: %v", out.open)
	}
	if out.bound == nil {
		t.Error("a neighbour reaches the channel")
	}
}

// cable puts one end of a wire into the network of a thread, and the other one here.
func cable(tid int) error {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "nic"}, PeerName: "far"}); err != nil {
		return err
	}
	nic, err := netlink.LinkByName("nic")
	if err != nil {
		return err
	}
	far, err := netlink.LinkByName("far")
	if err != nil {
		return err
	}
	here, err := netlink.ParseAddr("192.0.2.1/24")
	if err != nil {
		return err
	}
	return errors.Join(netlink.AddrAdd(nic, here), netlink.LinkSetUp(nic), netlink.LinkSetNsPid(far, tid))
}

// join is the neighbour's part: its NIC, and a route to the address by the machine.
func join() error {
	h, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer h.Close()
	far, err := h.LinkByName("far")
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr("192.0.2.2/24")
	if err != nil {
		return err
	}
	to := &net.IPNet{IP: channel.Addr().AsSlice(), Mask: net.CIDRMask(32, 32)}
	if err := errors.Join(h.AddrAdd(far, addr), h.LinkSetUp(far)); err != nil {
		return err
	}
	return h.RouteAdd(&netlink.Route{LinkIndex: far.Attrs().Index, Dst: to, Gw: net.ParseIP("192.0.2.1")})
}

func dial(ctx context.Context, at string) error {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", at)
	if err == nil {
		err = c.Close()
	}
	return err
}
