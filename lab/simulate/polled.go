package simulate

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"ingot/internal/agentapi"
)

// Agents that are only polled have each an address of their own on the loopback interface, one port for all, and show the
// certificate of their boot to its commander alone.

// ListenPolled has the agents be there to be polled, too, and gives their port. Close ends it.
func (f *Fleet) ListenPolled() (port int, err error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		return errors.Join(raw.Control(func(fd uintptr) {
			err = syscall.SetsockoptString(int(fd), syscall.SOL_SOCKET, syscall.SO_BINDTODEVICE, "lo")
		}), err)
	}}
	l, err := lc.Listen(context.Background(), "tcp4", "0.0.0.0:0") // of the loopback interface alone
	if err != nil {
		return 0, fmt.Errorf("listen for those who poll agents: %w", err)
	}
	f.polled.Handler = http.HandlerFunc(f.servePolled)
	f.polled.ReadHeaderTimeout = time.Minute
	f.polled.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	go func() { // ends with Close
		_ = f.polled.Serve(tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: f.shown}))
	}()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Address is where the agent of a node's machine is polled.
func (f *Fleet) Address(node string) netip.Addr {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.machine(node)
	for a, n := range f.addresses {
		if n == node {
			return a
		}
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 127<<24|1<<20+uint32(len(f.addresses))) //nolint:gosec // no fleet is that large
	a := netip.AddrFrom4(b)
	if f.addresses == nil {
		f.addresses = map[netip.Addr]string{}
	}
	f.addresses[a] = node
	return a
}

// there is the node whose machine has the address that was connected to.
func (f *Fleet) there(local net.Addr) string {
	t, ok := local.(*net.TCPAddr)
	if !ok {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addresses[t.AddrPort().Addr().Unmap()]
}

var errNobody = errors.New("no agent runs there")

// shown is what the agent of the boot that runs on a machine shows, and to whom.
func (f *Fleet) shown(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	node, boot := f.there(hello.Conn.LocalAddr()), ""
	f.With(node, func(m *Machine) {
		if m.Fault != AgentSilent {
			boot = m.running
		}
	})
	if boot == "" {
		return nil, errNobody
	}
	config, _, err := f.BootConfig(hello.Context(), node, boot)
	if err != nil { // this boot is over: the machine has not heard of it yet
		return nil, err
	}
	own, err := tls.X509KeyPair([]byte(config.Certificate), []byte(config.Key))
	if err != nil {
		return nil, err
	}
	commander, err := agentapi.ParseCertificate(config.Client)
	if err != nil {
		return nil, err
	}
	f.With(node, func(m *Machine) {
		if m.running == boot {
			m.token = config.AgentToken
		}
	})
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{own}, ClientAuth: tls.RequireAnyClientCert, VerifyConnection: commander.Verify}, nil
}

// servePolled is the commands API of the agent that was connected to.
func (f *Fleet) servePolled(w http.ResponseWriter, r *http.Request) {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	r.URL.Path = "/" + f.there(local) + r.URL.Path
	f.serve(w, r)
}
