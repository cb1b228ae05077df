package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const bufferSize = 32 << 10

// outputs are the pipes of what a script says. A dump may still be in them when the script has ended: it is copied as long as whoever
// gets it takes it, however slowly. That is why os/exec, which gives up after a time, does not do it.
type outputs struct {
	pipes  []*output
	copied chan struct{}
}

// output is one pipe and where it leads.
type output struct {
	from, into *os.File
	to         io.Writer
	stop       func(error)
	over       atomic.Bool // the script is dead: what comes yet is in the pipe
	left       int         // no more than so many bytes then, whoever may have got away with the other end
}

// openOutputs gives a command its output pipes. stop ends the script when what it says cannot be taken.
func openOutputs(cmd *exec.Cmd, s Script, stop func(error)) (*outputs, error) {
	o := &outputs{copied: make(chan struct{})}
	for _, to := range []io.Writer{s.Stdout, s.Stderr} {
		if len(o.pipes) == 1 && same(s.Stdout, s.Stderr) {
			break
		}
		from, into, err := os.Pipe()
		if err != nil {
			for _, p := range o.pipes {
				_, _ = p.from.Close(), p.into.Close()
			}
			return nil, fmt.Errorf("make a pipe for a script: %w", err)
		}
		o.pipes = append(o.pipes, &output{from: from, into: into, to: to, stop: stop})
	}
	cmd.Stdout, cmd.Stderr = o.pipes[0].into, o.pipes[len(o.pipes)-1].into // one pipe, where both go to one place: the order is kept
	return o, nil
}

// begin copies what is said from now on. The command has been started, or could not be.
func (o *outputs) begin() {
	ended := make(chan struct{})
	for _, p := range o.pipes {
		_ = p.into.Close()
		go func() {
			p.copy()
			ended <- struct{}{}
		}()
	}
	go func() {
		for range o.pipes {
			<-ended
		}
		close(o.copied)
	}()
}

// end waits until all is copied that a script said, which is dead now. If ctx ends, whoever takes it has pipeLimit left.
func (o *outputs) end(ctx context.Context) {
	for _, p := range o.pipes {
		p.left = p.waiting() + bufferSize // a piece may just have been taken out, and is counted, too
		p.over.Store(true)
		p.wait()
	}
	select {
	case <-o.copied:
		return
	case <-ctx.Done():
	}
	select {
	case <-o.copied:
	case <-time.After(pipeLimit):
	}
}

// copy hands output on until there is no more.
func (p *output) copy() {
	defer p.from.Close()
	buffer := make([]byte, bufferSize)
	for {
		switch {
		case !p.over.Load():
		case p.waiting() > 0:
			_ = p.from.SetReadDeadline(time.Time{})
		default:
			p.wait()
		}
		n, err := p.from.Read(buffer)
		p.take(buffer[:n])
		if p.over.Load() {
			p.left -= n
		}
		if errors.Is(err, os.ErrDeadlineExceeded) && p.waiting() > 0 {
			continue // it waited for us, and not we for it
		}
		if err != nil || p.left < 0 {
			return
		}
	}
}

// wait lets the next read last pipeLimit.
func (p *output) wait() { _ = p.from.SetReadDeadline(time.Now().Add(pipeLimit)) }

// waiting is how many bytes are in the pipe.
func (p *output) waiting() (n int) {
	raw, err := p.from.SyscallConn()
	if err != nil {
		return 0 // it was closed: all was copied
	}
	_ = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return n
}

// take hands a piece on, and ends the script when that fails: what comes while it is being killed is thrown away.
func (p *output) take(b []byte) {
	if p.to == nil || len(b) == 0 {
		return
	}
	if _, err := p.to.Write(b); err != nil {
		p.stop(fmt.Errorf("%w: %w", ErrTooMuch, err))
		p.to = nil
	}
}

// same tells whether two writers are one.
func same(a, b io.Writer) (is bool) {
	defer func() { _ = recover() }() // some cannot be compared: they are not the same
	return a == b
}
