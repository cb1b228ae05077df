package confine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipeLimit is how long nothing may come out of a pipe, or go into one, when all of a script is dead: somebody who got away has it.
var pipeLimit = 5 * time.Second

// run runs a program in a group to its end, kills what it leaves behind, and gives its exit code.
func run(ctx context.Context, cmd *exec.Cmd, s Script, in *group) (code int, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if err := context.Cause(ctx); err != nil {
		return -1, err
	}
	cmd.WaitDelay = pipeLimit // of its input alone: what it says is copied by outputs, to the end
	cmd.Stdin = reader(s.Stdin)
	said, err := openOutputs(cmd, s, stop)
	if err != nil {
		return -1, err
	}
	// What the agent itself was started with may have been left open for its children.
	_ = unix.CloseRange(3, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC)
	err = cmd.Start()
	said.begin()
	if err != nil {
		said.end(ctx)
		return -1, fmt.Errorf("start a script: %w", err)
	}
	pid := cmd.Process.Pid
	// It is the first to go when the machine's memory is used up, and leaves no core.
	_ = unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awaitEnd(pid)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	killed := in.kill()
	waited := cmd.Wait()
	said.end(ctx)
	if cause := context.Cause(ctx); cause != nil {
		return -1, errors.Join(cause, killed)
	}
	if killed != nil {
		return -1, killed
	}
	return verdict(cmd.ProcessState, waited)
}

// verdict is the exit code of a program that ended by itself.
func verdict(state *os.ProcessState, err error) (int, error) {
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return -1, err
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return state.ExitCode(), nil
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

// reader hides that a reader is a file, so that a script gets a pipe and never a descriptor of the agent's.
func reader(r io.Reader) io.Reader {
	if r == nil {
		return nil // the null device
	}
	return struct{ io.Reader }{r}
}
