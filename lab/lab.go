package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// Lab is a lab that is up.
type Lab struct {
	State
	Machines []*Machine

	keep io.Closer // the daemon of Start ends when this is closed; nil for Open
}

const (
	startLimit = 2 * time.Minute  // until every BMC answers: a second is normal, TCG neighbours may be greedy
	stopLimit  = 30 * time.Second // until the daemon has ended by itself
)

// Start brings up a lab that lasts until Close, or until this process ends in whatever way. Disks are
// blank, passwords and certificates new. fault.Forbidden without root, fault.Conflict if this lab or its
// subnet is in use, fault.Unavailable if QEMU or the firmware is not installed.
func Start(ctx context.Context, c Config) (*Lab, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	l, err := up(ctx, c, r)
	if err != nil {
		w.Close()
		return nil, err
	}
	l.keep = w
	return l, nil
}

// Open finds the lab that is up in dir; fault.NotFound if there is none.
func Open(dir string) (*Lab, error) {
	s, err := readState(dir)
	if err != nil {
		return nil, err
	}
	if !s.alive() {
		return nil, fault.New(fault.NotFound, "The lab in %s has ended: `ingot lab up --dir %s` starts it anew.", dir, dir)
	}
	return newLab(s)
}

// Machine finds a machine by name; fault.NotFound names those there are.
func (l *Lab) Machine(name string) (*Machine, error) {
	var names []string
	for _, m := range l.Machines {
		if m.Name == name {
			return m, nil
		}
		names = append(names, m.Name)
	}
	return nil, fault.New(fault.NotFound, "The lab has no machine %q; it has %s.", name, strings.Join(names, ", "))
}

// Close ends the lab: machines, BMCs, namespace and links. Its folder stays, with disks and consoles.
func (l *Lab) Close() error {
	for _, m := range l.Machines {
		m.client.CloseIdleConnections()
	}
	err := down(l.Config.Dir, l.Config.Name)
	if l.keep != nil {
		err = errors.Join(err, l.keep.Close())
	}
	return err
}

func newLab(s *State) (*Lab, error) {
	l := &Lab{State: *s}
	for _, ms := range s.Machines {
		m, err := newMachine(ms)
		if err != nil {
			return nil, err
		}
		l.Machines = append(l.Machines, m)
	}
	return l, nil
}

// up starts a lab. With stdin the daemon lives as long as the other end of that pipe; without, until down.
func up(ctx context.Context, c Config, stdin *os.File) (l *Lab, err error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if err := checkHost(&c); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, err
	}
	unlock, err := lock(c.Dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s, err := readState(c.Dir); err == nil && s.alive() {
		return nil, fault.New(fault.Conflict, "A lab is up in %s: end it with `ingot lab down --dir %s`.", c.Dir, c.Dir)
	}
	if pids := inhabitants(c.namespace()); len(pids) > 0 {
		return nil, fault.New(fault.Conflict,
			"The network namespace %s is in use by process %d: another folder has a lab named %q; choose another with --name.", c.namespace(), pids[0], c.Name)
	}
	if err := removeNetwork(&c); err != nil { // of a lab that crashed
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeNetwork(&c))
		}
	}()
	if err := makeNetwork(&c); err != nil {
		return nil, err
	}
	s := &State{Config: c, Namespace: c.namespace(), HostAddress: c.address(1)}
	if err := s.write(); err != nil {
		return nil, err
	}
	cmd, err := startDaemon(ctx, &c, stdin)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = cmd.Process.Kill()
		}
	}()
	if s, err = readState(c.Dir); err != nil {
		return nil, err
	}
	if l, err = newLab(s); err != nil {
		return nil, err
	}
	return l, l.awaitBMCs(ctx)
}

// awaitBMCs asks every BMC for something, from here: it proves the way through the veth.
func (l *Lab) awaitBMCs(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for _, m := range l.Machines {
		if _, err := m.Power(ctx); err != nil {
			return fmt.Errorf("BMC of %s: %w", m.Name, err)
		}
	}
	return nil
}

// startDaemon starts the daemon in the namespace and returns when it is ready.
func startDaemon(ctx context.Context, c *Config, stdin *os.File) (*exec.Cmd, error) {
	program := c.Program
	if program == "" {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		program = self
	}
	out, err := os.OpenFile(filepath.Join(c.Dir, "daemon.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	args := []string{"lab", "daemon", "--dir", c.Dir}
	if stdin != nil {
		args = append(args, "--attached")
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = out, out, []*os.File{w}
	if stdin != nil {
		cmd.Stdin = stdin
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a Ctrl-C in the terminal is not for it
	err = startInside(c.namespace(), cmd)
	w.Close()
	if err != nil {
		return nil, fmt.Errorf("start the lab's daemon: %w", err)
	}
	go cmd.Wait() // so that it is no zombie while this process lives
	heard := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(io.LimitReader(r, 64<<10))
		heard <- string(b)
	}()
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	select {
	case said := <-heard:
		if said == ready {
			return cmd, nil
		}
		_ = cmd.Process.Kill()
		if said == "" {
			said = "it ended without a word"
		}
		return nil, fmt.Errorf("start the lab's daemon: %s (see %s)", said, out.Name())
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("start the lab's daemon: %w", ctx.Err())
	}
}

// down ends the lab in dir, or what is left of it. Nothing there is no error.
func down(dir, name string) error {
	c := Config{Name: name, Dir: dir}
	s, err := readState(dir)
	switch {
	case err == nil:
		c = s.Config
		unlock, err := lock(dir)
		if err != nil {
			return err
		}
		defer unlock()
		if err := endProcess(s); err != nil {
			return err
		}
	case fault.KindOf(err) != fault.NotFound:
		return err
	}
	if pids := inhabitants(c.namespace()); err != nil && len(pids) > 0 {
		return fault.New(fault.Conflict, "Process %d is inside %s, and %s does not say whose it is: give the --dir of that lab.",
			pids[0], c.namespace(), dir)
	}
	if err := removeNetwork(&c); err != nil {
		return err
	}
	if err := os.Remove(statePath(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// endProcess ends the daemon of a state, and with it every QEMU.
func endProcess(s *State) error {
	if !s.alive() {
		return nil
	}
	fd, err := unix.PidfdOpen(s.DaemonPID, 0)
	if err != nil {
		return fmt.Errorf("find the lab's daemon: %w", err)
	}
	defer unix.Close(fd)
	if !s.alive() { // the pid may have changed hands before the descriptor was ours
		return nil
	}
	for _, try := range []struct {
		signal unix.Signal
		limit  time.Duration
	}{{unix.SIGTERM, stopLimit}, {unix.SIGKILL, stopLimit}} {
		if err := unix.PidfdSendSignal(fd, try.signal, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end the lab's daemon: %w", err)
		}
		if gone, err := awaitEnd(fd, try.limit); gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("the lab's daemon, process %d, does not end", s.DaemonPID)
}

// awaitEnd waits for the end of the process behind a pidfd: it becomes readable then.
func awaitEnd(pidfd int, limit time.Duration) (bool, error) {
	deadline := time.Now().Add(limit)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(max(0, time.Until(deadline)).Milliseconds()))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		return n > 0, err
	}
}

// lock keeps two ups or downs of one folder apart.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fault.Wrap(fault.Locked, err, "Another `ingot lab` command is at work in %s.", dir)
	}
	return func() { f.Close() }, nil
}

// daemonLog is the daemon's own log: text, one line per event.
func daemonLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
