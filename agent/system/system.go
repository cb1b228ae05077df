// Package system is what the first process of a ramdisk owes the kernel: mounts, modules, the clock, the
// end (the dead are agent/child's). As a plain process (tests, a rescue system) the agent uses none of it but Dmesg.
//
// It knows nothing of provisioning. It runs no external program: there is none in the ramdisk.
// cmd/ingot-agent calls it.
package system

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

type mount struct {
	kind, at, options string
	flags             uintptr
}

const closed = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// mounts are what a Linux program expects to find, in this order.
var mounts = []mount{
	{"proc", "/proc", "", closed},
	{"sysfs", "/sys", "", closed},
	{"devtmpfs", "/dev", "mode=0755", unix.MS_NOSUID},
	{"tmpfs", "/run", "mode=0755,size=16m", closed},
	{"tmpfs", "/tmp", "mode=1777,size=16m", closed},
}

// efivars need a module on some kernels, and are there only under UEFI.
var efivars = mount{"efivarfs", "/sys/firmware/efi/efivars", "", closed}

// Mount makes the file systems of a running machine and joins our standard streams to the console.
func Mount() error {
	for _, m := range mounts {
		if err := m.do(); err != nil {
			return err
		}
	}
	console, err := os.OpenFile("/dev/console", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open the console: %w", err)
	}
	defer console.Close()
	for fd := range 3 {
		if err := unix.Dup3(int(console.Fd()), fd, 0); err != nil {
			return fmt.Errorf("join stream %d to the console: %w", fd, err)
		}
	}
	return nil
}

// Consoles opens every console the kernel writes to: /dev/console is only the last of them, and a serial
// line that somebody records may be another. Standard error if there are none.
func Consoles() io.Writer {
	active, err := os.ReadFile("/sys/class/tty/console/active")
	if err != nil {
		return os.Stderr
	}
	var all consoles
	for _, name := range strings.Fields(string(active)) {
		f, err := os.OpenFile(filepath.Join("/dev", name), os.O_WRONLY|unix.O_NOCTTY, 0)
		if err == nil {
			all = append(all, f)
		}
	}
	if len(all) == 0 {
		return os.Stderr
	}
	return all
}

// consoles writes to each. One that fails (a serial port that is not there) keeps none of the others from
// the text.
type consoles []io.Writer

func (c consoles) Write(p []byte) (int, error) {
	for _, w := range c {
		_, _ = w.Write(p)
	}
	return len(p), nil
}

// MountEFIVars makes the firmware's variables reachable; without UEFI it does nothing.
func MountEFIVars() error {
	if _, err := os.Stat(filepath.Dir(efivars.at)); err != nil {
		return nil
	}
	return efivars.do()
}

func (m mount) do() error {
	if err := os.MkdirAll(m.at, 0o755); err != nil {
		return fmt.Errorf("mount %s: %w", m.at, err)
	}
	// EBUSY: the kernel or a former life mounted it already.
	if err := unix.Mount(m.kind, m.at, m.kind, m.flags, m.options); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("mount %s: %w", m.at, err)
	}
	return nil
}

// LoadModules loads the kernel modules listed in file, in its order: one path a line, parameters may
// follow, "#" begins a comment. Relative paths are below root. A module that does not load is logged and left out: most are for
// hardware that is not there. A file that is absent is an empty list. It gives how many were loaded.
func LoadModules(log *slog.Logger, root, file string) (loaded int, err error) {
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("list of modules: %w", err)
	}
	defer f.Close()
	modules, err := parseModules(f)
	if err != nil {
		return 0, fmt.Errorf("list of modules: %w", err)
	}
	var missing *fs.PathError // of a file that is not there; the kernel's own ENOENT is none
	for _, m := range modules {
		path := m.path
		if !filepath.IsAbs(path) {
			path = filepath.Join(root, path)
		}
		switch err := loadModule(path, m.params); {
		case err == nil:
			loaded++
		case errors.Is(err, unix.EEXIST): // built in, or loaded by another's alias
		case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT) && !errors.As(err, &missing):
			// No hardware for it, or for one that it builds on, whose symbols are missing then.
			log.Debug("module not needed", "module", m.path)
		default:
			log.Warn("module not loaded", "module", m.path, "error", err)
		}
	}
	return loaded, nil
}

type module struct{ path, params string }

func parseModules(r io.Reader) (list []module, err error) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		line, _, _ := strings.Cut(s.Text(), "#")
		path, params, _ := strings.Cut(strings.TrimSpace(line), " ")
		if path != "" {
			list = append(list, module{path, strings.TrimSpace(params)})
		}
	}
	return list, s.Err()
}

func loadModule(path, params string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	flags := 0
	switch filepath.Ext(path) {
	case ".xz", ".zst", ".gz":
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	return unix.FinitModule(int(f.Fd()), params, flags)
}

// SetClock sets the machine's clock.
func SetClock(t time.Time) error {
	ts := unix.NsecToTimespec(t.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &ts); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// PowerOff and Reboot do not return when they work. They write nothing back first: see unix.Sync.
func PowerOff() error { return end(unix.LINUX_REBOOT_CMD_POWER_OFF, "o") }

// Reboot starts the machine anew.
func Reboot() error { return end(unix.LINUX_REBOOT_CMD_RESTART, "b") }

func end(command int, sysrq string) error {
	err := unix.Reboot(command)
	if err == nil {
		return nil
	}
	// The other way to the same place, for a kernel that refuses the call.
	return errors.Join(err, os.WriteFile("/proc/sysrq-trigger", []byte(sysrq), 0))
}

// Dmesg is the kernel's log; empty if we may not read it.
func Dmesg() []byte {
	size, err := unix.Klogctl(unix.SYSLOG_ACTION_SIZE_BUFFER, nil)
	if err != nil || size <= 0 {
		return nil
	}
	buf := make([]byte, min(size, 4<<20))
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, buf)
	if err != nil || n < 0 {
		return nil
	}
	return buf[:n]
}
