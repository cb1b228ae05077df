package identity

import (
	"context"
	"net/netip"
	"sync"

	"ingot/internal/fault"
)

// gate bounds slow checks. Each address has at most one under way and a short queue, so that whoever guesses from one place
// waits for himself: the slots are more than one, and they are given to addresses in the order they came.
type gate struct {
	slots   chan struct{}
	queue   int // checks of one address that may wait
	addrs   int // addresses that may wait
	mu      sync.Mutex
	waiting map[netip.Addr]*lane // guarded by mu
}

// lane is the checks of one address.
type lane struct {
	turn chan struct{} // holds one
	here int           // under way or waiting; guarded by gate.mu
}

func newGate(slots, queue, addrs int) *gate {
	return &gate{slots: make(chan struct{}, slots), queue: queue, addrs: addrs, waiting: map[netip.Addr]*lane{}}
}

// enter waits for a slot. Who has entered leaves. Fails with fault.Unavailable if too many wait already.
func (g *gate) enter(ctx context.Context, from netip.Addr) (leave func(), err error) {
	l, ok := g.join(from)
	if !ok {
		return nil, fault.New(fault.Unavailable, "Too many log-ins wait to be checked; try again in a few seconds.")
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		g.part(from, l)
		return nil, ctx.Err()
	}
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		<-l.turn
		g.part(from, l)
		return nil, ctx.Err()
	}
	return func() {
		<-g.slots
		<-l.turn
		g.part(from, l)
	}, nil
}

func (g *gate) join(from netip.Addr) (*lane, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.waiting[from]
	if l == nil {
		if len(g.waiting) >= g.addrs {
			return nil, false
		}
		l = &lane{turn: make(chan struct{}, 1)}
		g.waiting[from] = l
	}
	if l.here > g.queue {
		return nil, false
	}
	l.here++
	return l, true
}

func (g *gate) part(from netip.Addr, l *lane) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l.here--; l.here == 0 {
		delete(g.waiting, from)
	}
}
