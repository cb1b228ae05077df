package api

import (
	"math"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"ingot/internal/fault"
)

// clientsKept is how many clients a limiter knows. Whoever is forgotten begins with a full allowance again.
const clientsKept = 10_000

// limiter gives each address its allowance of requests.
type limiter struct {
	every rate.Limit // requests a second
	burst int

	mu  sync.Mutex
	now map[netip.Addr]*rate.Limiter // clients of late; guarded by mu
	old map[netip.Addr]*rate.Limiter // and those before, until now is full again; guarded by mu
}

func newLimiter(perSecond, burst int) *limiter {
	if perSecond <= 0 {
		return nil
	}
	return &limiter{every: rate.Limit(perSecond), burst: max(burst, 1), now: map[netip.Addr]*rate.Limiter{}}
}

// take is 0 if a client at this address may go on, or how long it should wait first. A nil limiter lets everybody go on.
func (l *limiter) take(remote string, at time.Time) time.Duration {
	if l == nil {
		return 0
	}
	one := l.of(client(remote))
	r := one.ReserveN(at, 1)
	wait := r.DelayFrom(at)
	if wait > 0 {
		r.CancelAt(at) // what is refused does not count
	}
	return wait
}

func (l *limiter) of(a netip.Addr) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.now[a]
	if one == nil {
		if one = l.old[a]; one == nil {
			one = rate.NewLimiter(l.every, l.burst)
		}
		if len(l.now) >= clientsKept/2 {
			l.old, l.now = l.now, map[netip.Addr]*rate.Limiter{}
		}
		l.now[a] = one
	}
	return one
}

// client is whom an address counts for: itself, or all of an IPv6 /64, which is what one host gets.
func client(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	a := at.Addr().Unmap().WithZone("")
	if p, err := a.Prefix(64); a.Is6() && err == nil {
		return p.Addr()
	}
	return a
}

// tooMany is a refusal with the time after which the client may ask again.
type tooMany struct {
	error
	after time.Duration
}

func (e *tooMany) Unwrap() error { return e.error }

func (e *tooMany) seconds() string {
	return strconv.Itoa(int(math.Ceil(e.after.Seconds())))
}

// ironicclient begins the User-Agent of python-ironicclient, which breaks on any refusal with Retry-After but 413: in place of our
// sentence its user reads of an unexpected argument. It is told nothing of when. Source: python-ironicclient 5.0,
// ironicclient/common/apiclient/exceptions.py, from_response.
const ironicclient = "python-ironicclient"

// allow counts a request.
func (c *call) allow() error {
	if wait := c.limiter.take(c.r.RemoteAddr, time.Now()); wait > 0 {
		return &tooMany{fault.New(fault.TooMany, "There are too many requests from this address; ask again in a moment."), wait}
	}
	return nil
}
