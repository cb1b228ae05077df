package disk

import (
	"context"
	"sync"

	"ingot/internal/image"
)

// transferQCOW2 does what transfer does, for an image whose clusters come in an order of their own: its tables are
// read first, by range, while the download waits at its start.
func (j *job) transferQCOW2(ctx context.Context) error {
	q, err := j.openQCOW2()
	if err != nil {
		return err
	}
	j.scatter = newScatter(ctx, j.dev, nil)
	j.scatter.off = q.Size()
	if err := j.clearEnds(); err != nil {
		return j.undo(as(writeError, err))
	}
	p := newPlacer(j.scatter, j.cancel)
	err = q.Scatter(j.fetcher, p)
	if p.err != nil {
		return j.undo(as(writeError, p.err))
	}
	if err := j.verify(q.Info(), err); err != nil {
		return j.undo(err)
	}
	for off, n := range q.Holes() {
		if err := p.zero(off, n); err != nil {
			return j.undo(as(writeError, err))
		}
	}
	return nil
}

// openQCOW2 reads the tables and decides, before the first write, whether this image may go on this disk.
func (j *job) openQCOW2() (*image.QCOW2File, error) {
	size, err := j.ranges.Size()
	if err != nil {
		return nil, as(downloadError, err)
	}
	q, err := image.OpenQCOW2(fetched{j}, size, j.options())
	if err != nil {
		return nil, refused(err)
	}
	j.report.Format = string(image.QCOW2)
	if err := j.fits(q.Info(), q.Head()); err != nil {
		return nil, err
	}
	if err := q.Map(); err != nil {
		return nil, refused(err)
	}
	return q, nil
}

// fetched reads parts of the image; its failures are the download's, not the image's.
type fetched struct{ j *job }

func (f fetched) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.j.ranges.ReadAt(p, off)
	return n, as(downloadError, err)
}

// placer puts pieces of an image on the disk in any order and from several goroutines, holding back the same
// parts as scatter does.
type placer struct {
	*scatter
	stop func()     // ends the download, once nothing can be written any more
	keep sync.Mutex // over write-back

	mu   sync.Mutex // over what follows, and the scatter's head, tail and counts
	err  error      // the first failure to write
	now  span       // written since write-back was last started
	last span       // whose write-back is under way
}

// span is a range of the disk with n bytes written in it.
type span struct{ from, to, n int64 }

func newPlacer(s *scatter, stop func()) *placer {
	s.tail = make([]byte, max(0, s.off-(s.dev.size-mib)))
	return &placer{scatter: s, stop: stop}
}

// WriteAt takes a piece that lies within the image.
func (p *placer) WriteAt(b []byte, off int64) (int, error) {
	middle, at := p.hold(b, off)
	// A few bytes of a file may be clusters of the whole disk: the end of the download alone does not stop them.
	err := context.Cause(p.ctx)
	if err == nil {
		_, err = p.dev.WriteAt(middle, at)
	}
	if err == nil {
		err = p.count(at, int64(len(middle)), int64(len(b)))
	}
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.err == nil {
			p.err = err
		}
		p.stop()
		return 0, err
	}
	return len(b), nil
}

// hold keeps what belongs into the first and the last MiB of the disk and gives what is between.
func (p *placer) hold(b []byte, off int64) ([]byte, int64) {
	last := p.dev.size - mib
	if off >= mib && off+int64(len(b)) <= last {
		return b, off
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if off < mib {
		n := copy(p.head[off:], b)
		b, off = b[n:], off+int64(n)
	}
	if end := off + int64(len(b)); end > last {
		n := min(int64(len(b)), end-last)
		copy(p.tail[end-n-last:], b[int64(len(b))-n:])
		b = b[:int64(len(b))-n]
	}
	return b, off
}

// count notes n bytes on the disk at off, of all that were given, and has the disk keep up.
func (p *placer) count(off, n, all int64) error {
	p.mu.Lock()
	p.written += all
	if n > 0 {
		if p.now.n == 0 {
			p.now.from = off
		}
		p.now = span{min(p.now.from, off), max(p.now.to, off+n), p.now.n + n}
	}
	full := p.now
	if full.n < window {
		p.mu.Unlock()
		return nil
	}
	p.now = span{}
	p.mu.Unlock()

	p.keep.Lock()
	defer p.keep.Unlock()
	if err := p.dev.startWriteback(full.from, full.to-full.from); err != nil {
		return err
	}
	before := p.last
	p.last = full
	if before.n == 0 {
		return nil
	}
	return p.dev.finishWriteback(before.from, before.to-before.from)
}

// zero makes a hole of the image one of the disk. The held-back parts are zero where nothing was written.
func (p *placer) zero(off, n int64) error {
	p.zeroed += n
	from, to := max(off, mib), min(off+n, p.dev.size-mib)
	if from >= to {
		return nil
	}
	for from < to {
		step := to - from
		if !p.dev.punch {
			step = min(step, window) // written zeros must not pile up
		}
		if err := p.dev.zero(p.ctx, from, step); err != nil {
			return err
		}
		if err := p.count(from, step, 0); err != nil {
			return err
		}
		from += step
	}
	return nil
}
