package netboot

import (
	"net/netip"
	"sync"
)

// maxOfAddress is how many transfers one address may have at a time. A machine fetches one file after the other; it may
// leave a few half open when it starts anew.
const maxOfAddress = 16

// transfers counts those that run, of each address.
type transfers struct {
	mu sync.Mutex
	of map[netip.Addr]int
}

// enter takes a place for a transfer to an address; false if all are taken, or all that one address may have: nobody keeps the
// others from their files.
func (s *Service) enter(from netip.Addr) (leave func(), ok bool) {
	t := &s.transfers
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[from] >= maxOfAddress {
		return nil, false
	}
	select {
	case s.gate <- struct{}{}:
	default:
		return nil, false
	}
	if t.of == nil {
		t.of = map[netip.Addr]int{}
	}
	t.of[from]++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.of[from]--; t.of[from] == 0 {
			delete(t.of, from)
		}
		<-s.gate
	}, true
}
