package imagetest

import (
	"encoding/binary"
	"slices"

	"ingot/internal/image"
)

// Hostile is a file that tries something, and what must come of it.
type Hostile struct {
	Name      string        // what it tries
	Make      func() []byte // the file, or its start
	Size      int64         // of the file, if it is longer than what Make gives: zeros follow
	Declared  string
	Partition bool
	Max       int64 // of the disk; 0: 16 MiB
	// Says is what the refusal must say; none: the file is read, and that is safe.
	Says []string
	// Reading says that it is refused only while it is read, as only that shows what it is; Whole, that only a look at the whole
	// file shows it, and a reader of a stream has to compare its length.
	Reading, Whole bool
}

// Limit is the size of the disk the file is for.
func (h Hostile) Limit() int64 {
	if h.Max == 0 {
		return 16 << 20
	}
	return h.Max
}

// Corpus is every hostile file.
func Corpus() []Hostile {
	return slices.Concat(hostileVMDK(), hostileVHD(), hostileVHDX(), hostileVDI(), hostileLUKS(), hostileISO(), hostileTables(), hostileQCOW2(), polyglots(), packed(), unknowns())
}

var le, be = binary.LittleEndian, binary.BigEndian

// DiskSize is the size of the disks in the corpus.
const DiskSize = 4 << 20

// Disk is a small disk with a GPT.
func Disk() []byte {
	disk := make([]byte, DiskSize)
	for i := range 1 << 20 {
		disk[2<<20+i] = byte(i * 7 >> 3)
	}
	GPT(disk, 512, Part{Type: image.TypeESP, First: 2048, Last: 4095, Name: "esp"}, Part{Type: image.TypeLinuxRoot, First: 4096, Last: 6143, Name: "root"})
	return disk
}

// small is a disk of 64 KiB with an MBR.
func small() []byte {
	disk := make([]byte, 64<<10)
	MBR(disk, 7, Slot{Type: 0x83, First: 1, Size: 100})
	copy(disk[512:], "some content")
	return disk
}

// changed is a file of make with something changed.
func changed(make func() []byte, change func(b []byte)) func() []byte {
	return func() []byte {
		b := make()
		change(b)
		return b
	}
}

// with is a file of make with other bytes at an offset.
func with(make func() []byte, off int, other string) func() []byte {
	return changed(make, func(b []byte) { copy(b[off:], other) })
}

// cut is the first n bytes of a file.
func cut(make func() []byte, n int) func() []byte { return func() []byte { return make()[:n] } }

// text is a file of text.
func text(s string) func() []byte { return func() []byte { return []byte(s) } }

// filled is n zeros with something at an offset.
func filled(n, off int, s string) func() []byte {
	return with(func() []byte { return make([]byte, n) }, off, s)
}

// longer is a file with more behind it.
func longer(make func() []byte, more string) func() []byte {
	return func() []byte { return append(make(), more...) }
}

func put16(off int, v uint16) func([]byte) { return func(b []byte) { le.PutUint16(b[off:], v) } }
func put32(off int, v uint32) func([]byte) { return func(b []byte) { le.PutUint32(b[off:], v) } }
func put64(off int, v uint64) func([]byte) { return func(b []byte) { le.PutUint64(b[off:], v) } }
func big32(off int, v uint32) func([]byte) { return func(b []byte) { be.PutUint32(b[off:], v) } }
func big64(off int, v uint64) func([]byte) { return func(b []byte) { be.PutUint64(b[off:], v) } }
