package depot

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// holds are the holders of a file, each with the time until which it holds it.
type holds map[string]time.Time

// kept is a file of a shelf, and what is written beside it. Expires is that of its longest holder.
type kept struct {
	Pushed
	Holds holds `json:"holds"`
}

// maxHolders bounds how many may hold one file: a deployment of that many machines at once, with one image.
const maxHolders = 4096

var holderName = regexp.MustCompile(`^[A-Za-z0-9_-]{0,64}$`)

var errHolder = fault.New(fault.Invalid, "The holder of a pushed file must be at most 64 characters of A-Z, a-z, 0-9, _ and -.")

// heldBy is the file with one more holder, or with that holder's new time.
func (k kept) heldBy(who string, until time.Time) kept {
	k.Holds = maps.Clone(k.Holds)
	k.Holds[who] = until
	return k.lasting()
}

// without is the file without those holders that gone names.
func (k kept) without(gone func(who string, until time.Time) bool) kept {
	k.Holds = maps.Clone(k.Holds)
	maps.DeleteFunc(k.Holds, gone)
	return k.lasting()
}

func (k kept) lasting() kept {
	k.Expires = time.Time{}
	for _, until := range k.Holds {
		if until.After(k.Expires) {
			k.Expires = until
		}
	}
	return k
}

// maxNote bounds what is read of a note.
const maxNote = 1 << 20

// readNote reads what was said of a file, and whether the file is there as it was said.
func (s *Shelf) readNote(name string) (k kept, ok bool) {
	note, err := os.Open(s.path(name, shelfNote))
	if err != nil {
		return k, false
	}
	defer note.Close() // read-only: nothing is lost
	if err := json.NewDecoder(io.LimitReader(note, maxNote)).Decode(&k); err != nil || k.Name != name || !pushedName.MatchString(name) || len(k.Holds) > maxHolders {
		return k, false
	}
	if len(k.Holds) == 0 { // written before files had holders
		k.Holds = holds{"": k.Expires}
	}
	info, err := os.Lstat(s.path(name, shelfData))
	return k.lasting(), err == nil && info.Mode().IsRegular() && info.Size() == k.Size
}

// Hold adds a holder to a file that is there; there tells whether it is. Nothing need be pushed then. The file is read whole: one that
// is not what it was any more is not there.
func (s *Shelf) Hold(name, holder string, until time.Time) (there bool, err error) {
	now := s.now()
	switch {
	case !pushedName.MatchString(name):
		return false, fault.New(fault.Invalid, "No pushed file can have this name.")
	case !holderName.MatchString(holder):
		return false, errHolder
	case !until.After(now) || until.After(now.Add(s.o.MaxLife)):
		return false, fault.New(fault.Invalid, "A pushed file may be held for %s at most, and not until a time that is over; it is %s here.", s.o.MaxLife, now.UTC().Format(time.RFC3339))
	}
	if err := s.Sweep(); err != nil {
		return false, err
	}
	if there, err := s.Verify(context.Background(), name); err != nil || !there {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	k, there := s.files[name]
	if !there {
		return false, nil
	}
	if len(k.Holds) >= maxHolders {
		return false, fault.New(fault.TooLarge, "This file is held for %d machines already.", len(k.Holds))
	}
	return true, s.noteLocked(k.heldBy(holder, until))
}

// Release gives up all that a holder holds. Files that nobody holds any more go.
func (s *Shelf) Release(holder string) error {
	if !holderName.MatchString(holder) {
		return errHolder
	}
	return s.drop(func(who string, _ time.Time) bool { return who == holder })
}

// Sweep removes what has expired.
func (s *Shelf) Sweep() error {
	now := s.now()
	return s.drop(func(_ string, until time.Time) bool { return !until.After(now) })
}

func (s *Shelf) drop(gone func(who string, until time.Time) bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for name, k := range s.files {
		left := k.without(gone)
		switch {
		case len(left.Holds) == len(k.Holds):
		case len(left.Holds) == 0:
			s.o.Log.Info("pushed file removed", "size", k.Size, "expires", k.Expires)
			errs = append(errs, s.forget(name))
		default:
			errs = append(errs, s.noteLocked(left))
		}
	}
	return errors.Join(errs...)
}

// freeBytes is what a folder's disk has left for us.
func freeBytes(dir string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Bsize <= 0 {
		return 0, false
	}
	return int64(st.Bavail) * st.Bsize, true
}
