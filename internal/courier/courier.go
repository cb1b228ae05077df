package courier

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"sync"
	"time"

	"ingot/internal/fault"
	"ingot/internal/secret"
)

// Limits of one request's values.
const (
	MaxNames = 64
	MaxValue = 64 << 10 // bytes
	maxName  = 255      // bytes
)

// Config bounds what a courier keeps.
type Config struct {
	// Life is how long values are kept at most. Default 24h.
	Life time.Duration
	// Operations is how many operations may have values here at a time. Default 4096.
	Operations int
	// Bytes is how much all values together may take. Default 64 MiB.
	Bytes int
}

// Defaults is the only place with default values.
func Defaults() Config {
	return Config{Life: 24 * time.Hour, Operations: 4096, Bytes: 64 << 20}
}

// Courier keeps values. It is safe for many goroutines.
type Courier struct {
	config Config

	mu    sync.Mutex
	kept  map[key]*bundle
	bytes int
}

// key is the hash of a handle: looking one up tells nothing of another by how long it takes.
type key [sha256.Size]byte

// bundle is the values of one operation, one behind the other in locked pages.
type bundle struct {
	operation string
	values    *secret.Locked
	at        map[string]span
	size      int
	expiry    *time.Timer
}

// span is where a value lies in its bundle.
type span struct{ from, to int }

// New makes an empty courier.
func New(c Config) *Courier { return &Courier{config: c, kept: map[key]*bundle{}} }

// Check tells whether values may be kept: fault.Invalid for names, fault.TooLarge for sizes. It names what is
// wrong and shows no value.
func Check(values map[string]secret.Secret) error {
	if len(values) > MaxNames {
		return fault.New(fault.TooLarge, "%d secret values were given; at most %d are possible.", len(values), MaxNames)
	}
	for name, v := range values {
		if name == "" || len(name) > maxName {
			return fault.New(fault.Invalid, "The name of a secret value must have 1 to %d characters.", maxName)
		}
		if n := len(v.Expose()); n > MaxValue {
			return fault.New(fault.TooLarge, "The secret value %q has %d bytes; at most %d are possible.", name, n, MaxValue)
		}
	}
	return nil
}

// Keep keeps a copy of the values for one operation and gives the handle that fetches them. Errors: those of
// Check; fault.Unavailable if there is no room.
func (c *Courier) Keep(operation string, values map[string]secret.Secret) (handle string, err error) {
	if err := Check(values); err != nil {
		return "", err
	}
	size, at := 0, make(map[string]span, len(values))
	for name, v := range values {
		at[name] = span{size, size + len(v.Expose())}
		size = at[name].to
	}
	raw := make([]byte, 32)
	rand.Read(raw)
	handle = base64.RawURLEncoding.EncodeToString(raw)
	k := sum(handle)

	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= c.config.Operations || c.bytes+size > c.config.Bytes {
		return "", fault.New(fault.Unavailable, "This server keeps as many secret values as it may; try again when other operations have ended.")
	}
	own := make([]byte, size)
	for name, v := range values {
		copy(own[at[name].from:], v.Expose())
	}
	c.bytes += size
	c.kept[k] = &bundle{operation: operation, values: secret.Lock(own), at: at, size: size,
		expiry: time.AfterFunc(c.config.Life, func() { c.drop(k) })}
	return handle, nil
}

// Fetch gives the named values of an operation. Unless handle, operation and every name fit it is
// fault.NotFound, whatever is wrong.
func (c *Courier) Fetch(handle, operation string, names []string) (map[string]secret.Secret, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.kept[sum(handle)]
	if b == nil || b.operation != operation {
		return nil, errGone
	}
	out := make(map[string]secret.Secret, len(names))
	for _, name := range names {
		v, ok := b.at[name]
		if !ok {
			return nil, errGone
		}
		b.values.Use(func(all []byte) { out[name] = secret.New(string(all[v.from:v.to])) })
	}
	return out, nil
}

var errGone = fault.New(fault.NotFound, "There are no such secret values here, or not any more.")

// Release wipes what is kept for an operation; nothing kept is no error.
func (c *Courier) Release(operation string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, b := range c.kept {
		if b.operation == operation {
			c.end(k, b)
		}
	}
}

// Operations lists the operations that have values here.
func (c *Courier) Operations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]string, 0, len(c.kept))
	for _, b := range c.kept {
		out = append(out, b.operation)
	}
	slices.Sort(out)
	return out
}

// Close wipes everything.
func (c *Courier) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, b := range c.kept {
		c.end(k, b)
	}
}

func (c *Courier) drop(k key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.kept[k]; b != nil {
		c.end(k, b)
	}
}

// end wipes and forgets a bundle; the lock is held.
func (c *Courier) end(k key, b *bundle) {
	b.expiry.Stop()
	b.values.Wipe()
	c.bytes -= b.size
	delete(c.kept, k)
}

func sum(handle string) key { return sha256.Sum256([]byte(handle)) }
