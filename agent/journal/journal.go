// Package journal keeps what the agent logged, in memory, and packs it for a conductor that asks why a
// deployment failed. It writes nothing to a disk and decides nothing about levels: the agent's slog handler
// writes to it. cmd/ingot-agent makes one.
package journal

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Ring is a log of bounded size: the oldest lines go. The zero Ring keeps nothing. It is safe for
// concurrent use.
type Ring struct {
	limit int

	mu    sync.Mutex
	lines [][]byte
	size  int
	lost  int
}

// NewRing makes a ring of at most limit bytes.
func NewRing(limit int) *Ring { return &Ring{limit: limit} }

// Write takes one line, as slog's handlers write them. It never fails.
func (r *Ring) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, bytes.Clone(line))
	r.size += len(line)
	for r.size > r.limit && len(r.lines) > 0 {
		r.size -= len(r.lines[0])
		r.lines[0] = nil
		r.lines = r.lines[1:]
		r.lost++
	}
	return len(line), nil
}

// Text gives what is kept, oldest first, and says how many lines were lost before it.
func (r *Ring) Text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b bytes.Buffer
	if r.lost > 0 {
		fmt.Fprintf(&b, "(%d older lines are lost)\n", r.lost)
	}
	for _, line := range r.lines {
		b.Write(line)
	}
	return b.Bytes()
}

// File is one file of an archive.
type File struct {
	Name string
	Data []byte
}

// Archive packs files as tar.gz, in the order of their names.
func Archive(files []File, now time.Time) ([]byte, error) {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: 0o644, Size: int64(len(f.Data)), ModTime: now}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Name, err)
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack logs: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack logs: %w", err)
	}
	return b.Bytes(), nil
}
