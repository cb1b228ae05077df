package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// processes is how many processes the agents are in: none has more sockets than it may.
const processes = 4

// machines are all machines with their BMCs, the boot host they boot from, and the processes with their agents.
type machines struct {
	children []*child
	seen     chan seen
	readers  sync.WaitGroup

	mu  sync.Mutex
	all map[string]*machine // by node, guarded by mu
}

type machine struct {
	index      int
	on         bool
	media, mac string
	listen     string
	device     metal.BootDevice
	boots      map[string]agentapi.BootConfig // by the URL of the ISO
}

type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	mu  sync.Mutex
	out *json.Encoder // guarded by mu
}

func newMachines(n, port int) (*machines, error) {
	m := &machines{all: map[string]*machine{}, seen: make(chan seen, 4096)}
	for i := range n {
		m.all[nodeUUID(i)] = &machine{index: i, mac: macOf(i), listen: fmt.Sprintf("%s:%d", addressOf(i), port), boots: map[string]agentapi.BootConfig{},
			device: metal.BootDevice{Device: "disk", Persistent: true}}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for range processes {
		c := &child{cmd: exec.Command(self, "-child")}
		c.cmd.Stderr = os.Stderr
		if c.in, err = c.cmd.StdinPipe(); err != nil {
			return nil, err
		}
		out, err := c.cmd.StdoutPipe()
		if err != nil {
			return nil, err
		}
		if err := c.cmd.Start(); err != nil {
			return nil, err
		}
		c.out = json.NewEncoder(c.in)
		m.children = append(m.children, c)
		m.readers.Go(func() { m.read(json.NewDecoder(out)) })
	}
	return m, nil
}

// read passes on what agents tell, and takes the power off machines whose agent asks for that.
func (m *machines) read(in *json.Decoder) {
	for {
		var s seen
		if err := in.Decode(&s); err != nil {
			return // it has ended
		}
		if s.What == poweroff {
			m.mu.Lock()
			m.all[s.Node].on = false
			m.mu.Unlock()
		}
		m.seen <- s
	}
}

// close ends the agents' processes.
func (m *machines) close() {
	for _, c := range m.children {
		_ = c.in.Close() // its end is what it waits for
	}
	go func() { m.readers.Wait(); close(m.seen) }()
	for range m.seen { // what is still told
	}
	for _, c := range m.children {
		_ = c.cmd.Wait() // it has nothing left to say
	}
}

// start has the agent of a machine live.
func (m *machines) start(node string, one *machine, b agentapi.BootConfig, after time.Duration) error {
	c := m.children[one.index%processes]
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Encode(start{Node: node, Listen: one.listen, MAC: one.mac, Boot: b, After: after})
}

func nodeUUID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i) }

func macOf(i int) string { return fmt.Sprintf("02:00:00:%02x:%02x:%02x", i>>16, i>>8&0xff, i&0xff) }

func addressOf(i int) string { return fmt.Sprintf("127.%d.%d.%d", 100+i>>16, i>>8&0xff, i&0xff) }

func (m *machines) of(n *metal.Node, f func(*machine) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return f(m.all[n.UUID])
}

// Power implements conductor.Power.
func (m *machines) Power(_ context.Context, n *metal.Node) (is metal.Power, err error) {
	return is, m.of(n, func(o *machine) error {
		is = metal.PowerOff
		if o.on {
			is = metal.PowerOn
		}
		return nil
	})
}

// SetPower boots a machine whose drive has a medium.
func (m *machines) SetPower(_ context.Context, n *metal.Node, want metal.Power) error {
	return m.of(n, func(o *machine) error {
		was := o.on
		o.on = want == metal.PowerOn
		if was || !o.on || o.media == "" || o.device.Device != "cdrom" {
			return nil
		}
		o.device = metal.BootDevice{Device: "disk", Persistent: true}
		return m.start(n.UUID, o, o.boots[o.media], 5*time.Second+rand.N(10*time.Second)) //nolint:gosec // no secret
	})
}

// BootDevice implements conductor.Booter.
func (m *machines) BootDevice(_ context.Context, n *metal.Node) (d metal.BootDevice, err error) {
	return d, m.of(n, func(o *machine) error { d = o.device; return nil })
}

// SetBootDevice implements conductor.Booter.
func (m *machines) SetBootDevice(_ context.Context, n *metal.Node, d metal.BootDevice) error {
	return m.of(n, func(o *machine) error { o.device = d; return nil })
}

// BootDevices implements conductor.Booter.
func (m *machines) BootDevices(context.Context, *metal.Node) ([]string, error) {
	return []string{"disk", "cdrom"}, nil
}

// Media implements conductor.Media.
func (m *machines) Media(_ context.Context, n *metal.Node) (url string, err error) {
	return url, m.of(n, func(o *machine) error { url = o.media; return nil })
}

// InsertMedia implements conductor.Media.
func (m *machines) InsertMedia(_ context.Context, n *metal.Node, url string) error {
	return m.of(n, func(o *machine) error { o.media = url; return nil })
}

// EjectMedia implements conductor.Media.
func (m *machines) EjectMedia(_ context.Context, n *metal.Node) error {
	return m.of(n, func(o *machine) error { o.media = ""; return nil })
}

// Push implements conductor.Pusher.
func (m *machines) Push(_ context.Context, node, boot string, b agentapi.BootConfig, _ string, _ time.Time) (string, error) {
	url := "http://192.0.2.77/pushed/" + boot + "/boot.iso"
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[node].boots[url] = b
	return url, nil
}

// PushNetBoot implements conductor.Pusher.
func (m *machines) PushNetBoot(context.Context, *metal.NetworkBoot) error {
	return fault.New(fault.NotSupported, "nothing boots from the network here")
}

// NetBootSeen implements conductor.Pusher.
func (m *machines) NetBootSeen(context.Context, string, string) (string, error) { return "", nil }

// PushMetadata implements conductor.Pusher: these machines run no instance.
func (m *machines) PushMetadata(context.Context, string) error { return nil }

// WithdrawMetadata implements conductor.Pusher.
func (m *machines) WithdrawMetadata(context.Context, string, time.Time) error { return nil }

// Withdraw implements conductor.Pusher.
func (m *machines) Withdraw(_ context.Context, node, boot string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.all[node].boots, "http://192.0.2.77/pushed/"+boot+"/boot.iso")
	return nil
}

// shelf is the depot of a conductor that pushes everything.
type shelf struct{}

func (shelf) BootISO(string, string, agentapi.Role, time.Time) (string, error) { return "", nil }
func (shelf) Check(agentapi.BootConfig, string) error                          { return nil }
func (shelf) File(string, time.Time) (string, error)                           { return "", nil }
func (shelf) Reachable(context.Context, *metal.Node, agentapi.Role) error      { return nil }
