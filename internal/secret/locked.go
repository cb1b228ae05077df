package secret

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"syscall"
)

// dontDump keeps pages out of core dumps. Source: Linux, include/uapi/asm-generic/mman-common.h, MADV_DONTDUMP.
const dontDump = 16

// Locked is bytes in pages of their own, which are neither swapped out nor dumped, as far as the system allows: see
// Unlocked. What Go code makes of them (a string, a cipher's key schedule) is in ordinary memory again; so Use lends
// the bytes and copies nothing.
type Locked struct {
	mu  sync.RWMutex
	use func(func([]byte)) // behind a func, as in Secret
	end func()
}

// Lock moves b into such pages: b itself is wiped. The pages go with Wipe, or when nobody has the Locked any more.
func Lock(b []byte) *Locked {
	pages, mapped := room(len(b))
	copy(pages, b)
	clear(b)
	l := &Locked{use: func(f func([]byte)) { f(pages) }}
	l.end = func() { leave(pages, mapped) }
	if mapped {
		cleanup := runtime.AddCleanup(l, func(p []byte) { leave(p, true) }, pages)
		l.end = func() {
			cleanup.Stop()
			leave(pages, true)
		}
	}
	return l
}

// Use lends the bytes to f, which must not keep or change them. After Wipe there are none.
func (l *Locked) Use(f func([]byte)) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.use == nil {
		f(nil)
		return
	}
	l.use(f)
}

// Wipe overwrites the bytes and gives the pages back; twice is no error.
func (l *Locked) Wipe() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.end != nil {
		l.end()
	}
	l.use, l.end = nil, nil
}

func (*Locked) String() string               { return Mask }
func (*Locked) GoString() string             { return Mask }
func (*Locked) MarshalText() ([]byte, error) { return nil, errSecret }

// unlocked is the first reason why pages could not be locked.
var unlocked struct {
	sync.Mutex
	err error
}

// Unlocked says why secrets lie in pages that may be swapped out; nil: they do not. It is for the log, not a failure.
func Unlocked() error {
	unlocked.Lock()
	defer unlocked.Unlock()
	return unlocked.err
}

func notLocked(err error) {
	unlocked.Lock()
	defer unlocked.Unlock()
	if unlocked.err == nil {
		unlocked.err = err
	}
}

// room gives n bytes in pages of their own; ordinary memory where there are none to be had.
func room(n int) (b []byte, mapped bool) {
	pages, err := syscall.Mmap(-1, 0, max(n, 1), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		notLocked(fmt.Errorf("get pages for a secret: %w", err))
		return make([]byte, n), false
	}
	if err := syscall.Mlock(pages); err != nil {
		notLocked(fmt.Errorf("lock the pages of a secret (see the limit RLIMIT_MEMLOCK): %w", err))
	}
	if err := syscall.Madvise(pages, dontDump); err != nil {
		notLocked(fmt.Errorf("keep the pages of a secret out of dumps: %w", err))
	}
	return pages[:n], true
}

func leave(pages []byte, mapped bool) {
	clear(pages)
	if mapped {
		if err := syscall.Munmap(pages[:cap(pages)]); err != nil { // which also unlocks them
			panic("secret: give pages back: " + err.Error()) // they were mapped in room
		}
	}
}

// RefuseDumps makes this process, and those that it starts, leave no core; and other users' processes cannot look into it.
func RefuseDumps() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("refuse core dumps: %w", err)
	}
	// A pattern that pipes dumps to a program ignores the limit: see core(5).
	if _, _, no := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); no != 0 {
		return fmt.Errorf("refuse core dumps: %w", errors.New(no.Error()))
	}
	return nil
}
