package metadata

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits of what strangers may do. The rate is configured.
const (
	maxRequests = 512  // in work at a time, in all
	maxOfOne    = 16   // of them, of one asker
	maxWaiting  = 256  // of them, for what vendordata targets say: one that hangs must leave room for all else
	maxPath     = 1024 // bytes of a path: the longest that is served has some sixty
	maxPassword = 1020 // bytes. Source: reference, metadata §2.2: four values of 255
	// readTime is how long a request may take to come, writeTime an answer to go.
	readTime, writeTime = 10 * time.Second, 30 * time.Second
	// answerTime is how long an answer may be in the making; targets of vendordata have limits of their own below it.
	answerTime = time.Minute
)

// askersKept is how many askers a limiter knows. Whoever is forgotten begins with a full allowance again.
const askersKept = 20_000

// limiter gives each asker its allowance of requests.
type limiter struct {
	every rate.Limit // requests a second; 0: any number
	burst int

	mu  sync.Mutex
	all int               // requests in work; guarded by mu
	now map[string]*guest // askers of late; guarded by mu
	old map[string]*guest // and those before, until now is full again; guarded by mu
}

type guest struct {
	rate *rate.Limiter // nil: any number
	here int           // requests in work; guarded by limiter.mu
}

func newLimiter(perSecond, burst int) *limiter {
	return &limiter{every: rate.Limit(perSecond), burst: max(burst, 1), now: map[string]*guest{}}
}

// enter lets an asker's request begin; leave ends it. If it may not, wait says when it may be asked again, and full that it is
// not the asker's own fault.
func (l *limiter) enter(key string, at time.Time) (leave func(), wait time.Duration, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= maxRequests {
		return nil, time.Second, true
	}
	g := l.of(key)
	if g.here >= maxOfOne {
		return nil, time.Second, false
	}
	if g.rate != nil {
		r := g.rate.ReserveN(at, 1)
		if wait := r.DelayFrom(at); wait > 0 {
			r.CancelAt(at) // what is refused does not count
			return nil, wait, false
		}
	}
	l.all++
	g.here++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all--
		g.here--
	}, 0, false
}

// of is for who holds mu.
func (l *limiter) of(key string) *guest {
	g := l.now[key]
	if g != nil {
		return g
	}
	if g = l.old[key]; g == nil {
		g = &guest{}
		if l.every > 0 {
			g.rate = rate.NewLimiter(l.every, l.burst)
		}
	}
	if len(l.now) >= askersKept/2 {
		l.old, l.now = l.now, map[string]*guest{}
	}
	l.now[key] = g
	return g
}
