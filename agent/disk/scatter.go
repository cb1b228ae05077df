package disk

import (
	"context"

	"ingot/internal/image"
)

const (
	// granule is the unit in which holes are looked for.
	granule = 64 << 10
	// window is how much is written before the disk is made to keep up: it bounds dirty memory, and
	// with it the length of the last flush.
	window = 32 * mib
)

// scatter puts the decoded image on the disk in order, holding back the parts that make it bootable: the
// first MiB, and what falls into the disk's last MiB, where a GPT's backup would be found.
type scatter struct {
	ctx  context.Context // of the one WriteImage it belongs to
	dev  *device
	head []byte // the image's first MiB, zero-filled
	tail []byte // what belongs into the disk's last MiB
	off  int64  // bytes of the image seen

	pending    run   // zeros not yet written
	startedTo  int64 // write-back is under way up to here
	finishedTo int64
	written    int64 // bytes of data written, held-back parts included
	zeroed     int64 // bytes of holes
}

func newScatter(ctx context.Context, dev *device, head []byte) *scatter {
	s := &scatter{ctx: ctx, dev: dev, head: make([]byte, image.HeadSize), startedTo: image.HeadSize, finishedTo: image.HeadSize}
	copy(s.head, head)
	s.off, s.written = int64(len(head)), int64(len(head))
	return s
}

// put takes the next block. A block past the end of the disk is refused before any of it is written.
func (s *scatter) put(block []byte) error {
	if s.off+int64(len(block)) > s.dev.size {
		return fail(writeError, "The image is larger than the %s, which has %d bytes.", s.dev.what, s.dev.size)
	}
	if hold := s.dev.size - mib; s.off+int64(len(block)) > hold {
		n := max(0, hold-s.off)
		s.tail = append(s.tail, block[n:]...)
		s.written += int64(len(block)) - n
		if err := s.middle(block[:n]); err != nil {
			return err
		}
		s.off += int64(len(block)) - n
		return nil
	}
	return s.middle(block)
}

// middle writes a block's data and gathers its zeros.
func (s *scatter) middle(block []byte) error {
	data := 0 // start of the data not yet written
	for at := 0; at < len(block); {
		n := min(len(block)-at, int(granule-(s.off+int64(at))%granule))
		if n == granule && isZero(block[at:at+n]) {
			if err := s.write(block[data:at], s.off+int64(data)); err != nil {
				return err
			}
			s.gather(s.off + int64(at))
			data = at + n
		}
		at += n
	}
	if err := s.write(block[data:], s.off+int64(data)); err != nil {
		return err
	}
	s.off += int64(len(block))
	return s.keepUp()
}

// gather adds one granule of zeros to the pending run, which it always continues.
func (s *scatter) gather(off int64) {
	if s.pending.n == 0 {
		s.pending.off = off
	}
	s.pending.n += granule
}

func (s *scatter) write(b []byte, off int64) error {
	if len(b) == 0 {
		return nil
	}
	if err := s.settle(); err != nil {
		return err
	}
	_, err := s.dev.WriteAt(b, off)
	s.written += int64(len(b))
	return err
}

// settle zeroes the pending run.
func (s *scatter) settle() error {
	p := s.pending
	s.pending = run{}
	s.zeroed += p.n
	if p.n == 0 {
		return nil
	}
	return s.dev.zero(s.ctx, p.off, p.n)
}

// keepUp starts write-back of each full window and waits for the one before it.
func (s *scatter) keepUp() error {
	if s.off-s.startedTo < window {
		return nil
	}
	if err := s.dev.startWriteback(s.startedTo, s.off-s.startedTo); err != nil {
		return err
	}
	if s.startedTo > s.finishedTo {
		if err := s.dev.finishWriteback(s.finishedTo, s.startedTo-s.finishedTo); err != nil {
			return err
		}
	}
	s.finishedTo, s.startedTo = s.startedTo, s.off
	return nil
}

// erase undoes what could make a failed write look like a disk: the ends of the disk, and the end of the
// image, where its backup table is.
func (s *scatter) erase() error {
	background := context.WithoutCancel(s.ctx)
	from := max(0, min(s.off, s.dev.size)-mib)
	if err := s.dev.writeZeros(background, from, min(mib, s.dev.size-from)); err != nil {
		return err
	}
	if err := s.dev.writeZeros(background, 0, mib); err != nil {
		return err
	}
	if err := s.dev.writeZeros(background, s.dev.size-mib, mib); err != nil {
		return err
	}
	return s.dev.flush()
}
