package vswitch

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The faults that can be planted.
const (
	Refuse     = "refuse-change"             // changes are answered with 500, and nothing changes
	Busy       = "503-then-ok"               // Times requests get 503 (default 3), then all is well
	Slow       = "slow"                      // every answer is late by DelayMS (default 2000)
	Gone       = "gone"                      // connections are closed without an answer
	Lost       = "answer-lost"               // a change is made, and the connection closed without an answer
	Stale      = "stale"                     // changes are refused with 412, as if another had been faster
	NotApplied = "accepted-not-applied"      // a change is accepted, and nothing changes
	Half       = "half-applied"              // of several changes the first is made, and the answer is 500
	Pending    = "pending"                   // ports are shown as being changed
	Failed     = "failed"                    // ports are shown as having failed
	Single     = "no-changes-request"        // habit: there is no request for several ports
	WrongToken = "wrong-token"               // every request gets 401
	Garbage    = "answer-that-is-none"       // reads are answered with something else
	Redirects  = "redirects-to-another-host" // reads are answered with a redirect
)

var faultNames = []string{Refuse, Busy, Slow, Gone, Lost, Stale, NotApplied, Half, Pending, Failed, Single, WrongToken, Garbage, Redirects}

// Fault is one planted failure.
type Fault struct {
	Name string `json:"name"`
	// Times is how often it strikes before it heals. Zero means until it is cleared, for Busy three times.
	Times int `json:"times,omitempty"`
	// Port is the port_id that it strikes; "" for all.
	Port string `json:"port,omitempty"`
	// DelayMS is the delay of Slow in milliseconds.
	DelayMS int `json:"delay_ms,omitempty"`
}

// FaultNames lists the faults that can be planted.
func FaultNames() []string { return slices.Clone(faultNames) }

type faults struct {
	mu      sync.Mutex
	planted []Fault
}

func (f *faults) set(list []Fault) error {
	planted := make([]Fault, 0, len(list))
	for _, x := range list {
		switch {
		case !slices.Contains(faultNames, x.Name):
			return fmt.Errorf("no fault is named %q; there are %s", x.Name, strings.Join(faultNames, ", "))
		case x.Times < 0 || x.DelayMS < 0:
			return fmt.Errorf("fault %q: times and delay_ms cannot be negative", x.Name)
		case x.Name == Busy && x.Times == 0:
			x.Times = 3
		case x.Name == Slow && x.DelayMS == 0:
			x.DelayMS = 2000
		}
		planted = append(planted, x)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planted = planted
	return nil
}

func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Fault{}, f.planted...)
}

// strike tells whether a fault is planted for a port and spends one of its times.
func (f *faults) strike(name, port string) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.planted, func(x Fault) bool { return x.Name == name && (x.Port == "" || x.Port == port) })
	if i < 0 {
		return Fault{}, false
	}
	hit := f.planted[i]
	if hit.Times > 0 {
		if f.planted[i].Times--; f.planted[i].Times == 0 {
			f.planted = slices.Delete(f.planted, i, i+1)
		}
	}
	return hit, true
}

// disturb applies the faults of the connection; done when the request has had all the answer it gets.
func (s *Switch) disturb(w http.ResponseWriter, r *http.Request) (done bool) {
	if _, ok := s.faults.strike(Gone, ""); ok {
		panic(http.ErrAbortHandler) // net/http closes the connection and says nothing
	}
	if f, ok := s.faults.strike(Slow, ""); ok {
		t := time.NewTimer(time.Duration(f.DelayMS) * time.Millisecond)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		}
	}
	if _, ok := s.faults.strike(Busy, ""); ok {
		w.Header().Set("Retry-After", "0")
		refuse(w, http.StatusServiceUnavailable, "busy", "try again")
		return true
	}
	if _, ok := s.faults.strike(WrongToken, ""); ok {
		refuse(w, http.StatusUnauthorized, "unauthenticated", "the token is wrong")
		return true
	}
	if r.Method != http.MethodGet {
		return false
	}
	if _, ok := s.faults.strike(Garbage, ""); ok {
		_, _ = w.Write([]byte("<html>log in</html>"))
		return true
	}
	if _, ok := s.faults.strike(Redirects, ""); ok {
		http.Redirect(w, r, "https://192.0.2.1/v1/port", http.StatusTemporaryRedirect)
		return true
	}
	return false
}
