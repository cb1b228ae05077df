package depot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// Pushed is a file that another server of ours put on a shelf.
type Pushed struct {
	Name    string    `json:"name"` // unguessable: it is the machines' permission to fetch
	Size    int64     `json:"size"`
	SHA256  string    `json:"sha256"` // hex
	Expires time.Time `json:"expires"`
	// Holder is for whom the file is there, until it expires or the holder gives it up: a file has several, and goes with
	// the last of them. "" is a holder, too.
	Holder string `json:"-"`
}

// ShelfOptions bound what a shelf takes.
type ShelfOptions struct {
	MaxFile  int64         // bytes of one file; 0: 32 GiB
	Quota    int64         // bytes of all; 0: 64 GiB
	MaxFiles int           // 0: 10000
	MaxLife  time.Duration // how far ahead a file may expire; 0: 31 days and a day
	Log      *slog.Logger  // nil: none
}

func (o ShelfOptions) filled() ShelfOptions {
	if o.MaxFile <= 0 {
		o.MaxFile = 32 << 30
	}
	if o.Quota <= 0 {
		o.Quota = 64 << 30
	}
	if o.MaxFiles <= 0 {
		o.MaxFiles = 10000
	}
	if o.MaxLife <= 0 {
		o.MaxLife = 32 * 24 * time.Hour
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Shelf keeps files in a folder until they expire. It survives a restart: beside each file lies what was said of
// it. It is safe for many goroutines.
type Shelf struct {
	dir string
	o   ShelfOptions
	now func() time.Time

	mu      sync.Mutex
	files   map[string]kept  // guarded by mu
	promise map[string]int64 // guarded by mu: bytes of uploads under way

	verified map[string]good          // guarded by mu: when a file was last found to be right
	reading  map[string]chan struct{} // guarded by mu: files that are being verified; closed when one is done
	readings int                      // guarded by mu: how many files were read whole
}

// The ends of a shelf's files: content, what was said of it, and an upload under way.
const (
	shelfData = ".data"
	shelfNote = ".json"
	shelfPart = ".part"
)

// pushedName is a name that leads nowhere else and that nobody guesses: 32 characters are 192 bits of base64url.
var pushedName = regexp.MustCompile(`^[A-Za-z0-9_-]{32,128}$`)

var hexSHA256 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// OpenShelf opens the shelf in dir, made when it is missing, and throws away what a killed process left half done.
func OpenShelf(dir string, o ShelfOptions) (*Shelf, error) {
	s := &Shelf{dir: dir, o: o.filled(), now: time.Now, files: map[string]kept{}, promise: map[string]int64{}, verified: map[string]good{}, reading: map[string]chan struct{}{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	all, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		if name, isNote := strings.CutSuffix(e.Name(), shelfNote); isNote {
			if f, ok := s.readNote(name); ok {
				s.files[name] = f
			}
		}
	}
	for _, e := range all {
		ext := filepath.Ext(e.Name())
		_, known := s.files[strings.TrimSuffix(e.Name(), ext)]
		if known && ext != shelfPart || ext != shelfData && ext != shelfNote && ext != shelfPart {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return s, s.Sweep()
}

func (s *Shelf) path(name, ext string) string { return filepath.Join(s.dir, name+ext) }

// Put reads exactly f.Size bytes and keeps them if they have the checksum. A file that is there already with that
// checksum is not read; one with another is replaced, with its holders, when the new one is whole. Errors: fault.Invalid, fault.TooLarge,
// fault.Conflict while the same name is being put.
func (s *Shelf) Put(ctx context.Context, f Pushed, body io.Reader) error {
	had, err := s.reserve(f)
	if err != nil {
		return err
	}
	defer s.release(f.Name)
	if had {
		return s.note(f)
	}
	part, err := os.OpenFile(s.path(f.Name, shelfPart), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer os.Remove(part.Name()) // gone already when all is well
	if err := errors.Join(s.fill(ctx, part, f, body), part.Close()); err != nil {
		return err
	}
	return s.keep(f)
}

// reserve sees whether there is room, and takes it. had tells that the very file is there.
func (s *Shelf) reserve(f Pushed) (had bool, err error) {
	switch now := s.now(); {
	case !pushedName.MatchString(f.Name):
		return false, fault.New(fault.Invalid, "A pushed file's name must be 32 to 128 characters of A-Z, a-z, 0-9, _ and -.")
	case !hexSHA256.MatchString(f.SHA256):
		return false, fault.New(fault.Invalid, "A pushed file needs its SHA-256 in lower-case hex.")
	case f.Size < 0 || !f.Expires.After(now):
		return false, fault.New(fault.Invalid, "A pushed file needs a size and a time of expiry that is to come; it is %s here.", now.UTC().Format(time.RFC3339))
	case f.Expires.After(now.Add(s.o.MaxLife)):
		return false, fault.New(fault.Invalid, "A pushed file may stay for %s at most.", s.o.MaxLife)
	case !holderName.MatchString(f.Holder):
		return false, errHolder
	case f.Size > s.o.MaxFile:
		return false, fault.New(fault.TooLarge, "The file has %d bytes; a boot host takes %d at most.", f.Size, s.o.MaxFile)
	}
	if err := s.Sweep(); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, busy := s.promise[f.Name]; busy {
		return false, fault.New(fault.Conflict, "This file is being pushed already.")
	}
	is, there := s.files[f.Name]
	if there && is.SHA256 == f.SHA256 && is.Size == f.Size {
		s.promise[f.Name] = 0
		return true, nil
	}
	if err := s.room(f.Size, !there); err != nil {
		return false, err
	}
	s.promise[f.Name] = f.Size
	return false, nil
}

// room tells whether n bytes more may lie here, and one file more.
func (s *Shelf) room(n int64, another bool) error {
	used, files := n, len(s.files)+len(s.promise)
	for _, o := range s.files {
		used += o.Size
	}
	for _, p := range s.promise {
		used += p
	}
	if used > s.o.Quota || another && files >= s.o.MaxFiles {
		return fault.New(fault.TooLarge, "There is no room for pushed files: with this one it would be %d bytes in %d files, and %d bytes in %d files may be here.",
			used, files+1, s.o.Quota, s.o.MaxFiles)
	}
	if free, known := freeBytes(s.dir); known && n > free {
		return fault.New(fault.TooLarge, "There is no room for pushed files: this one needs %d bytes, and the disk has %d left.", n, free)
	}
	return nil
}

func (s *Shelf) release(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.promise, name)
}

// fill writes what comes and verifies it.
func (s *Shelf) fill(ctx context.Context, to *os.File, f Pushed, body io.Reader) error {
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, sum), io.LimitReader(body, f.Size+1))
	switch {
	case ctx.Err() != nil:
		return fault.Wrap(fault.Unavailable, ctx.Err(), "The push was broken off.")
	case errors.Is(err, unix.ENOSPC):
		return fault.Wrap(fault.TooLarge, err, "There is no room for pushed files: the disk is full.")
	case err != nil:
		return fault.Wrap(fault.Unavailable, err, "The push did not come to its end.")
	case n != f.Size:
		return fault.New(fault.Invalid, "The push has %d bytes, and %d were announced.", n, f.Size)
	case hex.EncodeToString(sum.Sum(nil)) != f.SHA256:
		return fault.New(fault.Invalid, "What was pushed has not the SHA-256 that was announced.")
	}
	return to.Sync()
}

// keep makes a whole upload the file of its name. The note is written last: without it the file is nothing.
func (s *Shelf) keep(f Pushed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := kept{f, holds{f.Holder: f.Expires}}
	if is, there := s.files[f.Name]; there && is.SHA256 == f.SHA256 && is.Size == f.Size { // somebody was quicker, and holds it
		is.Pushed = f
		next = is.heldBy(f.Holder, f.Expires)
	}
	if err := s.forget(f.Name); err != nil {
		return err
	}
	if err := os.Rename(s.path(f.Name, shelfPart), s.path(f.Name, shelfData)); err != nil {
		return err
	}
	return s.noteLocked(next)
}

// note adds a holder to a file that is there.
func (s *Shelf) note(f Pushed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, there := s.files[f.Name]
	if !there {
		return fault.New(fault.Unavailable, "The file was removed while it was pushed: push it again.")
	}
	return s.noteLocked(k.heldBy(f.Holder, f.Expires))
}

// noteLocked writes what is said of a file, whole or not at all.
func (s *Shelf) noteLocked(f kept) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	next := s.path(f.Name, shelfNote+shelfPart)
	if err := os.WriteFile(next, text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(next, s.path(f.Name, shelfNote)); err != nil {
		return err
	}
	s.files[f.Name] = f
	return s.synced()
}

// synced brings the folder's names to the disk.
func (s *Shelf) synced() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// List gives what is on the shelf, by name.
func (s *Shelf) List() ([]Pushed, error) {
	err := s.Sweep()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Pushed, 0, len(s.files))
	for _, f := range s.files {
		out = append(out, f.Pushed)
	}
	slices.SortFunc(out, func(a, b Pushed) int { return strings.Compare(a.Name, b.Name) })
	return out, err
}

// Remove takes a file off the shelf, whoever holds it; one that is not there is no error. Who is reading it reads to the end.
func (s *Shelf) Remove(name string) error {
	if !pushedName.MatchString(name) {
		return fault.New(fault.Invalid, "No pushed file can have this name.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forget(name)
}

func (s *Shelf) forget(name string) error {
	delete(s.files, name)
	delete(s.verified, name)
	for _, ext := range []string{shelfNote, shelfData} { // the note first: what is killed in between is no file any more
		if err := os.Remove(s.path(name, ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a pushed file: %w", err)
		}
	}
	return nil
}

// Run removes what expires until ctx ends.
func (s *Shelf) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := s.Sweep(); err != nil {
			s.o.Log.Warn("pushed files cannot be removed", "error", err)
		}
	}
}

// open opens a file of the shelf that has not expired.
func (s *Shelf) open(name string) (*os.File, Pushed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.files[name]
	if !ok || !f.Expires.After(s.now()) {
		return nil, f.Pushed, fs.ErrNotExist
	}
	file, err := os.Open(s.path(name, shelfData))
	return file, f.Pushed, err
}
