package vendordata

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The faults that can be planted.
const (
	Drip         = "slow-drip"         // the answer comes a byte each DelayMS (default 1000), and does not end
	Oversize     = "oversize"          // the answer is a JSON string of Size bytes (default 2 MiB)
	Redirect     = "redirect"          // a redirect (307) to Location (default https://192.0.2.1/elsewhere)
	RedirectHere = "redirect-here"     // a redirect (307) to another path of this server
	BadJSON      = "bad-json"          // 200 with half of an object
	HTML         = "html"              // 200 with a page that asks to log in
	Deep         = "deep-json"         // 200 with lists in lists, 10,000 deep
	Status500    = "500"               //
	Status401    = "401"               // as if the token had expired; with Times 1 only once
	Status204    = "204"               // success without a body
	Empty        = "empty"             // 200 without a body
	Unasked304   = "304-unasked"       // "not modified", though nobody asked for that
	WrongTLS     = "wrong-tls"         // the certificate is another one; with TLS only
	NoAnswer     = "no-answer"         // nothing comes until the client goes
	Held         = "held"              // nothing comes until other faults are planted; then all is well
	Cut          = "cut"               // the connection ends within the answer
	Gone         = "gone"              // the connection ends before the answer
	Garbage      = "answer-of-no-http" // bytes that are no HTTP
)

var faultNames = []string{Drip, Oversize, Redirect, RedirectHere, BadJSON, HTML, Deep, Status500, Status401, Status204, Empty, Unasked304, WrongTLS, NoAnswer, Held, Cut,
	Gone, Garbage}

// Fault is one planted failure.
type Fault struct {
	Name string `json:"name"`
	// Times is how often it strikes before it heals. Zero means until it is cleared.
	Times int `json:"times,omitempty"`
	// Path is the path that it strikes; "" for all.
	Path string `json:"path,omitempty"`
	// DelayMS is the pause between two bytes of Drip in milliseconds.
	DelayMS int `json:"delay_ms,omitempty"`
	// Size is bytes of Oversize.
	Size int `json:"size,omitempty"`
	// Location is where Redirect leads.
	Location string `json:"location,omitempty"`
}

// FaultNames lists the faults that can be planted.
func FaultNames() []string { return slices.Clone(faultNames) }

// ParseFault reads NAME or NAME:TIMES.
func ParseFault(text string) (Fault, error) {
	name, times, counted := strings.Cut(text, ":")
	f := Fault{Name: name}
	if counted {
		n, err := strconv.Atoi(times)
		if err != nil || n < 1 {
			return f, fmt.Errorf("%q is not NAME:TIMES", text)
		}
		f.Times = n
	}
	return f, f.check()
}

func (f Fault) check() error {
	switch {
	case !slices.Contains(faultNames, f.Name):
		return fmt.Errorf("no fault is named %q; there are %s", f.Name, strings.Join(faultNames, ", "))
	case f.Times < 0 || f.DelayMS < 0 || f.Size < 0:
		return fmt.Errorf("fault %q: times, delay_ms and size cannot be negative", f.Name)
	}
	return nil
}

// faults are those that are planted.
type faults struct {
	mu      sync.Mutex // guards what follows
	planted []Fault
	changed chan struct{} // closed when others are planted; made when somebody waits
}

func (f *faults) set(list []Fault) error {
	for _, x := range list {
		if err := x.check(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.planted = slices.Clone(list)
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
	return nil
}

func (f *faults) list() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]Fault{}, f.planted...)
}

// change is closed when others are planted.
func (f *faults) change() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// strike gives the first fault that is planted for a path, and spends one of its times. tls: the one of the handshake.
func (f *faults) strike(path string, tls bool) (Fault, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.planted, func(x Fault) bool {
		return (x.Name == WrongTLS) == tls && (tls || x.Path == "" || x.Path == path)
	})
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

// apply is the answer of a fault; false where the question is to be answered after all.
func (s *Server) apply(f Fault, w http.ResponseWriter, r *http.Request) bool {
	switch f.Name {
	case Held:
		select {
		case <-s.faults.change():
			return false
		case <-s.ending(r.Context()):
			panic(http.ErrAbortHandler)
		}
	case NoAnswer:
		<-s.ending(r.Context())
		panic(http.ErrAbortHandler) // net/http closes the connection and says nothing
	case Gone:
		panic(http.ErrAbortHandler)
	case Drip:
		s.drip(f, w, r)
	case Cut:
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `{"half": `)
		_ = http.NewResponseController(w).Flush() // the client reads half of it
		panic(http.ErrAbortHandler)
	case Garbage:
		garbage(w)
	case Oversize:
		oversize(f, w)
	case Redirect, RedirectHere:
		to := "https://192.0.2.1/elsewhere"
		if f.Location != "" {
			to = f.Location
		}
		if f.Name == RedirectHere {
			to = "/moved" + r.URL.Path
		}
		w.Header().Set("Location", to)
		w.WriteHeader(http.StatusTemporaryRedirect)
	default:
		plain(f.Name, w)
	}
	return true
}

// plain are the faults that are a status and a text.
func plain(name string, w http.ResponseWriter) {
	status, text := http.StatusOK, ""
	switch name {
	case BadJSON:
		text = `{"half": `
	case HTML:
		text = "<html><form>Log in</form></html>"
	case Deep:
		text = strings.Repeat("[", 10000) + strings.Repeat("]", 10000)
	case Status500:
		status, text = http.StatusInternalServerError, `{"error": "planted"}`
	case Status401:
		status, text = http.StatusUnauthorized, `{"error": "planted"}`
	case Status204:
		status = http.StatusNoContent
	case Unasked304:
		status = http.StatusNotModified
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

func (s *Server) drip(f Fault, w http.ResponseWriter, r *http.Request) {
	pause := time.Second
	if f.DelayMS > 0 {
		pause = time.Duration(f.DelayMS) * time.Millisecond
	}
	every := time.NewTicker(pause)
	defer every.Stop()
	end, c := s.ending(r.Context()), http.NewResponseController(w)
	_, _ = io.WriteString(w, `"`)
	for {
		_, _ = io.WriteString(w, ".")
		if c.Flush() != nil {
			return
		}
		select {
		case <-every.C:
		case <-end:
			return
		}
	}
}

func oversize(f Fault, w http.ResponseWriter) {
	left := 2 << 20
	if f.Size > 0 {
		left = f.Size
	}
	_, _ = io.WriteString(w, `"`)
	for part := strings.Repeat("x", 1<<14); left > 0; left -= len(part) {
		if _, err := io.WriteString(w, part[:min(left, len(part))]); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, `"`)
}

func garbage(w http.ResponseWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = conn.Close() }()
	_, _ = buffered.WriteString("SSH-2.0-what\r\n")
	_ = buffered.Flush()
}

// ending is closed when the client goes or the server is closed.
func (s *Server) ending(ctx context.Context) <-chan struct{} {
	both, cancel := context.WithCancel(ctx)
	context.AfterFunc(s.life, cancel)
	return both.Done()
}
