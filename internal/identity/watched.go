package identity

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// watched is a file that is read again when it changes. Looking costs one stat a request, so that a user who was removed is out
// with the next one.
type watched[T any] struct {
	path  string
	limit int64 // bytes of the file
	parse func([]byte) (T, error)
	log   *slog.Logger

	now atomic.Pointer[reading[T]]
	mu  sync.Mutex // held by who reads
}

// reading is what a file said when it was in a certain state.
type reading[T any] struct {
	value T
	stamp stamp
}

// stamp tells one state of a file from another. The zero stamp is of a file that could not be looked at.
type stamp struct {
	inode                    uint64
	size                     int64
	modified, modifiedNs     int64
	changed, changedNs       int64
	mode, device, owner, gid uint64
}

func stampOf(info os.FileInfo) stamp {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{size: info.Size(), modifiedNs: info.ModTime().UnixNano()}
	}
	return stamp{inode: s.Ino, size: s.Size, modified: int64(s.Mtim.Sec), modifiedNs: int64(s.Mtim.Nsec), changed: int64(s.Ctim.Sec), changedNs: int64(s.Ctim.Nsec),
		mode: uint64(s.Mode), device: uint64(s.Dev), owner: uint64(s.Uid), gid: uint64(s.Gid)}
}

// watch reads a file for the first time: then an error is the caller's.
func watch[T any](path string, limit int64, log *slog.Logger, parse func([]byte) (T, error)) (*watched[T], error) {
	w := &watched[T]{path: path, limit: limit, parse: parse, log: log}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	r, err := w.read()
	if err != nil {
		return nil, err
	}
	w.now.Store(r)
	return w, nil
}

// get is what the file says, or said last when it could be understood.
func (w *watched[T]) get() T {
	r := w.now.Load()
	if w.state() == r.stamp || !w.mu.TryLock() { // who comes while another reads takes what there is
		return r.value
	}
	defer w.mu.Unlock()
	r = w.now.Load()
	at := w.state()
	if at == r.stamp {
		return r.value
	}
	fresh, err := w.read()
	if err != nil {
		w.log.Warn("a file that changed is not right, so what it said before stays in force", "file", w.path, "error", err.Error())
		fresh = &reading[T]{value: r.value, stamp: at} // told once for each change
	} else {
		w.log.Info("a file that changed was read again", "file", w.path)
	}
	w.now.Store(fresh)
	return fresh.value
}

func (w *watched[T]) state() stamp {
	info, err := os.Stat(w.path)
	if err != nil {
		return stamp{}
	}
	return stampOf(info)
}

func (w *watched[T]) read() (*reading[T], error) {
	f, err := os.Open(w.path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat() // before the read: a change while we read is seen next time
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, w.limit+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", w.path, err)
	}
	if int64(len(text)) > w.limit {
		return nil, fmt.Errorf("%s is larger than %d KiB", w.path, w.limit>>10)
	}
	v, err := w.parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.path, err)
	}
	return &reading[T]{value: v, stamp: stampOf(info)}, nil
}
