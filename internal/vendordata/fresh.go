package vendordata

import (
	"context"
	"errors"
	"sync"
	"time"

	"ingot/internal/fault"
)

// Fresh gives what the targets say of an instance now: of those sealed with it (start) and those in memory the newer, as
// long as they may be used; other targets are asked. What several callers want at once is asked once, and to the end
// even if the first of them goes away. Errors are those of Fetch; failures are not remembered.
func (s *Service) Fresh(ctx context.Context, instance string, r Request, start Answers) (Answers, error) {
	if s == nil || len(s.targets) == 0 {
		return Answers{id: start.id}, nil
	}
	v := view{instance: instance, start: start, request: r, hash: r.digest()}
	now, due, any := s.look(v)
	if any {
		var err error
		if now, err = s.flights.join(ctx, v.key(), instance, func(ctx context.Context, land func(func())) ([]answer, error) {
			return s.refresh(ctx, v, land)
		}); err != nil {
			return Answers{}, err
		}
	}
	a := Answers{id: start.id, list: now}
	for i := range now {
		if !due[i] {
			s.watch(now[i].target, Held, 0)
		}
	}
	return a, s.verdict(a)
}

// Forget drops what is in memory of an instance: after a rebuild, when it is undeployed, when its address is another's.
func (s *Service) Forget(instance string) {
	if s != nil {
		s.flights.disown(instance)
		s.held.forget(instance)
	}
}

// Sweep drops from memory what was not asked for in a long time, and names the instances of which there is anything: those that
// are no more should be forgotten.
func (s *Service) Sweep() []string {
	if s == nil {
		return nil
	}
	return s.held.sweep(time.Now())
}

// view is one instance as a caller of Fresh sees it.
type view struct {
	instance string
	start    Answers
	request  Request
	hash     string
}

func (v view) key() string { return v.instance + "\n" + v.start.id + "\n" + v.hash }

// look gives the newest answer of each target, which of them must be asked for anew, and whether any must.
func (s *Service) look(v view) (now []answer, due []bool, any bool) {
	now, due = make([]answer, len(s.targets)), make([]bool, len(s.targets))
	memory := s.held.get(v.instance, v.start.id, v.hash)
	clock := time.Now()
	for i, t := range s.targets {
		a, found := memory[t.name]
		if !found {
			a = v.start.of(t.name)
		}
		now[i], due[i] = a, true
		if a.target != "" && a.good() && a.hash == v.hash {
			if term := s.ages().of(a.head, a.status, a.asked); term.again && clock.Before(term.until) {
				now[i].from, now[i].trouble, due[i] = Held, nil, false
			}
		}
		any = any || due[i]
	}
	return now, due, any
}

// of is a target's answer; without one its name is "".
func (a Answers) of(name string) answer {
	for _, one := range a.list {
		if one.target == name {
			return one
		}
	}
	return answer{}
}

// refresh asks the targets that are due and keeps what may be kept, unless the instance was forgotten meanwhile.
func (s *Service) refresh(ctx context.Context, v view, land func(func())) ([]answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.config.VendordataDynamicTotalTimeout, errTotal)
	defer cancel()
	now, due, any := s.look(v) // another flight may just have ended
	if !any {
		return now, nil
	}
	now, err := s.askAll(ctx, v.request, v.hash, now, due)
	if err != nil {
		return nil, err
	}
	keep, until := map[string]answer{}, time.Time{}
	for i, a := range now {
		old := v.start.of(a.target)
		if !a.good() || !due[i] && a.asked.Equal(old.asked) {
			continue
		}
		if t := s.ages().of(a.head, a.status, a.asked); t.again {
			keep[a.target] = a
			for _, end := range []time.Time{t.until, t.stale} {
				if end.After(until) {
					until = end
				}
			}
		}
	}
	land(func() { s.held.put(v.instance, v.start.id, v.hash, keep, until) })
	return now, nil
}

// flights are refreshes on their way: one for each key, however many wait for it.
type flights struct {
	mu     sync.Mutex           // guards what follows
	flying map[string]*flight   // by key: those that may be joined
	all    map[*flight]struct{} // and those whose instance was forgotten
	closed bool
	work   sync.WaitGroup
}

type flight struct {
	instance string
	cancel   context.CancelFunc
	forgot   bool          // guarded by flights.mu
	done     chan struct{} // closed when the rest is set
	answers  []answer
	err      error
}

// errClosed is what those get who still wait when the server ends.
var errClosed = fault.New(fault.Unavailable, "This server is ending: ask another, or again later.")

// join waits for the flight of a key, and begins it where there is none. ctx ends the waiting only.
func (f *flights) join(ctx context.Context, key, instance string, run func(context.Context, func(func())) ([]answer, error)) ([]answer, error) {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil, errClosed
	}
	one := f.flying[key]
	if one == nil {
		apart, cancel := context.WithCancel(context.WithoutCancel(ctx))
		one = &flight{instance: instance, cancel: cancel, done: make(chan struct{})}
		if f.flying == nil {
			f.flying, f.all = map[string]*flight{}, map[*flight]struct{}{}
		}
		f.flying[key], f.all[one] = one, struct{}{}
		f.work.Go(func() { f.fly(apart, key, one, run) })
	}
	f.mu.Unlock()
	select {
	case <-one.done:
		if errors.Is(one.err, context.Canceled) { // a flight has no other reason to be: nobody's target failed
			return nil, errClosed
		}
		return one.answers, one.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fly runs a flight. It keeps what it found only while nobody forgets the instance.
func (f *flights) fly(ctx context.Context, key string, one *flight, run func(context.Context, func(func())) ([]answer, error)) {
	defer one.cancel()
	one.answers, one.err = run(ctx, func(keep func()) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if !one.forgot {
			keep()
		}
	})
	f.mu.Lock()
	if f.flying[key] == one {
		delete(f.flying, key)
	}
	delete(f.all, one)
	f.mu.Unlock()
	close(one.done)
}

// disown lets the flights of an instance end without keeping anything, and nobody join them any more.
func (f *flights) disown(instance string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, one := range f.flying {
		if one.instance == instance {
			one.forgot = true
			delete(f.flying, key)
		}
	}
}

// close ends all flights and waits for them.
func (f *flights) close() {
	f.mu.Lock()
	f.closed = true
	for one := range f.all {
		one.cancel()
	}
	f.mu.Unlock()
	f.work.Wait()
}
