package depot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"time"
)

// verifiedFor is for how long a file that was found to be what its note says is believed to be, unless it was written to. Many
// machines that are deployed at once with one image are then one reading.
const verifiedFor = time.Minute

// good is a file that was read whole and was right.
type good struct {
	is identity
	at time.Time
}

// Verify reads a file of the shelf that is there, and takes it off if its bytes are not those that its note says: a disk may rot, and
// somebody may have written there. there is false when there is nothing, or nothing any more.
func (s *Shelf) Verify(ctx context.Context, name string) (there bool, err error) {
	done, err := s.turn(ctx, name)
	if err != nil {
		return false, err
	}
	defer done()
	file, f, err := s.open(name)
	if err != nil {
		return false, nil //nolint:nilerr // what is not there is no error
	}
	defer file.Close() // read-only: nothing is lost
	info, err := file.Stat()
	if err != nil {
		return false, err
	}
	is := identityOf(info)
	s.mu.Lock()
	last := s.verified[name]
	s.mu.Unlock()
	if last.is == is && is != (identity{}) && s.now().Sub(last.at) < verifiedFor {
		return true, nil
	}
	s.mu.Lock()
	s.readings++
	s.mu.Unlock()
	sum := sha256.New()
	if _, err := io.Copy(sum, until{ctx, file}); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, there := s.files[name]; !there || k.SHA256 != f.SHA256 {
		return false, nil // it was taken off, or replaced, while it was read
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		s.o.Log.Warn("a kept image is not what it was any more and is removed", "size", f.Size)
		return false, s.forget(name)
	}
	s.verified[name] = good{is, s.now()}
	return true, nil
}

// turn waits while somebody else reads the same file: of many who ask at once one reads, and the others believe what he found.
func (s *Shelf) turn(ctx context.Context, name string) (done func(), err error) {
	mine := make(chan struct{})
	for {
		s.mu.Lock()
		before, busy := s.reading[name]
		if !busy {
			s.reading[name] = mine
		}
		s.mu.Unlock()
		if !busy {
			return func() {
				s.mu.Lock()
				delete(s.reading, name)
				s.mu.Unlock()
				close(mine)
			}, nil
		}
		select {
		case <-before:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// until is a file that is read until its context ends.
type until struct {
	ctx context.Context
	f   *os.File
}

func (u until) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.f.Read(p)
}
