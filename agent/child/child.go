package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipeLimit is how long a pipe may stay open after the program has ended, in the hands of those it left behind.
const pipeLimit = 2 * time.Second

// ErrTooMuch: a program was ended because its output could not be taken.
var ErrTooMuch = errors.New("its output could not be taken")

// Program is one program to run.
type Program struct {
	Path  string
	Args  []string
	Env   []string // all of it: nothing is inherited
	Dir   string
	Stdin []byte
	// Stdout and Stderr take what it prints; an error of theirs ends it. Nil: it is thrown away.
	Stdout, Stderr io.Writer
	// Memory bounds its private memory, bytes; 0: no bound.
	Memory uint64
}

// Children are the programs that run. The zero value is ready, and safe for concurrent use.
type Children struct {
	mu        sync.Mutex
	mine      map[int]bool
	collected chan struct{} // made by Reap: one of ours was waited for
}

// Run runs a program to its end and gives its exit code. When ctx ends, and when its output cannot be taken, its
// whole process group is killed. A program that was killed has code -1 and an error.
func (c *Children) Run(ctx context.Context, p Program) (code int, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := exec.Command(p.Path, p.Args...)
	cmd.Env, cmd.Dir, cmd.WaitDelay = p.Env, p.Dir, pipeLimit
	if cmd.Env == nil {
		cmd.Env = []string{}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdin = newInput(p.Stdin)
	cmd.Stdout, cmd.Stderr = taker{p.Stdout, stop}, taker{p.Stderr, stop}
	if err := c.start(cmd); err != nil {
		return -1, err
	}
	pid := cmd.Process.Pid
	limit(pid, p.Memory)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awaitEnd(pid)
		// It is dead and not collected: its number, and its group's, are still its own.
		_ = unix.Kill(-pid, unix.SIGKILL)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		_ = unix.Kill(-pid, unix.SIGKILL)
		<-ended
	}
	err = cmd.Wait()
	c.done(pid)
	if cause := context.Cause(ctx); cause != nil {
		return -1, cause
	}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), nil
	case errors.Is(err, exec.ErrWaitDelay): // somebody it left behind held the pipe
		return cmd.ProcessState.ExitCode(), nil
	case err != nil:
		return -1, err
	}
	return 0, nil
}

// start makes the child known before anybody can bury it.
func (c *Children) start(cmd *exec.Cmd) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	if c.mine == nil {
		c.mine = map[int]bool{}
	}
	c.mine[cmd.Process.Pid] = true
	return nil
}

func (c *Children) done(pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mine, pid)
	select {
	case c.collected <- struct{}{}: // a nil channel takes nothing
	default:
	}
}

// awaitEnd waits until a child is dead, and leaves it to be collected.
func awaitEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// limit bounds a program as far as the kernel allows: memory, no core dumps, and first to go when the machine's
// memory is used up.
func limit(pid int, memory uint64) {
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	if memory > 0 {
		_ = unix.Prlimit(pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: memory, Max: memory}, nil)
	}
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0)
}

// input is what a program reads. Unlike a file it ends.
type input struct{ rest []byte }

func newInput(b []byte) io.Reader {
	if len(b) == 0 {
		return nil // the null device
	}
	return &input{b}
}

func (i *input) Read(p []byte) (int, error) {
	if len(i.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// taker hands output on and ends the program when that fails.
type taker struct {
	to   io.Writer
	stop func(error)
}

func (t taker) Write(p []byte) (int, error) {
	if t.to == nil {
		return len(p), nil
	}
	n, err := t.to.Write(p)
	if err != nil {
		t.stop(fmt.Errorf("%w: %w", ErrTooMuch, err))
		return len(p), nil // it is being killed: what comes now is thrown away
	}
	return n, nil
}

// Tail keeps the last bytes that were written to it.
type Tail struct {
	Limit int
	kept  []byte
}

func (t *Tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.Limit; over > 0 {
		t.kept = append(t.kept[:0], t.kept[over:]...)
	}
	return len(p), nil
}

// String is what is kept.
func (t *Tail) String() string { return string(t.kept) }
