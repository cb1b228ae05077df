package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds and kinds of VDI. Source: VirtualBox VDICore.h.
const (
	vdiHeader    = 0x1c8
	maxVDIBlocks = 8 << 20 // of 1 MiB each in a disk of 8 TiB

	vdiGrowing, vdiFixed, vdiUndo, vdiDifferencing = 1, 2, 3, 4
)

// checkVDI judges a VirtualBox disk.
func checkVDI(v *view) error {
	b, err := v.bytes(0, vdiHeader)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	version, length, kind, flags := le.Uint32(b[0x44:]), le.Uint32(b[0x48:]), le.Uint32(b[0x4c:]), le.Uint32(b[0x50:])
	switch {
	case version != 0x10001:
		return fmt.Errorf("its version %#x is not known", version)
	case length < 0x180 || length > 4096:
		return fmt.Errorf("it claims a header of %d bytes", length)
	case kind == vdiUndo || kind == vdiDifferencing || len(bytes.Trim(b[0x1b8:0x1c8], "\x00")) != 0:
		return errors.New("it needs a second file, its parent: it is a differencing disk")
	case kind != vdiGrowing && kind != vdiFixed:
		return fmt.Errorf("it is of a kind that is not known here (%d)", kind)
	case flags != 0:
		return fmt.Errorf("it needs features that are not known here (flags %#x)", flags)
	}
	blocksAt, dataAt, sector := uint64(le.Uint32(b[0x154:])), uint64(le.Uint32(b[0x158:])), le.Uint32(b[0x168:])
	size, block, extra := le.Uint64(b[0x170:]), uint64(le.Uint32(b[0x178:])), le.Uint32(b[0x17c:])
	blocks, used := uint64(le.Uint32(b[0x180:])), uint64(le.Uint32(b[0x184:]))
	switch {
	case sector != 512 || extra != 0:
		return fmt.Errorf("it claims sectors of %d bytes with %d more beside each block", sector, extra)
	case block < 4096 || block > 256<<20 || block&(block-1) != 0:
		return fmt.Errorf("its blocks claim %d bytes", block)
	case size == 0 || size > 1<<50 || blocks > maxVDIBlocks:
		return fmt.Errorf("its tables are too large: %d blocks for a disk of %d bytes", blocks, size)
	case blocks*block < size || used > blocks:
		return fmt.Errorf("it has %d blocks of %d bytes, %d of them used, for a disk of %d bytes", blocks, block, used, size)
	case blocksAt < uint64(0x48+length) || !v.holds(blocksAt, blocks*4):
		return fmt.Errorf("its table of blocks is at byte %d, which cannot be", blocksAt)
	case dataAt < blocksAt+blocks*4 || !v.holds(dataAt, used*block):
		return fmt.Errorf("its data is at byte %d and cannot be within the file", dataAt)
	}
	return nil
}
