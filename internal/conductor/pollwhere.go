package conductor

import (
	"context"
	"slices"
	"sync"
	"time"

	"ingot/internal/metal"
)

// What is known of where machines are that are waited for.
const (
	lookupLimit = 10 * time.Second // how long the network service and the DHCP servers may take to tell
	lookupFresh = 5 * time.Second  // how old what they told may be before they are asked again
)

// whereabouts remembers where machines may be reached. Whoever asks is answered at once: the network service and the DHCP
// servers, which may be slow, are asked aside, and what they tell is there the next time.
type whereabouts struct {
	slots chan struct{} // how many may be asked at a time

	mu    sync.Mutex
	found map[int64]*foundAt // by node, guarded by mu
}

type foundAt struct {
	boot   string
	list   []whereabout
	at     time.Time
	asking bool
	silent []string // what was wrong with the sources when they were asked last
}

// of is where the machine may be, the likeliest first.
func (w *whereabouts) of(ctx context.Context, p *poller, s *subject) []whereabout {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.found[s.node.ID]
	if f == nil || f.boot != s.agent.Boot {
		f = &foundAt{boot: s.agent.Boot}
		w.found[s.node.ID] = f
	}
	if !f.asking && time.Since(f.at) > lookupFresh {
		f.asking = true
		node, ports, role, hw := s.node, s.ports, s.role, s.hw
		life := context.WithoutCancel(ctx) // its asker does not wait
		p.work.Go(func() { w.lookUp(life, p, f, node, ports, role, hw) })
	}
	return uniquely(fixedAddresses(s.node), f.list)
}

func (w *whereabouts) lookUp(ctx context.Context, p *poller, f *foundAt, n *metal.Node, ports []*metal.Port, role metal.NetworkRole, hw Part) {
	ctx, cancel := context.WithTimeout(ctx, lookupLimit)
	defer cancel()
	w.mu.Lock()
	before := f.silent
	w.mu.Unlock()
	list, silent := []whereabout(nil), before
	select {
	case w.slots <- struct{}{}:
		silent = nil
		_ = p.guarded(func() error { // a panic is in the log; others may know
			list = p.c.askedAddresses(ctx, hw, n, ports, role, func(err error) {
				if text := err.Error(); !slices.Contains(silent, text) {
					silent = append(silent, text)
				}
			})
			return nil
		})
		<-w.slots
	case <-ctx.Done(): // the others are slow: later
	}
	for _, text := range silent { // they are asked every few seconds: what is as before is not told again
		if !slices.Contains(before, text) {
			p.c.log.Warn("a source of the machine's addresses does not answer", "node", n.UUID, "error", text)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	f.asking, f.at, f.silent = false, time.Now(), silent
	if len(list) > 0 {
		f.list = list
	}
}

// forget drops what is known of machines that were not waited for lately.
func (w *whereabouts) forget(before time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, f := range w.found {
		if !f.asking && f.at.Before(before) {
			delete(w.found, id)
		}
	}
}
