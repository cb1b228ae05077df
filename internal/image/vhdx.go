package image

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Bounds of VHDX. Source: MS-VHDX 2.2 and 2.6.
const (
	vhdxTable    = 64 << 10
	vhdxEntries  = 2047
	vhdxEntry    = 32
	vhdxMostSize = 64 << 40
)

// The regions and metadata items that are known. Source: MS-VHDX 2.2.3.2, 2.6.2.
var (
	vhdxBAT      = MustGUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
	vhdxMetadata = MustGUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
	vhdxFile     = MustGUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
	vhdxSize     = MustGUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
	vhdxPage83   = MustGUID("beca12ab-b2e6-4523-93ef-c309e000c746")
	vhdxLogical  = MustGUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
	vhdxPhysical = MustGUID("cda348c7-445d-4471-9cc9-e9885251c556")
	vhdxParent   = MustGUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checkVHDX judges a Hyper-V disk.
func checkVHDX(v *view) error {
	if err := checkVHDXHeaders(v); err != nil {
		return err
	}
	regions, err := vhdxRegions(v)
	if err != nil {
		return err
	}
	meta, ok := regions[vhdxMetadata]
	if _, bat := regions[vhdxBAT]; !ok || !bat {
		return errors.New("its table of regions lacks one that every disk has")
	}
	return checkVHDXMetadata(v, meta, regions[vhdxBAT])
}

// checkVHDXHeaders wants a header that is whole, and no journal that would have to be played back.
func checkVHDXHeaders(v *view) error {
	best, log := uint64(0), false
	found := false
	for _, at := range []int64{64 << 10, 128 << 10} {
		b, err := v.bytes(at, 4096)
		if err != nil {
			return err
		}
		sum := binary.LittleEndian.Uint32(b[4:])
		clear(b[4:8])
		if string(b[:4]) != "head" || crc32.Checksum(b, castagnoli) != sum {
			continue
		}
		if n := binary.LittleEndian.Uint64(b[8:]); !found || n > best {
			best, log = n, len(bytes.Trim(b[48:64], "\x00")) != 0
		}
		found = true
	}
	switch {
	case !found:
		return errors.New("neither of its headers is whole")
	case log:
		return errors.New("it was not closed properly: its journal would have to be played back")
	}
	return nil
}

// vhdxRegion is a part of the file.
type vhdxRegion struct{ off, n uint64 }

func vhdxRegions(v *view) (map[GUID]vhdxRegion, error) {
	le := binary.LittleEndian
	b, err := v.bytes(192<<10, vhdxTable)
	if err != nil {
		return nil, err
	}
	sum, count := le.Uint32(b[4:]), le.Uint32(b[8:])
	clear(b[4:8])
	switch {
	case string(b[:4]) != "regi":
		return nil, errors.New("its table of regions is missing")
	case count > vhdxEntries:
		return nil, fmt.Errorf("its table of regions claims %d entries", count)
	case crc32.Checksum(b, castagnoli) != sum:
		return nil, errors.New("the checksum of its table of regions is wrong")
	}
	found := map[GUID]vhdxRegion{}
	for i := range int(count) {
		e := b[16+vhdxEntry*i:]
		id, r := GUID(e[:16]), vhdxRegion{le.Uint64(e[16:]), uint64(le.Uint32(e[24:]))}
		if id != vhdxBAT && id != vhdxMetadata {
			if le.Uint32(e[28:])&1 != 0 {
				return nil, fmt.Errorf("it needs a region that is not known here (%s)", id)
			}
			continue
		}
		if _, twice := found[id]; twice {
			return nil, fmt.Errorf("its region %s is there twice", id)
		}
		if r.off < 1<<20 || r.off%(1<<20) != 0 || r.n == 0 || r.off > 1<<50 || !v.holds(r.off, r.n) {
			return nil, fmt.Errorf("its region %s is at byte %d, which cannot be", id, r.off)
		}
		found[id] = r
	}
	return found, nil
}

// checkVHDXMetadata reads what the disk is: how large, in which blocks, and whether it has a parent.
func checkVHDXMetadata(v *view, meta, bat vhdxRegion) error {
	le := binary.LittleEndian
	if meta.n < vhdxTable {
		return fmt.Errorf("its metadata has %d bytes only", meta.n)
	}
	b, err := v.bytes(int64(meta.off), vhdxTable)
	if err != nil {
		return err
	}
	count := int(le.Uint16(b[10:]))
	if string(b[:8]) != "metadata" || count > vhdxEntries {
		return fmt.Errorf("its table of metadata is damaged, or claims too many entries (%d)", count)
	}
	items := map[GUID][]byte{}
	for i := range count {
		e := b[32+vhdxEntry*i:]
		id, off, n, flags := GUID(e[:16]), uint64(le.Uint32(e[16:])), uint64(le.Uint32(e[20:])), le.Uint32(e[24:])
		switch id {
		case vhdxParent:
			return errors.New("it names a second file, its parent")
		case vhdxFile, vhdxSize:
			if off < vhdxTable || n < 8 || off+n > meta.n || items[id] != nil {
				return fmt.Errorf("its metadata item %s is damaged", id)
			}
			if items[id], err = v.bytes(int64(meta.off+off), 8); err != nil {
				return err
			}
		case vhdxPage83, vhdxLogical, vhdxPhysical:
		default:
			if flags&4 != 0 {
				return fmt.Errorf("it needs metadata that is not known here (%s)", id)
			}
		}
	}
	if items[vhdxFile] == nil || items[vhdxSize] == nil {
		return errors.New("its metadata does not say how large the disk is")
	}
	return vhdxFits(items, bat)
}

func vhdxFits(items map[GUID][]byte, bat vhdxRegion) error {
	le := binary.LittleEndian
	block, flags, size := uint64(le.Uint32(items[vhdxFile])), le.Uint32(items[vhdxFile][4:]), le.Uint64(items[vhdxSize])
	switch {
	case flags&2 != 0:
		return errors.New("it needs a second file, its parent: it is a differencing disk")
	case flags&^3 != 0:
		return fmt.Errorf("it needs features that are not known here (flags %#x)", flags)
	case block < 1<<20 || block > 256<<20 || block&(block-1) != 0:
		return fmt.Errorf("its blocks claim %d bytes", block)
	case size == 0 || size%512 != 0 || size > vhdxMostSize:
		return fmt.Errorf("it claims a disk of %d bytes", size)
	case (size+block-1)/block*8 > bat.n:
		return fmt.Errorf("its table of blocks has %d bytes, too few for a disk of %d bytes", bat.n, size)
	}
	return nil
}
