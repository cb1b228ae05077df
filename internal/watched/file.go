package watched

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// Files are one or more files that are read together, again when one of them changes. It is safe for many goroutines.
type Files[T any] struct {
	paths []string
	limit int64 // bytes of one file
	parse func(texts [][]byte) (T, error)
	log   *slog.Logger

	now atomic.Pointer[reading[T]]
	mu  sync.Mutex // held by who reads
}

// reading is what the files said when they were in a certain state.
type reading[T any] struct {
	value  T
	stamps []stamp
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

// Open reads one file for the first time: then an error is the caller's.
func Open[T any](path string, limit int64, log *slog.Logger, parse func([]byte) (T, error)) (*Files[T], error) {
	return OpenAll([]string{path}, limit, log, func(texts [][]byte) (T, error) {
		v, err := parse(texts[0])
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return v, err
	})
}

// OpenAll reads several that only make sense together. None may be larger than limit.
func OpenAll[T any](paths []string, limit int64, log *slog.Logger, parse func([][]byte) (T, error)) (*Files[T], error) {
	f := &Files[T]{paths: paths, limit: limit, parse: parse, log: log}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	r, err := f.read()
	if err != nil {
		return nil, err
	}
	f.now.Store(r)
	return f, nil
}

// Get is what the files say, or said last when they could be understood.
func (f *Files[T]) Get() T {
	r := f.now.Load()
	if slices.Equal(f.state(), r.stamps) || !f.mu.TryLock() { // who comes while another reads takes what there is
		return r.value
	}
	defer f.mu.Unlock()
	r = f.now.Load()
	at := f.state()
	if slices.Equal(at, r.stamps) {
		return r.value
	}
	fresh, err := f.read()
	if err != nil {
		f.log.Warn("a file that changed is not right, so what it said before stays in force", "file", f.name(), "error", err.Error())
		fresh = &reading[T]{value: r.value, stamps: at} // told once for each change
	} else {
		f.log.Info("a file that changed was read again", "file", f.name())
	}
	f.now.Store(fresh)
	return fresh.value
}

func (f *Files[T]) name() string { return strings.Join(f.paths, ", ") }

func (f *Files[T]) state() []stamp {
	out := make([]stamp, len(f.paths))
	for i, path := range f.paths {
		if info, err := os.Stat(path); err == nil {
			out[i] = stampOf(info)
		}
	}
	return out
}

func (f *Files[T]) read() (*reading[T], error) {
	r := &reading[T]{}
	var texts [][]byte
	for _, path := range f.paths {
		text, at, err := f.readOne(path)
		if err != nil {
			return nil, err
		}
		texts, r.stamps = append(texts, text), append(r.stamps, at)
	}
	var err error
	r.value, err = f.parse(texts)
	return r, err
}

func (f *Files[T]) readOne(path string) ([]byte, stamp, error) {
	in, err := os.Open(path)
	if err != nil {
		return nil, stamp{}, err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat() // before the read: a change while we read is seen next time
	if err != nil {
		return nil, stamp{}, err
	}
	text, err := io.ReadAll(io.LimitReader(in, f.limit+1))
	if err != nil {
		return nil, stamp{}, fmt.Errorf("read %s: %w", path, err)
	}
	if int64(len(text)) > f.limit {
		return nil, stamp{}, fmt.Errorf("%s is larger than %d KiB", path, f.limit>>10)
	}
	return text, stampOf(info), nil
}
