package vendordata

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// static is the document of vendordata_jsonfile_path: what the file said when it could last be read.
type static struct {
	path string
	max  int
	log  *slog.Logger

	mu       sync.Mutex // guards what follows
	document json.RawMessage
	seen     stamp
	bad      bool // what was seen is not what is served
	troubled bool // the file cannot be read now, and that was logged
}

// stamp tells one content of a file from another.
type stamp struct {
	size     int64
	modified time.Time
	info     fs.FileInfo // for os.SameFile: a file may be replaced by one of the same size and second
}

func (s stamp) same(i fs.FileInfo) bool {
	return s.info != nil && s.size == i.Size() && s.modified.Equal(i.ModTime()) && os.SameFile(s.info, i)
}

// openStatic reads the file, which must be in order at start.
func openStatic(path string, limit int, log *slog.Logger) (*static, error) {
	s := &static{path: path, max: limit, log: log, document: json.RawMessage("{}")}
	if path == "" {
		return s, nil
	}
	if err := s.read(); err != nil {
		return nil, fmt.Errorf("[api] vendordata_jsonfile_path: %w", err)
	}
	return s, nil
}

// read takes what the file says now. The error does not quote it.
func (s *static) read() error {
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", s.path)
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(s.max)+1))
	if err != nil {
		return err
	}
	s.seen, s.bad = stamp{info.Size(), info.ModTime(), info}, true
	if len(text) > s.max {
		return fmt.Errorf("%s is larger than %d KiB ([api] vendordata_dynamic_max_size)", s.path, s.max>>10)
	}
	document, err := parseJSON(text)
	if err != nil {
		return fmt.Errorf("%s %w", s.path, err)
	}
	s.document, s.bad = document, false
	return nil
}

// get is the document. A file that changed is read again; one that is gone or broken leaves what was there.
func (s *static) get() json.RawMessage {
	if s.path == "" {
		return s.document
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.path)
	if err == nil && s.seen.same(info) {
		s.troubled = s.bad
		return s.document
	}
	if err == nil {
		err = s.read()
	}
	switch {
	case err != nil && !s.troubled:
		s.log.Warn("the static vendordata cannot be read again; what they said last holds", "error", err)
	case err == nil:
		s.log.Info("the static vendordata were read again", "file", s.path)
	}
	s.troubled = err != nil
	return s.document
}

var errNotJSON = errors.New("is not JSON")
