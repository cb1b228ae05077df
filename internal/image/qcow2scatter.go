package image

import (
	"bytes"
	"hash"
	"io"
	"runtime"
	"slices"
	"sync"

	"ingot/internal/fault"
)

const (
	// scatterBlock is how much of the file one worker takes at a time.
	scatterBlock = 1 << 20
	// maxWorkers bounds the memory of decoding; more do not help, as the network feeds them.
	maxWorkers = 8
	// maxPieces is how many parts of the disk one block of the file may be; without sharing it is 2048 clusters of 512 bytes.
	maxPieces = 32 << 10
)

// Scatter reads the whole file from r, from its first byte to its last, and writes every cluster to where it
// belongs on the disk. w is called by several goroutines at once, at places that do not overlap. Memory is a few MiB, however large the image is. What was read before by OpenQCOW2 and Map must come
// by again unchanged, else the error is fault.Conflict: the digest of the stream then speaks for the tables, too.
// A damaged cluster is fault.Invalid; errors of r and w are passed on. The first error ends it.
func (q *QCOW2File) Scatter(r io.Reader, w io.WriterAt) error {
	s := &scattering{q: q, w: w, block: int(min(scatterBlock, q.file)), carry: q.longest()}
	workers := min(runtime.GOMAXPROCS(0), maxWorkers)
	s.jobs, s.free = make(chan *stretch, workers+2), make(chan *stretch, workers+2)
	for range workers + 2 {
		s.free <- &stretch{}
	}
	var wait sync.WaitGroup
	for range workers {
		wait.Go(s.work)
	}
	err := s.feed(r)
	close(s.jobs)
	wait.Wait()
	if failed := s.failed(); failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	return q.unchanged()
}

// longest is how many bytes before a block a compressed cluster that ends in it may begin.
func (q *QCOW2File) longest() int {
	n := int64(0)
	for i := range q.packed.n {
		e, _ := q.place(q.packed.at(i).entry()) // it was placed before
		n = max(n, e.n)
	}
	return int(n)
}

// unchanged compares what was read by Map and before with what came by in the stream.
func (q *QCOW2File) unchanged() error {
	for _, w := range q.seen {
		if !w.same() {
			return fault.New(fault.Conflict, "The tables of the qcow2 image are not what they were when its download began: "+
				"it was changed meanwhile, or is not the same at every server.")
		}
	}
	return nil
}

// stretch is a piece of the file with what is in it.
type stretch struct {
	buf   []byte // from byte base of the file on; the first carry bytes are the end of the stretch before
	base  int64
	parts []part
	// the compressed clusters that end in it, from one to before another
	packed, packedEnd int
}

// part is bytes of a stretch that go to the disk as they are.
type part struct {
	from, n int
	to      int64
}

// scattering is one Scatter under way.
type scattering struct {
	q     *QCOW2File
	w     io.WriterAt
	block int // how much is read at a time
	carry int
	jobs  chan *stretch
	free  chan *stretch

	nextRun, nextPacked int
	active              []plainRun // that began and have not ended

	mu  sync.Mutex
	err error
}

func (s *scattering) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *scattering) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// feed reads the file and hands it out in stretches.
func (s *scattering) feed(r io.Reader) error {
	before := []byte(nil)
	for pos := int64(0); ; {
		next := <-s.free
		if s.failed() != nil {
			return nil // the worker's error is told
		}
		keep := min(s.carry, len(before))
		next.buf = slices.Grow(next.buf[:0], s.carry+s.block+int(s.q.cluster()))[:keep+s.block]
		copy(next.buf, before[len(before)-keep:]) // before may be the same memory
		n, err := fill(r, next.buf[keep:])
		if err != nil {
			return err
		}
		for _, w := range s.q.seen {
			w.pass(pos, next.buf[keep:keep+n])
		}
		next.base = pos - int64(keep)
		next.buf = next.buf[:keep+n]
		pos += int64(n)
		if pos > s.q.file || n < s.block && pos != s.q.file {
			return fault.New(fault.Conflict, "The qcow2 image has %d bytes, but %d were announced.", pos, s.q.file)
		}
		end := pos
		if n < s.block {
			end = s.pad(next, pos)
		}
		if err := s.assign(next, pos-int64(n), end); err != nil {
			return err
		}
		before = next.buf
		s.jobs <- next // never blocks: there are as many places as stretches
		if n < s.block {
			return nil
		}
	}
}

// pad fills the file's last cluster with zeros, as QEMU reads it.
func (s *scattering) pad(last *stretch, pos int64) int64 {
	n := (pos+s.q.cluster()-1)>>s.q.bits<<s.q.bits - pos
	last.buf = last.buf[:len(last.buf)+int(n)]
	clear(last.buf[len(last.buf)-int(n):])
	return pos + n
}

// assign finds what of the disk is in bytes from to end of the file.
func (s *scattering) assign(st *stretch, from, end int64) error {
	q := s.q
	for ; s.nextRun < q.plain.n && int64(q.plain.at(s.nextRun).host)<<q.bits < end; s.nextRun++ {
		s.active = append(s.active, *q.plain.at(s.nextRun))
	}
	st.parts = st.parts[:0]
	still := s.active[:0]
	for _, run := range s.active {
		begins, ends := int64(run.host)<<q.bits, (int64(run.host)+int64(run.n))<<q.bits
		first, last := max(begins, from), min(ends, end)
		to := int64(run.guest)<<q.bits + first - begins
		if len(st.parts) >= maxPieces {
			return fault.New(fault.Invalid, "The qcow2 image is a bomb: the same MiB of the file is over %d parts of its disk.", maxPieces)
		}
		if n := min(last-first, q.size-to); n > 0 {
			st.parts = append(st.parts, part{int(first - st.base), int(n), to})
		}
		if ends > end {
			still = append(still, run)
		}
	}
	s.active = still
	st.packed = s.nextPacked
	for s.nextPacked < q.packed.n && q.end(*q.packed.at(s.nextPacked)) <= end {
		s.nextPacked++
	}
	st.packedEnd = s.nextPacked
	return nil
}

// work takes stretches until there are no more. After an error it only returns them.
func (s *scattering) work() {
	decode := newClusterDecoder(s.q.qcow2Header)
	defer decode.close()
	out := gathered{w: s.w, buf: make([]byte, 0, max(scatterBlock, s.q.cluster()))}
	for st := range s.jobs {
		if s.failed() == nil {
			if err := s.put(st, decode, &out); err != nil {
				s.fail(err)
			}
		}
		s.free <- st
	}
}

func (s *scattering) put(st *stretch, decode *clusterDecoder, out *gathered) error {
	for _, p := range st.parts {
		if _, err := s.w.WriteAt(st.buf[p.from:p.from+p.n], p.to); err != nil {
			return err
		}
	}
	for i := st.packed; i < st.packedEnd; i++ {
		p := s.q.packed.at(i)
		e, _ := s.q.place(p.entry()) // it was placed before
		to := int64(p.guest) << s.q.bits
		cluster, err := out.room(to, int(s.q.cluster()))
		if err != nil {
			return err
		}
		if err := decode.cluster(cluster, st.buf[e.off-st.base:e.off-st.base+e.n]); err != nil {
			return err
		}
		out.keep(int(min(s.q.cluster(), s.q.size-to)))
	}
	return out.flush()
}

// gathered joins decoded clusters that are neighbours on the disk into one write.
type gathered struct {
	w   io.WriterAt
	buf []byte
	at  int64 // of buf's start, on the disk
}

// room gives n bytes to decode into for place at.
func (g *gathered) room(at int64, n int) ([]byte, error) {
	if at != g.at+int64(len(g.buf)) || len(g.buf)+n > cap(g.buf) {
		if err := g.flush(); err != nil {
			return nil, err
		}
		g.at = at
	}
	return g.buf[len(g.buf) : len(g.buf)+n], nil
}

// keep takes the first n bytes of the last room.
func (g *gathered) keep(n int) { g.buf = g.buf[:len(g.buf)+n] }

func (g *gathered) flush() error {
	if len(g.buf) == 0 {
		return nil
	}
	_, err := g.w.WriteAt(g.buf, g.at)
	g.at, g.buf = g.at+int64(len(g.buf)), g.buf[:0]
	return err
}

// region is n bytes at off.
type region struct{ off, n int64 }

// watchedRegions are parts of the file, in order, that must be the same when they are read twice.
type watchedRegions struct {
	regions       []region
	first, second hash.Hash
}

// pass sees the next bytes of the stream.
func (w *watchedRegions) pass(pos int64, b []byte) {
	end := pos + int64(len(b))
	for len(w.regions) > 0 && w.regions[0].off < end {
		r := w.regions[0]
		if from, to := max(r.off, pos), min(r.off+r.n, end); from < to {
			w.second.Write(b[from-pos : to-pos])
		}
		if r.off+r.n > end {
			return
		}
		w.regions = w.regions[1:]
	}
}

func (w *watchedRegions) same() bool {
	return len(w.regions) == 0 && bytes.Equal(w.first.Sum(nil), w.second.Sum(nil))
}
