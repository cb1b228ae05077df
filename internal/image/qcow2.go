package image

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"iter"
	"slices"

	"ingot/internal/fault"
)

const (
	// maxMap bounds the memory of where clusters belong, bytes. Neighbours that stay neighbours share an entry, so
	// that only large images whose clusters are compressed or out of order come near it.
	maxMap = 48 << 20
	// minRead is the least that is asked for at once: a request over a network costs as much as 64 KiB.
	minRead = 64 << 10
)

// QCOW2File is a qcow2 file that is read twice: first its header and tables, anywhere, then once from start to
// end, when each cluster goes to where it belongs. Open, Map, Scatter and Holes are called in this order, by
// one goroutine.
type QCOW2File struct {
	qcow2Header
	r    *readAhead
	file int64 // length of the file
	info Info
	head []byte

	l1     []uint64 // offsets of the L2 tables, 0 for none
	plain  long[plainRun]
	packed long[packedCluster]
	used   bitmap // clusters that some data belongs to
	seen   []*watchedRegions
}

// plainRun is n clusters that lie together in the file and belong together on the disk. Numbers are clusters.
type plainRun struct{ host, guest, n uint32 }

// packedCluster is one compressed cluster: its L2 entry, in two halves to be 12 bytes, and where it belongs.
type packedCluster struct{ hi, lo, guest uint32 }

func (p packedCluster) entry() uint64 { return uint64(p.hi)<<32 | uint64(p.lo) }

// OpenQCOW2 reads the header, the first table and what the disk's first MiB is made of, and decides whether
// the image may be written. r reads the file at any place and file is its length. The errors are as
// NewDecoder's, or r's own.
func OpenQCOW2(r io.ReaderAt, file int64, o Options) (*QCOW2File, error) {
	q := &QCOW2File{r: &readAhead{r: r, size: file}, file: file}
	head := make([]byte, min(minRead, max(file, 0)))
	if err := q.r.read(head, 0); err != nil {
		return nil, err
	}
	if err := o.several(Formats(head)); err != nil {
		return nil, err
	}
	head = head[:min(qcow2HeaderRead, len(head))]
	var err error
	if q.qcow2Header, err = parseQCOW2Header(head); err != nil {
		return nil, err
	}
	q.watch(region{0, int64(len(head))}).Write(head)
	switch {
	case o.MaxSize > 0 && q.size > o.MaxSize:
		return nil, fault.New(fault.TooLarge, "The image needs %d bytes but the %s has %d.", q.size, o.place(), o.MaxSize)
	case file>>q.bits >= 1<<32:
		return nil, fault.New(fault.Invalid, "The qcow2 image of %d bytes is too large for clusters of %d bytes.", file, q.cluster())
	}
	if err := q.readL1(); err != nil {
		return nil, err
	}
	return q, q.inspect(o)
}

// Info says what the image is. Size is that of the disk.
func (q *QCOW2File) Info() Info { return q.info }

// Head is the disk's first MiB, or all of a smaller disk, as it was when OpenQCOW2 read it.
func (q *QCOW2File) Head() []byte { return q.head }

// Size is the size of the disk in the image, in bytes.
func (q *QCOW2File) Size() int64 { return q.size }

// watch begins to remember what was read at regions, so that Scatter can see that it is the same again.
func (q *QCOW2File) watch(regions ...region) io.Writer {
	w := &watchedRegions{regions: regions, first: sha256.New(), second: sha256.New()}
	q.seen = append(q.seen, w)
	return w.first
}

func (q *QCOW2File) readL1() error {
	raw := make([]byte, q.tables()*8)
	if q.l1Offset+int64(len(raw)) > q.file {
		return badQCOW2("its first table is past the end of the file")
	}
	if err := q.r.read(raw, q.l1Offset); err != nil {
		return err
	}
	q.watch(region{q.l1Offset, int64(len(raw))}).Write(raw)
	q.l1 = make([]uint64, q.tables())
	for i := range q.l1 {
		entry := binary.BigEndian.Uint64(raw[8*i:])
		at := entry & 0x00fffffffffffe00
		if entry&^(1<<63) != at || at%uint64(q.cluster()) != 0 || at > 1<<62 || at != 0 && int64(at)+q.cluster() > q.file {
			return badQCOW2("entry %d of its first table leads to byte %d", i, at)
		}
		q.l1[i] = at
	}
	return nil
}

// inspect judges the disk's first MiB.
func (q *QCOW2File) inspect(o Options) error {
	head := make([]byte, min(HeadSize, q.size))
	if err := q.readHead(head); err != nil {
		return err
	}
	if err := o.accept(QCOW2); err != nil {
		return err
	}
	o.Declared, o.inner = "", true
	info, err := Inspect(head, o)
	if err != nil {
		return err
	}
	if end, what := info.End(); end > q.size {
		return fault.New(fault.Invalid, "The image is cut short: its disk has %d bytes, its %s ends at byte %d.", q.size, what, end)
	}
	q.head = head
	q.info = Info{Format: QCOW2, Table: info.Table, Root: info.Root, Size: q.size}
	return nil
}

// readHead reads the start of the disk, cluster by cluster.
func (q *QCOW2File) readHead(head []byte) error {
	table, decode := make([]byte, q.cluster()), newClusterDecoder(q.qcow2Header)
	defer decode.close()
	loaded := uint64(0)
	whole, source := make([]byte, q.cluster()), []byte(nil)
	for at := int64(0); at < int64(len(head)); at += q.cluster() {
		guest := at >> q.bits
		l2 := q.l1[guest/q.perTable()]
		if l2 == 0 {
			continue
		}
		if l2 != loaded {
			if err := q.r.read(table, int64(l2)); err != nil {
				return err
			}
			loaded = l2
		}
		e, err := q.place(binary.BigEndian.Uint64(table[8*(guest%q.perTable()):]))
		if err != nil {
			return err
		}
		out := head[at:min(at+q.cluster(), int64(len(head)))]
		switch e.kind {
		case plainCluster:
			n := min(int64(len(out)), q.file-e.off)
			if err := q.r.read(out[:n], e.off); err != nil {
				return err
			}
		case compressedCluster:
			source = slices.Grow(source[:0], int(e.n))[:e.n]
			if err := q.r.read(source, e.off); err != nil {
				return err
			}
			if err := decode.cluster(whole, source); err != nil {
				return err
			}
			copy(out, whole)
		}
	}
	return nil
}

// The kinds of L2 entries.
const (
	zeroCluster = iota // reads as zeros, or was never written
	plainCluster
	compressedCluster
)

// extent is what an L2 entry means: n bytes of the file at off.
type extent struct {
	kind   int
	off, n int64
}

// place reads an L2 entry and sees that it lies within the file. Source: QEMU docs/interop/qcow2.txt,
// "Cluster mapping".
func (q *QCOW2File) place(entry uint64) (extent, error) {
	if entry>>62&1 == 1 {
		x := 62 - (q.bits - 8)
		off := int64(entry & (1<<x - 1))
		sectors := int64(entry>>x&(1<<(q.bits-8)-1)) + 1
		if off >= q.file || off < q.cluster() {
			return extent{}, badQCOW2("a compressed cluster is at byte %d of a file of %d", off, q.file)
		}
		return extent{compressedCluster, off, min(sectors*512-off%512, q.file-off)}, nil
	}
	off := int64(entry & 0x00fffffffffffe00)
	if entry&0x3f000000000001fe != 0 || off%q.cluster() != 0 || q.version < 3 && entry&1 != 0 {
		return extent{}, badQCOW2("a table has the entry %#x", entry)
	}
	if off == 0 || entry&1 != 0 {
		return extent{}, nil
	}
	if off >= q.file {
		return extent{}, badQCOW2("it is cut short, a cluster is at byte %d of a file of %d", off, q.file)
	}
	return extent{plainCluster, off, q.cluster()}, nil
}

// tableRef is an L2 table and which one it is for the disk. The same one may serve twice.
type tableRef struct {
	off   uint64
	index uint32
}

// tableRefs are the L2 tables in the order of the file.
func (q *QCOW2File) tableRefs() []tableRef {
	used := 0
	for _, off := range q.l1 {
		if off != 0 {
			used++
		}
	}
	refs := make([]tableRef, 0, used)
	for i, off := range q.l1 {
		if off != 0 {
			refs = append(refs, tableRef{off, uint32(i)})
		}
	}
	q.l1 = nil
	slices.SortFunc(refs, func(a, b tableRef) int { return cmp.Or(cmp.Compare(a.off, b.off), cmp.Compare(a.index, b.index)) })
	return refs
}

// Map reads the tables that say where every cluster belongs.
func (q *QCOW2File) Map() error {
	refs := q.tableRefs()
	regions := make([]region, 0, len(refs))
	for i, ref := range refs {
		if i == 0 || refs[i-1].off != ref.off {
			regions = append(regions, region{int64(ref.off), q.cluster()})
		}
	}
	sum := q.watch(regions...)
	q.used = newBitmap(q.clusters())
	table := make([]byte, q.cluster())
	for i, ref := range refs {
		if i == 0 || refs[i-1].off != ref.off {
			if err := q.r.read(table, int64(ref.off)); err != nil {
				return err
			}
			sum.Write(table)
		}
		if err := q.mapTable(table, int64(ref.index)*q.perTable()); err != nil {
			return err
		}
	}
	q.r.buf = nil
	q.plain.sort(func(a, b *plainRun) int { return cmp.Compare(a.host, b.host) })
	q.packed.sort(func(a, b *packedCluster) int {
		return cmp.Or(cmp.Compare(q.end(*a), q.end(*b)), cmp.Compare(a.entry(), b.entry()), cmp.Compare(a.guest, b.guest))
	})
	return q.checkShared()
}

// end is where a compressed cluster ends in the file.
func (q *QCOW2File) end(p packedCluster) int64 {
	e, _ := q.place(p.entry()) // it was placed before
	return e.off + e.n
}

// mapTable notes where the clusters of one L2 table belong. first is the first of them.
func (q *QCOW2File) mapTable(table []byte, first int64) error {
	for i := range min(q.perTable(), q.clusters()-first) {
		entry := binary.BigEndian.Uint64(table[8*i:])
		e, err := q.place(entry)
		if err != nil {
			return err
		}
		guest := uint32(first + i)
		switch e.kind {
		case zeroCluster:
			continue
		case plainCluster:
			host := uint32(e.off >> q.bits)
			if last := q.plain.last(); last != nil && last.host+last.n == host && last.guest+last.n == guest {
				last.n++
			} else {
				q.plain.add(plainRun{host, guest, 1})
			}
		case compressedCluster:
			q.packed.add(packedCluster{uint32(entry >> 32), uint32(entry), guest})
		}
		q.used.set(int64(guest))
		if 12*(q.plain.n+q.packed.n) > maxMap {
			return fault.New(fault.Invalid, "The qcow2 image has too many clusters to be written in bounded memory: "+
				"convert it with \"qemu-img convert -O qcow2 -o cluster_size=2M\", or give it as raw compressed with zstd.")
		}
	}
	return nil
}

// Holes gives the ranges of the disk that the image has no data for, as offset and length in bytes. They must
// read as zeros.
func (q *QCOW2File) Holes() iter.Seq2[int64, int64] {
	return func(yield func(int64, int64) bool) {
		for at := int64(0); at < q.clusters(); {
			from := q.used.next(at, q.clusters(), false)
			to := q.used.next(from, q.clusters(), true)
			if from < to && !yield(from<<q.bits, min(to<<q.bits, q.size)-from<<q.bits) {
				return
			}
			at = to
		}
	}
}

// bitmap is one bit for each cluster.
type bitmap []uint64

func newBitmap(n int64) bitmap { return make(bitmap, (n+63)/64) }

func (b bitmap) set(i int64) { b[i/64] |= 1 << (i % 64) }

// next is the first place from at on, below end, where the bit is as wanted; end if there is none.
func (b bitmap) next(at, end int64, want bool) int64 {
	skip := ^uint64(0)
	if want {
		skip = 0
	}
	for at < end {
		if at%64 == 0 && b[at/64] == skip {
			at += 64
			continue
		}
		if (b[at/64]>>(at%64)&1 == 1) == want {
			return at
		}
		at++
	}
	return end
}

// readAhead reads a file in pieces of at least minRead and keeps the last.
type readAhead struct {
	r    io.ReaderAt
	size int64
	buf  []byte
	off  int64
}

// read fills p. What is not within the file is the image's fault.
func (a *readAhead) read(p []byte, off int64) error {
	if off < 0 || off+int64(len(p)) > a.size {
		return badQCOW2("it points to byte %d of a file of %d", off+int64(len(p)), a.size)
	}
	if off >= a.off && off+int64(len(p)) <= a.off+int64(len(a.buf)) {
		copy(p, a.buf[off-a.off:])
		return nil
	}
	n := min(max(int64(len(p)), minRead), a.size-off)
	a.buf, a.off = slices.Grow(a.buf[:0], int(n))[:n], off
	if m, err := a.r.ReadAt(a.buf, off); int64(m) < n {
		a.buf = a.buf[:0]
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	copy(p, a.buf)
	return nil
}
