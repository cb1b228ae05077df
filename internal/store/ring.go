package store

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// The first byte of a sealed value says how it is laid out; it is also authenticated. Values of sealFirst name no key:
// the database's first key sealed them. Those of sealNamed do.
const (
	sealFirst = 1
	sealNamed = 2
)

// idSize is bytes of a key's id.
const idSize = 8

// single is one key: its bytes, in locked pages, and the cipher made of them, which Go keeps where it likes.
type single struct {
	id    string // hex; derived, and tells nothing of the key
	raw   *secret.Locked
	aead  cipher.AEAD // seals values
	wrap  cipher.AEAD // seals keys
	first bool        // as in sealing_keys
}

// newSingle makes a key of its bytes, which it wipes.
func newSingle(raw []byte) (*single, error) {
	if len(raw) != keySize {
		return nil, fmt.Errorf("a key must have %d bytes, this one has %d", keySize, len(raw))
	}
	k := &single{id: hex.EncodeToString(derive(raw, "ingot key id", idSize))}
	var err error
	if k.aead, err = gcm(raw); err != nil {
		return nil, err
	}
	wrap := derive(raw, "ingot key wrap", keySize)
	defer clear(wrap)
	if k.wrap, err = gcm(wrap); err != nil {
		return nil, err
	}
	k.raw = secret.Lock(raw)
	return k, nil
}

func gcm(raw []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// mark is how values that it seals begin.
func (k *single) mark() []byte {
	if k.first {
		return []byte{sealFirst}
	}
	id, err := hex.DecodeString(k.id)
	if err != nil {
		panic("store: the id of a key is not hexadecimal: " + k.id) // newSingle made it
	}
	return append([]byte{sealNamed}, id...)
}

// ring is the keys that a process knows: the one it was given, which wraps the others, and those that seal values. As
// long as a database was never rotated the key that was given seals them itself.
type ring struct {
	mu      sync.RWMutex
	master  *single
	keys    map[string]*single // by id; those that seal
	first   *single            // the database's
	current *single            // seals from now on
	missed  chan struct{}      // one place: a value named a key that is not here
}

func newRing(k *single) *ring {
	k.first = true
	return &ring{master: k, keys: map[string]*single{k.id: k}, first: k, current: k, missed: make(chan struct{}, 1)}
}

func (r *ring) given() *single {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.master
}

// base is what other keys are derived from: the same for the whole life of a database.
func (r *ring) base() *single {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.first
}

func (r *ring) sealing() *single {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.current
}

// known are the ids of the keys that seal, the one in use first.
func (r *ring) known() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := []string{r.current.id}
	for id := range r.keys {
		if id != r.current.id {
			out = append(out, id)
		}
	}
	slices.Sort(out[1:])
	return out
}

// sealed finds the key of a sealed value, and what comes behind its mark.
func (r *ring) sealed(value []byte) (*single, []byte, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	switch {
	case len(value) == 0:
		return nil, nil, ErrSealed
	case value[0] == sealFirst:
		return r.first, value[1:], nil
	case value[0] != sealNamed || len(value) < 1+idSize:
		return nil, nil, ErrSealed
	}
	id := hex.EncodeToString(value[1 : 1+idSize])
	if k := r.keys[id]; k != nil {
		return k, value[1+idSize:], nil
	}
	select {
	case r.missed <- struct{}{}:
	default:
	}
	return nil, nil, fault.Wrap(fault.Unavailable, ErrSealed, "A value is sealed with the key %s, which this server has not read yet; please retry.", id)
}

// learnt is what the database says of its keys.
type learnt struct {
	keys           []*single
	first, current string // ids
}

// learn takes over what the database says; it tells whether anything is new.
func (r *ring) learn(l learnt) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all, before := map[string]*single{}, r.current
	for _, k := range l.keys {
		k.first = k.id == l.first
		if had := r.keys[k.id]; had != nil && had.first == k.first {
			k.raw.Wipe() // every look unwraps them all: locked pages are few
			k = had
		}
		all[k.id] = k
	}
	if all[l.first] == nil || all[l.current] == nil {
		return false, fmt.Errorf("the database names the keys %s and %s and has not both", l.first, l.current)
	}
	fresh := len(all) != len(r.keys) || before.id != l.current
	r.keys, r.first, r.current = all, all[l.first], all[l.current]
	return fresh, nil
}

// give replaces the key that this process was given, such as by that of the file after a rotation.
func (r *ring) give(k *single) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.master = k
}

// wrapKey seals a key with another.
func (k *single) wrapKey(other *single) (out []byte) {
	other.raw.Use(func(raw []byte) {
		nonce := make([]byte, k.wrap.NonceSize())
		rand.Read(nonce)
		out = k.wrap.Seal(nonce, nonce, raw, wrapOf(other.id))
	})
	return out
}

// unwrapKey opens a key that wrapKey sealed; the id is checked.
func (k *single) unwrapKey(wrapped []byte, id string) (*single, error) {
	n := k.wrap.NonceSize()
	if len(wrapped) < n {
		return nil, ErrSealed
	}
	raw, err := k.wrap.Open(nil, wrapped[:n], wrapped[n:], wrapOf(id))
	if err != nil {
		return nil, fmt.Errorf("the key %s, wrapped by %s: %w", id, k.id, ErrSealed)
	}
	out, err := newSingle(raw)
	if err == nil && out.id != id {
		err = fmt.Errorf("the key that is called %s is %s: %w", id, out.id, ErrSealed)
	}
	return out, err
}

func wrapOf(id string) []byte { return []byte("ingot sealing key\x00" + id) }

// names puts ids for people.
func names(ids []string) string { return strings.Join(ids, ", ") }
