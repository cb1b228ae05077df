package confine

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs a func on a thread of its own, which may change its namespaces: it ends with the func. It is not the process' first
// thread, for that one cannot end, and is what others see of the process.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread() // for good: the thread is thrown away
		if unix.Gettid() != unix.Getpid() {
			defer close(done)
			f()
			return
		}
		// While this one holds the first thread another cannot be on it.
		onThread(f)
		runtime.UnlockOSThread()
		close(done)
	}()
	<-done
}
