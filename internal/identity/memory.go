package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"
	"time"
)

// digest is a secret value as this process remembers it: hashed with a key that nobody else has and that ends with the
// process, so that a memory dump or a map's order tells nothing of the value.
type digest [sha256.Size]byte

// digester makes digests.
type digester [32]byte

func newDigester() (d digester) {
	_, _ = rand.Read(d[:]) // never fails
	return d
}

// of hashes the parts so that no other division of the same text gives the same.
func (d *digester) of(parts ...string) (out digest) {
	h := hmac.New(sha256.New, d[:])
	for _, p := range parts {
		one := sha256.Sum256([]byte(p))
		h.Write(one[:])
	}
	h.Sum(out[:0])
	return out
}

// memory keeps values by digest for a time, and no more than limit of them.
type memory[V any] struct {
	limit int
	clock func() time.Time

	mu   sync.Mutex
	kept map[digest]kept[V] // guarded by mu
}

type kept[V any] struct {
	value V
	until time.Time
}

func newMemory[V any](limit int) *memory[V] {
	return &memory[V]{limit: limit, clock: time.Now, kept: map[digest]kept[V]{}}
}

// get gives what is remembered and has not ended.
func (m *memory[V]) get(k digest) (V, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.kept[k]
	if ok && !m.clock().Before(e.until) {
		delete(m.kept, k)
		ok = false
	}
	if !ok {
		var none V
		return none, false
	}
	return e.value, true
}

// put remembers a value until then. A full memory forgets what has ended, and if that is not enough a part of the rest: what is
// forgotten is only asked for again.
func (m *memory[V]) put(k digest, v V, until time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, there := m.kept[k]; !there && len(m.kept) >= m.limit {
		m.makeRoom()
	}
	m.kept[k] = kept[V]{v, until}
}

func (m *memory[V]) makeRoom() {
	now := m.clock()
	for k, e := range m.kept {
		if !now.Before(e.until) {
			delete(m.kept, k)
		}
	}
	for k := range m.kept { // in no order
		if len(m.kept) < m.limit-m.limit/8 {
			return
		}
		delete(m.kept, k)
	}
}

func (m *memory[V]) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.kept)
}
