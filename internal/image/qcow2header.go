package image

import (
	"encoding/binary"

	"ingot/internal/fault"
)

// Bounds on a qcow2's own numbers. Memory and time of reading one follow from them, whatever it claims.
const (
	qcow2HeaderRead = 512 // of the file: every field we look at, in versions 2 and 3

	minClusterBits = 9 // QEMU's own bounds
	maxClusterBits = 21

	// maxGuestClusters bounds the bitmap of what is allocated to 32 MiB: 16 TiB in clusters of 64 KiB.
	maxGuestClusters = 1 << 28
	// maxL1 bounds the first table to 8 MiB; 64 KiB clusters need no more than 32,768 entries for 16 TiB.
	maxL1 = 1 << 20
)

// Bits of the header's incompatible features. Source: QEMU docs/interop/qcow2.txt.
const (
	qcow2Dirty    = 1 << 0
	qcow2Corrupt  = 1 << 1
	qcow2DataFile = 1 << 2
	qcow2Codec    = 1 << 3
	qcow2Extended = 1 << 4
)

// qcow2Header is what we need of a header.
type qcow2Header struct {
	version  uint32
	bits     uint  // a cluster has 1<<bits bytes
	size     int64 // of the disk, in bytes
	l1Offset int64
	l1Size   uint32
	zstd     bool // how compressed clusters are compressed; else deflate
}

func (h qcow2Header) cluster() int64 { return 1 << h.bits }

// perTable is how many clusters one L2 table maps.
func (h qcow2Header) perTable() int64 { return h.cluster() / 8 }

// clusters is how many clusters the disk has, the last maybe in part.
func (h qcow2Header) clusters() int64 { return (h.size + h.cluster() - 1) >> h.bits }

// tables is how many L2 tables the disk has room for.
func (h qcow2Header) tables() int64 { return (h.clusters() + h.perTable() - 1) / h.perTable() }

// badQCOW2 is a refusal of a file that contradicts its own format.
func badQCOW2(format string, args ...any) error {
	return fault.New(fault.Invalid, "The qcow2 image is damaged: "+format+".", args...)
}

// parseQCOW2Header reads and judges the first bytes of a qcow2 file.
func parseQCOW2Header(b []byte) (qcow2Header, error) {
	be := binary.BigEndian
	if len(b) < 72 || Detect(b) != QCOW2 {
		return qcow2Header{}, badQCOW2("its header is cut short")
	}
	h := qcow2Header{version: be.Uint32(b[4:]), bits: uint(be.Uint32(b[20:])), l1Size: be.Uint32(b[36:])}
	if h.version != 2 && h.version != 3 {
		return h, fault.New(fault.Invalid, "The image is qcow2 of version %d, which is not supported: %s.", h.version, toRaw)
	}
	if err := h.features(b); err != nil {
		return h, err
	}
	size, l1 := be.Uint64(b[24:]), be.Uint64(b[40:])
	switch {
	case be.Uint64(b[8:]) != 0:
		return h, fault.New(fault.Invalid, "The qcow2 image needs a second file, its backing file: merge them with \"qemu-img convert -O qcow2\" or \"qemu-img rebase -b ''\".")
	case be.Uint32(b[32:]) != 0:
		return h, fault.New(fault.Invalid, "The qcow2 image is encrypted: decrypt it with \"qemu-img convert\".")
	case h.bits < minClusterBits || h.bits > maxClusterBits:
		return h, badQCOW2("it claims clusters of 2^%d bytes", h.bits)
	case size == 0 || size%512 != 0 || size >= 1<<62:
		return h, badQCOW2("it claims a disk of %d bytes", size)
	case l1 == 0 || l1%uint64(h.cluster()) != 0 || l1 >= 1<<62:
		return h, badQCOW2("its first table is at byte %d, not at the start of a cluster", l1)
	}
	h.size, h.l1Offset = int64(size), int64(l1)
	if h.clusters() > maxGuestClusters || h.tables() > maxL1 {
		return h, fault.New(fault.Invalid, "The qcow2 image has clusters of %d bytes, too small for a disk of %d bytes: "+
			"convert it with \"qemu-img convert -O qcow2 -o cluster_size=2M\".", h.cluster(), h.size)
	}
	if int64(h.l1Size) < h.tables() {
		return h, badQCOW2("its first table has %d entries, but a disk of %d bytes needs %d", h.l1Size, h.size, h.tables())
	}
	return h, nil
}

// features judges what only version 3 has: feature bits and the kind of compression.
func (h *qcow2Header) features(b []byte) error {
	if h.version < 3 {
		return nil
	}
	if len(b) < 104 {
		return badQCOW2("its header is cut short")
	}
	bits, length := binary.BigEndian.Uint64(b[72:]), binary.BigEndian.Uint32(b[100:])
	switch {
	case bits&qcow2DataFile != 0:
		return fault.New(fault.Invalid, "The qcow2 image keeps its data in a second file: put it into one with \"qemu-img convert -O qcow2\".")
	case bits&qcow2Extended != 0:
		return fault.New(fault.Invalid, "The qcow2 image has extended L2 entries (subclusters), which are not supported: convert it with \"qemu-img convert -O qcow2\".")
	case bits&^(qcow2Dirty|qcow2Corrupt|qcow2DataFile|qcow2Codec|qcow2Extended) != 0:
		return fault.New(fault.Invalid, "The qcow2 image needs features that are not known here (bits %#x): convert it with \"qemu-img convert -O qcow2\".", bits)
	case bits&qcow2Corrupt != 0:
		return fault.New(fault.Invalid, "The qcow2 image is marked as corrupt: repair it with \"qemu-img check -r all\", or make it anew.")
	case bits&qcow2Dirty != 0:
		return fault.New(fault.Invalid, "The qcow2 image was not closed properly, or is in use: repair it with \"qemu-img check -r all\".")
	case length < 104 || length%8 != 0:
		return badQCOW2("it claims a header of %d bytes", length)
	}
	kind := byte(0)
	if length > 104 && len(b) > 104 {
		kind = b[104]
	}
	switch {
	case kind > 1:
		return fault.New(fault.Invalid, "The qcow2 image is compressed in a way that is not known here (%d): convert it with \"qemu-img convert -c -O qcow2\".", kind)
	case (kind != 0) != (bits&qcow2Codec != 0):
		return badQCOW2("its header contradicts itself about how it is compressed")
	}
	h.zstd = kind == 1
	return nil
}
