package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds of VHD. Source: Microsoft's Virtual Hard Disk Image Format Specification 1.0.
const (
	vhdFooter    = 512
	vhdDynamic   = 1024
	maxVHDBlocks = 4 << 20 // of 2 MiB each in a disk of 8 TiB

	vhdFixed, vhdGrowing, vhdDifferencing = 2, 3, 4
)

// checkVHD judges a Virtual PC disk: a growing one, which starts with a copy of its footer, or a fixed one, which is raw with the
// footer behind it.
func checkVHD(v *view) error {
	at := int64(0)
	b, err := v.bytes(0, vhdFooter)
	if err == nil && string(b[:8]) != "conectix" {
		at = v.size - vhdFooter
		b, err = v.bytes(at, vhdFooter)
	}
	if err != nil {
		return err
	}
	be := binary.BigEndian
	if string(b[:8]) != "conectix" || be.Uint32(b[64:]) != vhdSum(b, 64) {
		return errors.New("the checksum of its footer is wrong")
	}
	kind, version, size := be.Uint32(b[60:]), be.Uint32(b[12:]), be.Uint64(b[48:])
	switch {
	case version>>16 != 1:
		return fmt.Errorf("its version %#x is not known", version)
	case b[84] != 0:
		return errors.New("it is that of a machine that was suspended")
	case size == 0 || size%512 != 0 || size > 1<<50:
		return fmt.Errorf("it claims a disk of %d bytes", size)
	case kind == vhdDifferencing:
		return errors.New("it needs a second file, its parent: it is a differencing disk")
	case kind == vhdFixed && at == 0 && v.size > vhdFooter:
		return errors.New("it says that it is fixed, and starts with a footer")
	case kind == vhdFixed && int64(size) != v.size-vhdFooter && !v.cut:
		return fmt.Errorf("it claims a disk of %d bytes, and has %d", size, v.size-vhdFooter)
	case kind == vhdFixed:
		return nil
	case kind != vhdGrowing:
		return fmt.Errorf("it is of a kind that is not known here (%d)", kind)
	}
	return checkVHDGrowing(v, be.Uint64(b[16:]), size)
}

// vhdSum is a header's checksum, taken with its own four bytes left out.
func vhdSum(b []byte, field int) uint32 {
	var sum uint32
	for i, c := range b {
		if i < field || i >= field+4 {
			sum += uint32(c)
		}
	}
	return ^sum
}

// checkVHDGrowing judges the header of a growing disk, which says where its blocks are.
func checkVHDGrowing(v *view, at, size uint64) error {
	if at > 1<<50 {
		return errors.New("its second header is past the end of the file")
	}
	b, err := v.bytes(int64(at), vhdDynamic)
	if err != nil {
		return err
	}
	be := binary.BigEndian
	if string(b[:8]) != "cxsparse" || be.Uint32(b[36:]) != vhdSum(b, 36) {
		return errors.New("its second header is damaged")
	}
	table, entries, block := be.Uint64(b[16:]), uint64(be.Uint32(b[28:])), uint64(be.Uint32(b[32:]))
	switch {
	case len(bytes.Trim(b[40:64], "\x00")) != 0 || len(bytes.Trim(b[64:768], "\x00")) != 0:
		return errors.New("it names a second file, its parent")
	case block < 4096 || block > 256<<20 || block&(block-1) != 0:
		return fmt.Errorf("its blocks claim %d bytes", block)
	case entries > maxVHDBlocks:
		return fmt.Errorf("its tables are too large: %d entries", entries)
	case entries*block < size:
		return fmt.Errorf("its table has %d entries, too few for a disk of %d bytes", entries, size)
	case table > 1<<50 || !v.holds(table, entries*4):
		return fmt.Errorf("its table is at byte %d, past the end of the file", table)
	}
	return nil
}
