package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ingot/internal/agentapi"
	"ingot/internal/depot"
	"ingot/lab/bmc"
)

// cagedMachine is a machine behind an emulated BMC whose agent, once it has booted its CD, is the real one as a process that has a
// folder for its root. It keeps what each boot brought, which nobody else may have.
type cagedMachine struct {
	*bmc.FakeMachine
	t       *testing.T
	bmc     *bmc.BMC
	program string
	root    string
	media   string // folder of what is in its virtual drive

	mu     sync.Mutex
	agent  *exec.Cmd             // guarded by mu; nil: none runs
	gone   chan struct{}         // guarded by mu; closed when it has ended
	boots  []agentapi.BootConfig // guarded by mu
	booted func(agentapi.BootConfig)
}

// cagedDisk is the size of its disk in bytes.
const cagedDisk = 100 << 20

// licence is a program in its ramdisk that offers a step with a secret argument and does its worst with it: it prints it, and
// repeats it in its complaint.
const licence = `#!/bin/sh
if [ "$1" = describe ]; then
	step='[{"interface": "deploy", "step": "licence", "priority": 0, "argsinfo": {"password": {"description": "of the licence"}, "mode": {"description": "how"}}}]'
	echo "{\"result\": {\"name\": \"licence\", \"version\": \"1\", \"support\": 2, \"deploy_steps\": $step, \"clean_steps\": $step, \"service_steps\": $step}}"
	exit 0
fi
cat > ROOT/given
password=$(sed 's/.*"password":"\([^"]*\)".*/\1/' < ROOT/given)
cat ROOT/given >> ROOT/all-given
echo "{\"log\": \"the password is $password\"}"
echo "using $password" >&2
if grep -q fail-now ROOT/given; then echo "{\"error\": \"the password $password is wrong\"}"; exit 1; fi
echo "{\"result\": {\"used\": \"$password\"}}"
`

// agentProgram builds the agent.
func agentProgram(t *testing.T, flags ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ingot-agent")
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", file}, flags, []string{"ingot/cmd/ingot-agent"})...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the agent: %v\n%s", err, out)
	}
	return file
}

// newCagedMachine makes one that is off. booted is told of each boot of its agent.
func newCagedMachine(t *testing.T, program, password string, booted func(agentapi.BootConfig)) *cagedMachine {
	t.Helper()
	m := &cagedMachine{FakeMachine: bmc.NewFakeMachine(), t: t, program: program, root: t.TempDir(), media: t.TempDir(), booted: booted}
	for name, content := range map[string]string{
		"sys/class/net/eth0/address": m.MACs()[0], "sys/class/net/eth0/device/vendor": "0x1af4",
		"sys/block/vda/size": fmt.Sprint(cagedDisk / 512), "sys/block/vda/serial": "first", "sys/block/vda/queue/logical_block_size": "512",
		"proc/mounts": "none\n", "dev/vda": "old ",
		"etc/shadow": "root:*:1::::::\n", "etc/ipa-rescue-config/README": "",
		"etc/passwd":                     fmt.Sprintf("root:x:0:0::/root:/bin/sh\nrescue:x:%d:%d::/home/rescue:/bin/bash\n", os.Getuid(), os.Getgid()),
		"usr/lib/ingot/plugins/licence":  licence,
		"run/ingot-agent/none-of-a-boot": "",
	} {
		path := filepath.Join(m.root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(strings.ReplaceAll(content, "ROOT", m.root)), 0o700)); err != nil { //nolint:gosec // one is run
			t.Fatal(err)
		}
	}
	err := os.Truncate(filepath.Join(m.root, "dev/vda"), cagedDisk)
	if err != nil {
		t.Fatal(err)
	}
	if m.bmc, err = bmc.New(bmc.Config{User: "admin", Password: password, Machine: m, MediaDir: m.media}); err != nil {
		t.Fatal(err)
	}
	if err := m.bmc.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = m.bmc.Close()
		m.stop()
		if t.Failed() {
			t.Logf("the machine's console:\n%.20000s", m.Console())
		}
	})
	return m
}

// PowerOn implements bmc.Machine.
func (m *cagedMachine) PowerOn(ctx context.Context, next bmc.NextBoot) error {
	if m.Powered() {
		return nil
	}
	if err := m.FakeMachine.PowerOn(ctx, next); err != nil {
		return err
	}
	boots := m.Boots()
	if last := boots[len(boots)-1]; last.First == "Cd" && last.Media != "" {
		return m.start(last.Media)
	}
	return nil
}

// PowerOff implements bmc.Machine.
func (m *cagedMachine) PowerOff(ctx context.Context, hard bool) error {
	m.stop()
	return m.FakeMachine.PowerOff(ctx, hard)
}

// start runs the agent with what the boot ISO says.
func (m *cagedMachine) start(iso string) error {
	image, err := os.ReadFile(iso)
	if err != nil {
		return err
	}
	given := bytes.TrimSpace(image[:depot.Placeholders()[0].Size])
	var c agentapi.BootConfig
	if err := json.Unmarshal(given, &c); err != nil {
		return err
	}
	config := filepath.Join(m.root, "boot.json")
	if err := errors.Join(os.WriteFile(config, given, 0o600), os.WriteFile(filepath.Join(m.root, "last.iso"), image, 0o600)); err != nil {
		return err
	}
	agent, gone := exec.Command(m.program, "-no-init", "-debug", "-boot-config", config, "-listen", "127.0.0.1:0", "-advertise", "127.0.0.1", "-root", m.root), make(chan struct{})
	agent.Stdout, agent.Stderr = console{m}, console{m}
	if err := agent.Start(); err != nil {
		return err
	}
	m.mu.Lock()
	m.agent, m.gone, m.boots = agent, gone, append(m.boots, c)
	m.mu.Unlock()
	go func() {
		_ = agent.Wait() // however it ends, the machine is off then, unless it is its tenant's
		m.mu.Lock()
		if m.agent == agent {
			if m.agent = nil; c.Role != agentapi.RoleRescue {
				m.Halt()
			}
		}
		m.mu.Unlock()
		close(gone)
	}()
	go m.booted(c)
	return nil
}

// stop takes the power away from the agent.
func (m *cagedMachine) stop() {
	m.mu.Lock()
	agent, gone := m.agent, m.gone
	m.agent = nil
	m.mu.Unlock()
	if agent != nil {
		_ = agent.Process.Kill() // it may have ended
		<-gone
	}
}

// console is the machine's serial line, where its agent logs.
type console struct{ m *cagedMachine }

func (s console) Write(p []byte) (int, error) {
	s.m.Print(string(p))
	return len(p), nil
}

// brought are the secrets that boots brought to the machine.
func (m *cagedMachine) brought() (all []canary) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, c := range m.boots {
		all = append(all, canary{fmt.Sprintf("agent token of boot %d", i+1), c.AgentToken})
		if c.Key != "" {
			all = append(all, keyOf(m.t, fmt.Sprintf("agent's key of boot %d", i+1), []byte(c.Key)))
		}
	}
	return all
}

// keyOf is the private key in a PEM file, without what all such keys begin with.
func keyOf(t *testing.T, name string, text []byte) canary {
	t.Helper()
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			t.Fatalf("%s: no private key", name)
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return canary{name, string(block.Bytes[len(block.Bytes)/2:][:24])}
		}
		text = rest
	}
}

// cagedRamdisk puts boot ISOs into folders that are placeholders one after another: what a caged machine needs of one.
func cagedRamdisk(t *testing.T, dirs ...string) {
	t.Helper()
	m := depot.Manifest{Version: depot.ManifestVersion, VolumeLabel: depot.VolumeLabel}
	var iso bytes.Buffer
	for _, r := range depot.Placeholders() {
		r.Offset = int64(iso.Len())
		m.Regions = append(m.Regions, r)
		iso.Write(depot.Placeholder(r))
	}
	for _, dir := range dirs {
		iso.WriteString(filepath.Base(dir)) // no two of them are the same
		m.Files = []depot.File{{Name: depot.ISOName, Size: int64(iso.Len()), SHA256: sum256(iso.Bytes())}}
		if m.Kind = ""; filepath.Base(dir) != "ramdisk" {
			m.Kind = depot.KindDebian
		}
		manifest, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, depot.ISOName), iso.Bytes(), 0o600),
			os.WriteFile(filepath.Join(dir, depot.ManifestName), manifest, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}
