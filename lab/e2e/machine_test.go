package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/lab/bmc"
)

// diskSize of a simulated machine's one disk, in bytes.
const diskSize = 48 << 20

// oldData is what a former tenant left all over a machine's disk.
const oldData = "what a former tenant left\n"

// machine is a simulated machine behind an emulated BMC: a struct while it boots, the real agent as a plain
// process once it has booted from its CD. Booted from anything else it does nothing.
type machine struct {
	*bmc.FakeMachine
	t      *testing.T
	agent  string // the program
	root   string // where the agent sees sys, proc and dev
	reach  reach
	listen string // where its agent takes commands
	ctl    *bmc.BMC

	mu    sync.Mutex
	guest *guest                                        // nil while no agent runs
	deaf  bool                                          // the machine boots, and its agent never starts
	boots func(agentapi.BootConfig) agentapi.BootConfig // changes what a boot is given; nil: it is as it is
	ipa   *ipa                                          // upstream's agent, where the machine booted an ISO with that
}

type guest struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// newMachine makes a machine that is off, with old data on its disk, and its BMC on loopback.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{FakeMachine: bmc.NewFakeMachine(), t: t, agent: program(t, "ingot-agent"), root: t.TempDir(), listen: "127.0.0.1:0"}
	for name, content := range map[string]string{
		"sys/class/net/eth0/address":             m.MACs()[0],
		"sys/class/net/eth0/device/vendor":       "0x1af4",
		"sys/block/vda/size":                     "98304", // sectors of 512 bytes
		"sys/block/vda/serial":                   "first",
		"sys/block/vda/queue/logical_block_size": "512",
		"proc/mounts":                            "none\n",
		"dev/vda":                                strings.Repeat(oldData, diskSize/len(oldData)+1)[:diskSize],
	} {
		path := filepath.Join(m.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.reach = reach{user: "admin", password: "canary-of-the-bmc"}
	var err error
	m.ctl, err = bmc.New(bmc.Config{User: m.reach.user, Password: m.reach.password, Machine: m, MediaDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.ctl.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.ctl.Close(); err != nil {
			t.Error(err)
		}
		m.stop()
		if t.Failed() {
			t.Logf("the machine's console:\n%s", m.Console())
		}
	})
	m.reach.url, m.reach.fingerprint = m.ctl.URL(), m.ctl.Fingerprint()
	return m
}

// disk is the machine's disk as it is now.
func (m *machine) disk() []byte {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.root, "dev/vda"))
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

// silence makes the machine one that boots and never calls back, or ends that.
func (m *machine) silence(deaf bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.deaf = deaf
}

// PowerOn implements bmc.Machine.
func (m *machine) PowerOn(ctx context.Context, next bmc.NextBoot) error {
	if m.Powered() {
		return nil
	}
	if err := m.FakeMachine.PowerOn(ctx, next); err != nil {
		return err
	}
	boots := m.Boots()
	if last := boots[len(boots)-1]; last.First == "Cd" && last.Media != "" {
		return m.run(last.Media)
	}
	return nil
}

// PowerOff implements bmc.Machine.
func (m *machine) PowerOff(ctx context.Context, hard bool) error {
	m.stop()
	return m.FakeMachine.PowerOff(ctx, hard)
}

// run starts the agent with what the boot ISO says.
func (m *machine) run(iso string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.deaf {
		m.Print("kernel panic: not syncing\n")
		return nil
	}
	image, err := os.ReadFile(iso)
	if err != nil {
		return err
	}
	if bytes.Contains(image, []byte("ipa-api-url")) {
		m.ipa, err = startIPA(m, image)
		return err
	}
	config := filepath.Join(m.root, "boot.json")
	given, err := m.bootConfig(image[:depot.Placeholders()[0].Size])
	if err != nil {
		return err
	}
	if err := os.WriteFile(config, given, 0o600); err != nil {
		return err
	}
	g := &guest{ended: make(chan struct{})}
	g.cmd = exec.Command(m.agent, "-no-init", "-boot-config", config, "-listen", m.listen, "-advertise", "127.0.0.1", "-root", m.root)
	g.cmd.Stdout, g.cmd.Stderr = serial{m}, serial{m}
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := g.cmd.Start(); err != nil {
		return err
	}
	m.guest = g
	go func() {
		g.cmd.Wait() // however it ends, the machine is off then
		m.mu.Lock()
		if m.guest == g {
			m.guest = nil
			m.Halt()
		}
		m.mu.Unlock()
		close(g.ended)
	}()
	return nil
}

// stop takes the power away from the agent.
func (m *machine) stop() {
	m.mu.Lock()
	g, a := m.guest, m.ipa
	m.guest, m.ipa = nil, nil
	m.mu.Unlock()
	if a != nil {
		a.stop()
	}
	if g == nil {
		return
	}
	_ = g.cmd.Process.Kill() // it may have ended
	<-g.ended
}

// serial is the machine's serial line.
type serial struct{ m *machine }

func (s serial) Write(p []byte) (int, error) {
	s.m.Print(string(p))
	return len(p), nil
}

// ramdisk gives a server a boot ISO that holds its placeholders one after another and nothing else: what a
// simulated machine needs of it.
func (s *server) ramdisk() {
	s.t.Helper()
	m := depot.Manifest{Version: depot.ManifestVersion, VolumeLabel: depot.VolumeLabel}
	var iso bytes.Buffer
	for _, r := range depot.Placeholders() {
		r.Offset = int64(iso.Len())
		m.Regions = append(m.Regions, r)
		iso.Write(depot.Placeholder(r))
	}
	sum := sha256.Sum256(iso.Bytes())
	m.Files = []depot.File{{Name: depot.ISOName, Size: int64(iso.Len()), SHA256: hex.EncodeToString(sum[:])}}
	manifest, err := json.Marshal(m)
	if err != nil {
		s.t.Fatal(err)
	}
	dir := filepath.Join(s.data, "ramdisk")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	for name, b := range map[string][]byte{depot.ISOName: iso.Bytes(), depot.ManifestName: manifest} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// simulated starts a server with one simulated machine, enrolled.
func simulated(t *testing.T, options ...string) (*machine, *node) {
	t.Helper()
	s := serve(t, "127.0.0.1", options...)
	s.ramdisk()
	s.start()
	m := newMachine(t)
	// Without a hint no disk below 4 GiB is taken for the root disk.
	return m, s.enrol(t, m.reach, map[string]any{"properties": map[string]any{"root_device": map[string]any{"serial": "first"}}})
}
