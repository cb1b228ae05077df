package simulate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// Fault is what a machine does wrong until it is told otherwise.
type Fault string

// The faults.
const (
	None        Fault = ""
	BMCRefuses  Fault = "bmc refuses"      // every request, for good
	BMCBusy     Fault = "bmc busy"         // 503 to every request
	BMCSilent   Fault = "bmc silent"       // no answer until the caller gives up
	AgentSilent Fault = "agent silent"     // never calls back, and answers nobody
	AgentFails  Fault = "agent fails"      // every step it is given ends in an error
	AgentSlow   Fault = "agent slow"       // steps never end
	AgentBroken Fault = "agent broken"     // answers 500
	Lies        Fault = "power that lies"  // accepts power requests and does nothing
	Sticky      Fault = "media that stick" // refuses to eject
)

// Faults lists every fault but None.
var Faults = []Fault{BMCRefuses, BMCBusy, BMCSilent, AgentSilent, AgentFails, AgentSlow, AgentBroken, Lies, Sticky}

// Machine is one machine. Its fields are guarded by its fleet.
type Machine struct {
	Node   string // UUID
	On     bool
	Media  string // URL in its drive
	Boot   metal.BootDevice
	Disk   string // what is on it, in a word
	Fault  Fault
	Mode   string
	Secure bool

	starts   float64 // how often its agent was started anew
	running  string  // the boot generation of the agent that runs; "" for none
	token    string
	commands []agentapi.Result
	rescued  bool // its user was let in: the agent stops when the conductor has heard of it
}

// Fleet is any number of machines. Make one with New, end it with Close.
type Fleet struct {
	// BootConfig is what a boot medium is made from: the conductor's.
	BootConfig func(ctx context.Context, node, boot string) (agentapi.BootConfig, string, error)
	// Heartbeat takes an agent's call: the agents' door, or what is behind it.
	Heartbeat func(ctx context.Context, node string, hb agentapi.Heartbeat) error
	// Booted, if not nil, is told when an agent came up; it must not call the fleet.
	Booted func(node string)

	mu        sync.Mutex
	machines  map[string]*Machine   // guarded by mu
	addresses map[netip.Addr]string // of those that are polled, guarded by mu

	server http.Server
	polled http.Server
	url    string
	pem    string
}

// New makes a fleet whose agents listen on loopback.
func New() (*Fleet, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the agents' key: %w", err)
	}
	c := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(24 * time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the agents' certificate: %w", err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		return nil, fmt.Errorf("listen for the agents: %w", err)
	}
	f := &Fleet{machines: map[string]*Machine{}, url: "https://" + l.Addr().String(), pem: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
	f.server.Handler = http.HandlerFunc(f.serve)
	f.server.ReadHeaderTimeout = time.Minute
	f.server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	go func() { _ = f.server.Serve(l) }() // ends with Close
	return f, nil
}

// Close ends the listeners.
func (f *Fleet) Close() error { return errors.Join(f.server.Close(), f.polled.Close()) }

// With runs g on a node's machine, which is made when it is first asked for.
func (f *Fleet) With(node string, g func(*Machine)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	g(f.machine(node))
}

// machine needs the lock.
func (f *Fleet) machine(node string) *Machine {
	m := f.machines[node]
	if m == nil {
		m = &Machine{Node: node, Boot: metal.BootDevice{Device: "disk", Persistent: true}, Disk: "old data", Mode: metal.UEFI}
		f.machines[node] = m
	}
	return m
}

// call runs g on the node's machine, or does what its fault says.
func (f *Fleet) call(ctx context.Context, n *metal.Node, g func(*Machine) error) error {
	f.mu.Lock()
	m := f.machine(n.UUID)
	switch m.Fault {
	case BMCRefuses:
		f.mu.Unlock()
		return fault.New(fault.Invalid, "the BMC refuses")
	case BMCBusy:
		f.mu.Unlock()
		return fault.New(fault.Unavailable, "the BMC is busy (503)")
	case BMCSilent:
		f.mu.Unlock()
		ctx, cancel := context.WithTimeout(ctx, 5*time.Millisecond) // its driver's own patience, in miniature
		defer cancel()
		<-ctx.Done()
		return fault.New(fault.Unavailable, "the BMC does not answer")
	}
	err := g(m)
	started := ""
	if err == nil {
		started = m.settle()
	}
	f.mu.Unlock()
	if started != "" && f.Booted != nil {
		f.Booted(n.UUID)
	}
	return err
}

// settle starts the agent of a machine that runs from its medium, and ends that of one that is off. It gives the
// boot that began.
func (m *Machine) settle() (started string) {
	if !m.On {
		m.running, m.commands, m.rescued = "", nil, false
		return ""
	}
	if m.running == "" && m.Boot.Device == "cdrom" && m.Media != "" {
		m.rescued = false
		m.running, m.commands = m.Media[strings.LastIndex(m.Media, "/")+1:], nil
		m.Boot = metal.BootDevice{Device: "disk", Persistent: true} // it was for one boot
		return m.running
	}
	return ""
}

// Power reads the state.
func (f *Fleet) Power(ctx context.Context, n *metal.Node) (is metal.Power, err error) {
	return is, f.call(ctx, n, func(m *Machine) error {
		is = metal.PowerOff
		if m.On {
			is = metal.PowerOn
		}
		return nil
	})
}

// SetPower switches at once, unless the machine lies.
func (f *Fleet) SetPower(ctx context.Context, n *metal.Node, want metal.Power) error {
	return f.call(ctx, n, func(m *Machine) error {
		if m.Fault != Lies {
			m.On = want == metal.PowerOn
		}
		return nil
	})
}

// BootDevice tells what the machine boots from next.
func (f *Fleet) BootDevice(ctx context.Context, n *metal.Node) (d metal.BootDevice, err error) {
	return d, f.call(ctx, n, func(m *Machine) error { d = m.Boot; return nil })
}

// SetBootDevice takes effect at the next boot.
func (f *Fleet) SetBootDevice(ctx context.Context, n *metal.Node, d metal.BootDevice) error {
	return f.call(ctx, n, func(m *Machine) error { m.Boot = d; return nil })
}

// BootDevices lists what SetBootDevice takes.
func (f *Fleet) BootDevices(context.Context, *metal.Node) ([]string, error) {
	return []string{"disk", "cdrom"}, nil
}

// Media is the URL in the drive.
func (f *Fleet) Media(ctx context.Context, n *metal.Node) (url string, err error) {
	return url, f.call(ctx, n, func(m *Machine) error { url = m.Media; return nil })
}

// InsertMedia puts a medium into the drive.
func (f *Fleet) InsertMedia(ctx context.Context, n *metal.Node, url string) error {
	return f.call(ctx, n, func(m *Machine) error { m.Media = url; return nil })
}

// EjectMedia empties the drive, unless the medium sticks.
func (f *Fleet) EjectMedia(ctx context.Context, n *metal.Node) error {
	return f.call(ctx, n, func(m *Machine) error {
		if m.Fault == Sticky {
			return fault.New(fault.Unavailable, "the drive does not open")
		}
		m.Media = ""
		return nil
	})
}

// Inspect describes a small machine.
func (f *Fleet) Inspect(ctx context.Context, n *metal.Node) (metal.HardwareInfo, error) {
	info := metal.HardwareInfo{Manufacturer: "Ingot", Model: "Simulated", MemoryMiB: 4096, CPUs: 2, CPUArch: "x86_64", BootMode: metal.UEFI, MACs: []string{MAC(n.UUID)}}
	return info, f.call(ctx, n, func(*Machine) error { return nil })
}

// MAC is the address of the only NIC of a node's machine.
func MAC(node string) string {
	hex := strings.ReplaceAll(node, "-", "")
	return fmt.Sprintf("02:%s:%s:%s:%s:%s", hex[0:2], hex[2:4], hex[4:6], hex[6:8], hex[30:32])
}
