package depot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// fetchStep is by how much a file whose size is not known takes room ahead.
const fetchStep = 64 << 20

// Fetch keeps what body gives to its end, if good then accepts it. The size need not be known: f.Size, if it is, takes its room
// before the first byte; what comes beyond counts against the bounds as it comes, and is written nowhere but here. Of f it takes
// name, holder and expiry too, and gives it back with size and checksum. Errors: as Put's, those of body, and those of good.
func (s *Shelf) Fetch(ctx context.Context, f Pushed, body io.Reader, good func() error) (Pushed, error) {
	expected := f.Size
	f.SHA256 = emptySHA256
	if _, err := s.reserve(f); err != nil {
		return f, err
	}
	defer s.release(f.Name)
	part, err := os.OpenFile(s.path(f.Name, shelfPart), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return f, err
	}
	defer os.Remove(part.Name()) // gone already when all is well
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(&growing{s: s, name: f.Name, to: part, room: expected}, sum), body)
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, unix.ENOSPC):
		err = fault.Wrap(fault.TooLarge, err, "There is no room for the file: the disk is full.")
	case err == nil:
		err = good()
	}
	if err == nil {
		err = part.Sync()
	}
	if err := errors.Join(err, part.Close()); err != nil {
		return f, err
	}
	f.Size, f.SHA256 = n, hex.EncodeToString(sum.Sum(nil))
	return f, s.keep(f)
}

// emptySHA256 is that of no byte.
var emptySHA256 = hex.EncodeToString(sha256.New().Sum(nil))

// growing writes a file that takes its room as it grows.
type growing struct {
	s             *Shelf
	name          string
	to            *os.File
	written, room int64
}

func (g *growing) Write(p []byte) (int, error) {
	most := min(g.s.o.MaxFile, g.s.o.Quota)
	if g.written+int64(len(p)) > most {
		return 0, fault.New(fault.TooLarge, "The file has more than the %d bytes that one may have here.", most)
	}
	for g.written+int64(len(p)) > g.room {
		more := min(fetchStep, most-g.room)
		if err := g.s.grow(g.name, more); err != nil {
			return 0, err
		}
		g.room += more
	}
	n, err := g.to.Write(p)
	g.written += int64(n)
	return n, err
}

// grow takes more room for an upload under way.
func (s *Shelf) grow(name string, by int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.room(by, false); err != nil {
		return err
	}
	s.promise[name] += by
	return nil
}

// Open opens a file that is on the shelf; who has it open reads to its end, whatever becomes of it. fault.NotFound.
func (s *Shelf) Open(name string) (*os.File, Pushed, error) {
	file, f, err := s.open(name)
	if err != nil {
		return nil, f, fault.Wrap(fault.NotFound, err, "There is no such pushed file.")
	}
	return file, f, nil
}
