package vendordata

import (
	"container/list"
	"sync"
	"time"
)

// held is answers in memory that are newer than those sealed with their instances. Whole instances go when it is full, the one
// that was asked for longest ago first.
type held struct {
	limit int64 // bytes

	mu    sync.Mutex // guards what follows
	of    map[string]*list.Element
	order *list.List // of *holding, the last used first
	bytes int64
}

// holding is one instance's.
type holding struct {
	instance string
	start    string // id of the sealed answers that these are newer than
	hash     string // of the request that they answer
	answers  map[string]answer
	bytes    int64
	until    time.Time // after that all of it must be asked for again
}

// idle is how long an answer stays in memory that must be asked for again: it may be right still, and its ETag says so.
const idle = time.Hour

// overhead is about what an answer takes in memory beside its body.
const overhead = 1024

func newHeld(limit int64) *held {
	return &held{limit: limit, of: map[string]*list.Element{}, order: list.New()}
}

// get gives what there is for an instance by target's name. What belongs to another start or another request is of a
// former deploy, or not for this one: it is dropped.
func (h *held) get(instance, start, hash string) map[string]answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.of[instance]
	if e == nil {
		return nil
	}
	one := e.Value.(*holding)
	if one.start != start || one.hash != hash {
		h.drop(e)
		return nil
	}
	h.order.MoveToFront(e)
	return one.answers // never changed, only replaced
}

// put replaces what there is for an instance. until is when all of it must be asked for again.
func (h *held) put(instance, start, hash string, answers map[string]answer, until time.Time) {
	one := &holding{instance: instance, start: start, hash: hash, answers: answers, bytes: int64(len(instance)), until: until}
	for _, a := range answers {
		one.bytes += overhead + int64(len(a.body.Expose()))
		for _, values := range a.head {
			for _, v := range values {
				one.bytes += int64(len(v))
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.of[instance]; e != nil {
		h.drop(e)
	}
	if len(answers) == 0 || one.bytes > h.limit {
		return
	}
	h.of[instance] = h.order.PushFront(one)
	for h.bytes += one.bytes; h.bytes > h.limit; {
		h.drop(h.order.Back())
	}
}

// forget drops an instance's.
func (h *held) forget(instance string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.of[instance]; e != nil {
		h.drop(e)
	}
}

// sweep drops what had to be asked for again long ago, and nobody did. It gives whose the rest is.
func (h *held) sweep(now time.Time) []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for instance, e := range h.of {
		if now.After(e.Value.(*holding).until.Add(idle)) {
			h.drop(e)
			continue
		}
		out = append(out, instance)
	}
	return out
}

// drop takes one out; mu is held.
func (h *held) drop(e *list.Element) {
	one := e.Value.(*holding)
	h.order.Remove(e)
	delete(h.of, one.instance)
	h.bytes -= one.bytes
}
