package osinstall

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"ingot/agent/journal"
	"ingot/internal/agentapi"
	"ingot/internal/osdef"
)

const (
	// maxLine is the longest line of a script's that is kept: of a longer one a part of a value could be left.
	maxLine = 64 << 10
	// keptHead and keptTail bound what is kept of what one script says, bytes.
	keptHead = 128 << 10
	keptTail = 384 << 10
	// maxKept is how many scripts' words are kept.
	maxKept = 8
	// shownLine is the most of a line that goes with a result, runes.
	shownLine = 500
)

// hearing is what a script says, as whole lines: the first and the last of them.
type hearing struct {
	mu         sync.Mutex
	head, tail []string
	headSize   int
	tailSize   int
	lost       int
}

// stream takes what comes out of one pipe.
func (h *hearing) stream() *stream { return &stream{to: h} }

// line takes one. Whoever calls holds the lock.
func (h *hearing) line(l string) {
	if len(h.tail) == 0 && h.lost == 0 && h.headSize+len(l) <= keptHead {
		h.head, h.headSize = append(h.head, l), h.headSize+len(l)+1
		return
	}
	h.tail, h.tailSize = append(h.tail, l), h.tailSize+len(l)+1
	for h.tailSize > keptTail {
		h.tailSize -= len(h.tail[0]) + 1
		h.tail[0], h.tail = "", h.tail[1:]
		h.lost++
	}
}

// text is all that is kept.
func (h *hearing) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, l := range h.head {
		b.WriteString(l + "\n")
	}
	if h.lost > 0 {
		fmt.Fprintf(&b, "(%d lines are left out)\n", h.lost)
	}
	for _, l := range h.tail {
		b.WriteString(l + "\n")
	}
	return b.String()
}

// stream cuts what is written to it into lines. A carriage return ends one, too: so do programs that paint how far they are.
type stream struct {
	to   *hearing
	rest []byte
	long bool // the line is too long, and what comes of it is thrown away
}

func (s *stream) Write(p []byte) (int, error) {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	for rest := p; len(rest) > 0; {
		i := bytes.IndexAny(rest, "\r\n")
		if i < 0 {
			s.take(rest)
			break
		}
		s.take(rest[:i])
		s.cut()
		rest = rest[i+1:]
	}
	return len(p), nil
}

func (s *stream) take(p []byte) {
	if s.long = s.long || len(s.rest)+len(p) > maxLine; s.long {
		s.rest = s.rest[:0]
		return
	}
	s.rest = append(s.rest, p...)
}

// end ends the line that is begun, if one is.
func (s *stream) end() {
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	s.cut()
}

func (s *stream) cut() {
	switch {
	case s.long:
		s.to.line(fmt.Sprintf("(a line of more than %d KiB is left out)", maxLine>>10))
	case len(s.rest) > 0:
		s.to.line(string(s.rest))
	}
	s.rest, s.long = s.rest[:0], false
}

// last gives the last lines of a text that say something, fit to be shown. Without what a terminal does not show, it may be another text.
func last(hide *scrubber, text string, most int) []string {
	var out []string
	for l := range strings.Lines(hide.text(plain(text))) {
		if l = strings.TrimRight(l, " \n"); l == "" {
			continue
		}
		if runes := []rune(l); len(runes) > shownLine {
			l = string(runes[:shownLine-1]) + "…"
		}
		out = append(out, l)
	}
	return out[max(0, len(out)-most):]
}

// Logs keeps what scripts said, scrubbed, for whoever collects the machine's logs. The zero value is ready.
type Logs struct {
	mu    sync.Mutex
	count int
	files []journal.File
}

func (l *Logs) keep(action osdef.Action, script agentapi.OSScript, said string) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count++
	text := fmt.Sprintf("(%s, of %s; confined: %v; code %d after %.1f s)\n%s", script.Name, action, script.Confined, script.Code, script.Seconds, said)
	l.files = append(l.files, journal.File{Name: fmt.Sprintf("%s%02d-%s", agentapi.OSLogPrefix, l.count, strings.ReplaceAll(script.Name, "/", "_")), Data: []byte(text)})
	l.files = l.files[max(0, len(l.files)-maxKept):]
}

// Files are what is kept, the oldest first.
func (l *Logs) Files() []journal.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]journal.File(nil), l.files...)
}
