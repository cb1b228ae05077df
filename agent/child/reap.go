package child

import (
	"errors"
	"os"
	"os/signal"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reap collects dead orphans for ever: they are the first process's to bury. The dead that somebody waits for are
// left to them. Call it once.
func (c *Children) Reap() {
	died := make(chan os.Signal, 1)
	signal.Notify(died, unix.SIGCHLD)
	collected := make(chan struct{}, 1)
	c.mu.Lock()
	c.collected = collected
	c.mu.Unlock()
	for {
		c.bury()
		select {
		case <-died:
		case <-collected: // there may be others behind it
		}
	}
}

// bury collects the dead, up to one of our own.
func (c *Children) bury() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		pid := dead()
		if pid == 0 || c.mine[pid] {
			return
		}
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// dead is a child that is dead and not collected; 0 if there is none.
func dead() int {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || info.Signo == 0 {
			return 0
		}
		// si_pid follows three ints and a gap. Source: Linux, include/uapi/asm-generic/siginfo.h, 64 bits.
		return int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16)))
	}
}
