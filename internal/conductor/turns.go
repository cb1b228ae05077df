package conductor

import (
	"sync"
	"time"
)

// turns bound how many operations are worked on at a time. An operation begins in a quick lane. One that is not done
// with its turn within patience, as a rule because a BMC does not answer, goes on in a slow lane and lets the next one
// begin: however many BMCs are dead, those of others are not kept waiting for them. When the slow lanes are full too,
// it stays where it is.
type turns struct {
	quick, slow chan struct{}
	patience    time.Duration
	freed       chan struct{} // told when a quick lane became free without a change in the store
}

func newTurns(quick, slow int, patience time.Duration) *turns {
	return &turns{quick: make(chan struct{}, quick), slow: make(chan struct{}, slow), patience: patience, freed: make(chan struct{}, 1)}
}

// enter takes a quick lane, if one is free. leave must be called once.
func (l *turns) enter() (leave func(), ok bool) {
	select {
	case l.quick <- struct{}{}:
	default:
		return nil, false
	}
	var mu sync.Mutex
	held := l.quick // guarded by mu; nil when left
	late := time.AfterFunc(l.patience, func() {
		mu.Lock()
		defer mu.Unlock()
		if held == nil {
			return
		}
		select {
		case l.slow <- struct{}{}:
			<-l.quick
			held = l.slow
		default:
			return
		}
		select {
		case l.freed <- struct{}{}:
		default: // told already
		}
	})
	return func() {
		late.Stop()
		mu.Lock()
		defer mu.Unlock()
		<-held
		held = nil
	}, true
}
