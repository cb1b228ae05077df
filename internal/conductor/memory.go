package conductor

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"ingot/internal/fault"
)

// MemoryConfig says how much memory must be available before work that holds much of it, and what happens while it is not.
type MemoryConfig struct {
	// Required is the most that any work waits for, in bytes; 0: none waits. Default 1 GiB.
	Required int64
	// Wait is the pause between two looks, Retries how many more looks there are before the work fails. Defaults 15s and 6.
	Wait    time.Duration
	Retries int
	// WarnOnly lets the work begin all the same, with a warning. Default false.
	WarnOnly bool
}

func memoryDefaults() MemoryConfig {
	return MemoryConfig{Required: 1 << 30, Wait: 15 * time.Second, Retries: 6}
}

// longest is how long work may wait for memory.
func (m MemoryConfig) longest() time.Duration { return time.Duration(m.Retries) * m.Wait }

// spareMemory is what this process may still take. Work that has begun may not have taken all of its own yet, so it counts until it ends.
type spareMemory struct {
	read func() (available int64, known bool)

	mu    sync.Mutex
	taken int64 // by work that has begun; guarded by mu
}

// take gives work its memory, if there is that much; it ends with free. Nobody knows on a system that does not say: there is enough.
func (m *spareMemory) take(need int64) (have int64, free func(), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	have, known := m.spare()
	if known && have < need {
		debug.FreeOSMemory() // what is garbage here counts as used there
		have, known = m.spare()
	}
	if known && have < need {
		return have, nil, false
	}
	return have, m.hold(need), true
}

// force gives work its memory although there is not that much.
func (m *spareMemory) force(need int64) (free func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hold(need)
}

// spare is what is available and was not promised to anybody. The caller holds mu, as for hold.
func (m *spareMemory) spare() (int64, bool) {
	have, known := m.read()
	return max(have-m.taken, 0), known
}

func (m *spareMemory) hold(need int64) func() {
	m.taken += need
	return sync.OnceFunc(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.taken -= need
	})
}

// memoryShort says that work must wait: it needs more than there is.
type memoryShort struct {
	what       string
	need, have int64
}

func (e *memoryShort) Error() string {
	return fmt.Sprintf("memory is short: %s needs %d MiB, and %d MiB are available", e.what, mebi(e.need), e.have>>20)
}

// Memory takes so many bytes for work that holds them at a time, until free. what says what the work is, as in "building the config
// drive". Where there are not as many the error is for the step that the work belongs to: it makes the step wait.
func (c *Conductor) Memory(what string, need int64) (free func(), err error) {
	need = min(need, c.config.Memory.Required)
	have, free, ok := c.memory.take(need)
	switch {
	case ok:
		return free, nil
	case c.config.Memory.WarnOnly:
		c.log.Warn("memory is short", "work", what, "need_mib", mebi(need), "have_mib", have>>20)
		return c.memory.force(need), nil
	}
	return nil, &memoryShort{what, need, have}
}

// withMemory does work once there is the memory for it.
func (r *runner) withMemory(op *Op, what string, need int64, work func() (Outcome, error)) (Outcome, error) {
	free, err := r.c.Memory(what, need)
	if err != nil {
		return r.awaitMemory(op, err)
	}
	defer free()
	return work()
}

// awaitMemory lets a step look again whose work found too little memory: any server may have more. Other errors stay what they are.
func (r *runner) awaitMemory(op *Op, err error) (Outcome, error) {
	var short *memoryShort
	if !errors.As(err, &short) {
		return Outcome{}, err
	}
	c := r.c.config.Memory
	if op.Rec.MemoryLooks >= c.Retries {
		return Outcome{}, fault.Wrap(fault.Full, err, "memory is short: %s needs %d MiB, and server %s has %d MiB available, after %s: "+
			"give it more, or let fewer operations run at a time ([conductor] max_concurrent_deploy)", short.what, mebi(short.need), r.c.config.Host, short.have>>20, c.longest())
	}
	op.Rec.MemoryLooks++
	return again(c.Wait, "memory: %s needs %d MiB, and server %s has %d MiB available", short.what, mebi(short.need), r.c.config.Host, short.have>>20), nil
}

// mebi is so many bytes in MiB, and 1 for a little.
func mebi(n int64) int64 { return (n + 1<<20 - 1) >> 20 }
