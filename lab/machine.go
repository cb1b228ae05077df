package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"ingot/lab/bmc"
)

// machine is a QEMU process or the absence of one. It implements bmc.Machine.
type machine struct {
	spec
	config *Config
	log    *slog.Logger
	keys   bmc.KeyStore // those of Secure Boot that its firmware comes with

	mu   sync.Mutex // held while QEMU starts: a second or less
	life *life      // nil while off
}

// life is the time between power on and power off. A guest that resets goes through several processes.
type life struct {
	process *process
	killed  bool          // no new process, whatever the guest asked
	off     chan struct{} // closed when it is over
}

// helloLimit is how long QEMU may take until it answers its control connection.
const helloLimit = 30 * time.Second

// PowerOn implements bmc.Machine.
func (m *machine) PowerOn(ctx context.Context, next bmc.NextBoot) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.life != nil {
		return nil
	}
	if err := m.trimConsole(); err != nil {
		return fmt.Errorf("prepare the console log: %w", err)
	}
	p, err := m.boot(ctx, next())
	if err != nil {
		return err
	}
	m.life = &life{process: p, off: make(chan struct{})}
	go m.follow(m.life, next)
	return nil
}

// boot starts a process and returns when QEMU runs the guest; the lock is held.
func (m *machine) boot(ctx context.Context, b bmc.Boot) (*process, error) {
	if m.config.SecureBoot && !b.Legacy { // the firmware of the others has no keys and cannot enforce anything
		if err := applySecureBoot(m.file("vars.fd"), varsSecure, b.SecureBoot, b.Keys, b.KeyStore); err != nil {
			return nil, err
		}
	}
	p, err := m.launch(m.config, b)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, helloLimit)
	defer cancel()
	if err := p.qmp.do(ctx, "qmp_capabilities", nil); err != nil {
		p.kill()
		<-p.exited
		return nil, fmt.Errorf("start QEMU: %w: %s", err, m.lastWords())
	}
	m.log.Info("machine boots", "machine", m.Name, "first", b.First, "media", b.Media != "", "legacy", b.Legacy, "secure_boot", b.SecureBoot)
	return p, nil
}

// follow waits for the end of each process and makes the next one if the guest asked for a reset.
func (m *machine) follow(l *life, next bmc.NextBoot) {
	for {
		<-l.process.exited
		m.mu.Lock()
		reason := l.process.qmp.shutdownReason()
		if !l.killed && reason == "guest-reset" {
			p, err := m.boot(context.Background(), next()) // bounded by helloLimit
			if err == nil {
				l.process = p
				m.mu.Unlock()
				continue
			}
			m.log.Error("machine did not come back from a reset", "machine", m.Name, "err", err)
		}
		if reason == "" && !l.killed {
			m.log.Error("QEMU ended unasked", "machine", m.Name, "last", m.lastWords())
		}
		m.log.Info("machine is off", "machine", m.Name, "reason", reason)
		m.life = nil
		close(l.off)
		m.mu.Unlock()
		return
	}
}

// kill takes the power away.
func (p *process) kill() {
	// The only error is that it has ended already.
	_ = p.cmd.Process.Kill()
}

// PowerOff implements bmc.Machine.
func (m *machine) PowerOff(ctx context.Context, hard bool) error {
	m.mu.Lock()
	l := m.life
	if l == nil {
		m.mu.Unlock()
		return nil
	}
	p := l.process
	if hard {
		l.killed = true
		p.kill()
	}
	m.mu.Unlock()
	if !hard {
		if err := p.qmp.do(ctx, "system_powerdown", nil); err != nil && !errors.Is(err, errQEMUGone) {
			return err
		}
	}
	select {
	case <-l.off:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", bmc.ErrGuestRunning, ctx.Err())
	}
}

// Powered implements bmc.Machine.
func (m *machine) Powered() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.life != nil
}

// SetMedia implements bmc.Machine.
func (m *machine) SetMedia(ctx context.Context, path string) error {
	m.mu.Lock()
	defer m.mu.Unlock() // not while a process is being replaced
	if m.life == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, helloLimit)
	defer cancel()
	q := m.life.process.qmp
	var err error
	if path == "" {
		// Force: a guest that has locked its drive is not asked. The BMC pulls the image from under it.
		err = q.do(ctx, "eject", map[string]any{"id": "cd", "force": true})
	} else {
		err = q.do(ctx, "blockdev-change-medium", map[string]any{"id": "cd", "filename": path, "format": "raw", "force": true,
			"read-only-mode": "read-only"})
	}
	if errors.Is(err, errQEMUGone) {
		return nil // the next boot takes what is in the drive
	}
	return err
}

// consoleTail is how much of the console a BMC keeps.
const consoleTail = 1 << 20

// Console implements bmc.Machine.
func (m *machine) Console() []byte {
	b, err := tail(m.console(), consoleTail)
	if err != nil {
		m.log.Warn("console log cannot be read", "machine", m.Name, "err", err)
	}
	return b
}

// tail is the end of a file, at most n bytes.
func tail(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.NewSectionReader(f, max(0, st.Size()-n), n))
}

// MACs implements bmc.Machine.
func (m *machine) MACs() []string { return m.spec.MACs }

// Inventory implements bmc.Machine.
func (m *machine) Inventory() bmc.Inventory {
	return bmc.Inventory{UUID: m.UUID, Manufacturer: "Ingot", Model: "Lab Machine", Serial: m.Serial,
		MemoryMiB: m.config.MemoryMiB, CPUs: m.config.CPUs, CPUModel: "QEMU TCG", SecureBoot: m.config.SecureBoot, Keys: m.keys,
		Legacy: m.config.Firmware == BIOS, StartsLegacy: m.config.Firmware == BIOS,
		BootTargets: []string{"Pxe", "Hdd", "Cd", "UefiHttp"}}
}
