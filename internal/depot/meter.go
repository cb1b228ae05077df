package depot

import (
	"errors"
	"net/http"
	"sync"
	"time"
)

// writeLimit is how long a client may take to accept the next piece of a file (copy buffer: 32 KiB). A BMC
// relays to a slow bus, but one that takes nothing for a minute is gone.
const writeLimit = time.Minute

var errSpent = errors.New("the address was fetched as often as it may")

// usage counts what one address was sent.
type usage struct {
	bytes   int64
	expires time.Time
}

// meter counts bytes per address, in memory. It knows only addresses with a good signature, so strangers
// cannot fill it, and forgets those that expired.
type meter struct {
	mu    sync.Mutex
	used  map[string]*usage // by signature
	swept time.Time
}

// take books n bytes for an address if they are within limit (bytes; 0: none), before they are sent.
func (m *meter) take(signature string, n, limit int64, expires, now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now.Sub(m.swept) > time.Minute {
		m.swept = now
		for k, u := range m.used {
			if !now.Before(u.expires) {
				delete(m.used, k)
			}
		}
	}
	u := m.used[signature]
	if u == nil {
		u = &usage{expires: expires}
		m.used[signature] = u
	}
	if limit > 0 && u.bytes+n > limit {
		return errSpent
	}
	u.bytes += n
	return nil
}

// room tells whether anything may still be sent, so that a refusal can be said and not only felt.
func (m *meter) room(signature string, limit int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.used[signature]; u != nil && limit > 0 && u.bytes >= limit {
		return errSpent
	}
	return nil
}

// metered is a response whose body is counted against an address while it is written.
type metered struct {
	http.ResponseWriter
	book  func(n int64) error
	sent  int64
	spent bool
}

func (w *metered) Write(p []byte) (int, error) {
	if err := w.book(int64(len(p))); err != nil {
		w.spent = true
		return 0, err
	}
	patience(w.ResponseWriter)
	n, err := w.ResponseWriter.Write(p)
	w.sent += int64(n)
	return n, err
}

// pin is the time a boot was first told.
type pin struct {
	told    string
	expires time.Time
}

// pins keeps BootConfig.Time the same over the requests of one boot: the time is when it was served, and
// a BMC that reads boot.json in two ranges must not get a piece of each.
type pins struct {
	mu    sync.Mutex
	at    map[string]pin // by signature
	swept time.Time
}

// hold gives the time that was first told under this signature, or remembers told.
func (p *pins) hold(signature, told string, expires, now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.swept) > time.Minute {
		p.swept = now
		for k, v := range p.at {
			if !now.Before(v.expires) {
				delete(p.at, k)
			}
		}
	}
	if v, ok := p.at[signature]; ok {
		return v.told
	}
	p.at[signature] = pin{told: told, expires: expires}
	return told
}
