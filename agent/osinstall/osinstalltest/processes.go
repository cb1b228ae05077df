// Package osinstalltest runs scripts of OS definitions as plain processes, for tests that have no machine. Nothing confines them: it is for definitions
// that the tests themselves bring.
package osinstalltest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"ingot/agent/osinstall"
)

// Processes is a Runner. The zero value can be used.
type Processes struct {
	// Note is a folder for the files channel-guest and channel-host, which say where the channel is: scripts cannot be told otherwise. It may be "".
	Note string

	mu  sync.Mutex
	ran map[string]Ran
}

// Ran is a script that was started, and whether it was to be confined.
type Ran struct {
	osinstall.Script
	Confined bool
}

// Ran gives the last start of a script.
func (p *Processes) Ran(path string) (Ran, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, found := p.ran[path]
	return r, found
}

// Network is one of this host's own: the channel is at a free port.
func (p *Processes) Network() (osinstall.Network, error) { return network{p}, nil }

// Host listens for trusted scripts.
func (p *Processes) Host(context.Context) (net.Listener, error) { return p.listen("channel-host") }

func (p *Processes) listen(note string) (net.Listener, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil || p.Note == "" {
		return l, err
	}
	err = errors.Join(os.MkdirAll(p.Note, 0o755), os.WriteFile(filepath.Join(p.Note, note), []byte(l.Addr().String()), 0o644)) //nolint:gosec // G301, G306: addresses are no secret
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

type network struct{ p *Processes }

func (n network) Listen(string, string) (net.Listener, error) { return n.p.listen("channel-guest") }
func (network) Close() error                                  { return nil }

// Run runs a script that is to be confined.
func (p *Processes) Run(ctx context.Context, s osinstall.Script) (int, error) {
	return p.run(ctx, Ran{s, true})
}

// RunTrusted runs one that is not.
func (p *Processes) RunTrusted(ctx context.Context, s osinstall.Script) (int, error) {
	return p.run(ctx, Ran{s, false})
}

func (p *Processes) run(ctx context.Context, s Ran) (int, error) {
	p.mu.Lock()
	if p.ran == nil {
		p.ran = map[string]Ran{}
	}
	p.ran[s.Path] = s
	p.mu.Unlock()
	cmd := exec.CommandContext(ctx, filepath.Join(s.Folder, s.Path), s.Args...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.Folder, []string{}, s.Stdin, s.Stdout, s.Stderr, s.ExtraFiles
	for _, v := range s.Env {
		cmd.Env = append(cmd.Env, v.Name+"="+v.Value.Expose())
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if cause := context.Cause(ctx); cause != nil {
		return -1, cause
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	case errors.As(err, &exit):
		return 128 + int(exit.Sys().(syscall.WaitStatus).Signal()), nil
	case err != nil:
		return -1, fmt.Errorf("start a script: %w", err)
	}
	return 0, nil
}
