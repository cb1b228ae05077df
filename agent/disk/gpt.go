package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"unicode/utf16"

	"ingot/internal/image"
)

// gptEdit changes a GUID partition table in memory: in the first MiB of a disk, where image.ParseTable has
// found it whole. It is stretched over the disk at once; seal makes the checksums right.
type gptEdit struct {
	head  []byte
	h     image.GPTHeader
	array []byte // a part of head
	last  uint64 // last sector of the disk
}

var le = binary.LittleEndian

// editGPT takes the table in head for a disk of size bytes. It fails if the table is damaged or if a
// partition would overlap the backup table at the disk's end.
func editGPT(head []byte, sectorSize, size int64) (*gptEdit, error) {
	if int64(len(head)) < 2*sectorSize {
		return nil, errors.New("there is no room for a GPT")
	}
	h, err := image.ParseGPTHeader(head[sectorSize:2*sectorSize], sectorSize)
	if err != nil {
		return nil, err
	}
	array, err := h.Entries(head)
	if err != nil {
		return nil, err
	}
	g := &gptEdit{head: head, h: h, array: array, last: uint64(size/sectorSize) - 1}
	if g.last < 2*g.arraySectors()+4 {
		return nil, errors.New("the disk is too small for a GPT")
	}
	for i := range int(h.Count) {
		e := g.entry(i)
		if used(e) && le.Uint64(e[40:]) > g.lastUsable() {
			return nil, fmt.Errorf("partition %d ends at sector %d, the last usable of this disk is %d", i+1, le.Uint64(e[40:]), g.lastUsable())
		}
	}
	return g, nil
}

func used(entry []byte) bool { return image.GUID(entry[:16]) != image.GUID{} }

func (g *gptEdit) entry(i int) []byte {
	return g.array[i*int(g.h.EntrySize) : (i+1)*int(g.h.EntrySize)]
}

func (g *gptEdit) arraySectors() uint64 {
	return uint64(alignUp(g.h.ArraySize(), g.h.SectorSize) / g.h.SectorSize)
}

// lastUsable is the sector before the backup entries, which end before the backup header.
func (g *gptEdit) lastUsable() uint64 { return g.last - g.arraySectors() - 1 }

// end is the first byte that partitions may not use.
func (g *gptEdit) end() int64 { return int64(g.lastUsable()+1) * g.h.SectorSize }

// add makes a partition in the first free entry. start and size are bytes and whole sectors.
func (g *gptEdit) add(kind, id image.GUID, start, size int64, name string) (int, error) {
	for i := range int(g.h.Count) {
		e := g.entry(i)
		if used(e) {
			continue
		}
		clear(e)
		copy(e, kind[:])
		copy(e[16:], id[:])
		le.PutUint64(e[32:], uint64(start/g.h.SectorSize))
		le.PutUint64(e[40:], uint64((start+size)/g.h.SectorSize)-1)
		for j, u := range utf16.Encode([]rune(name)) {
			le.PutUint16(e[56+2*j:], u)
		}
		return i + 1, nil
	}
	return 0, fmt.Errorf("all %d entries of the GPT are used", g.h.Count)
}

// seal finishes the primary table in head and gives the backup, entries then header, with the byte of the
// disk it starts at. The protective MBR is made to cover the disk.
func (g *gptEdit) seal() (backup []byte, at int64) {
	ss := g.h.SectorSize
	primary := g.head[ss : 2*ss]
	size := le.Uint32(primary[12:])
	le.PutUint64(primary[32:], g.last)
	le.PutUint64(primary[48:], g.lastUsable())
	le.PutUint32(primary[88:], crc32.ChecksumIEEE(g.array))

	backup = make([]byte, int64(g.arraySectors()+1)*ss)
	copy(backup, g.array)
	header := backup[int64(g.arraySectors())*ss:]
	copy(header, primary)
	le.PutUint64(header[24:], g.last)
	le.PutUint64(header[32:], 1)
	le.PutUint64(header[72:], g.last-g.arraySectors())

	le.PutUint32(primary[16:], image.HeaderCRC(primary[:size]))
	le.PutUint32(header[16:], image.HeaderCRC(header[:size]))
	g.protect()
	return backup, int64(g.last-g.arraySectors()) * ss
}

// protect sets the size of the protective MBR entry (UEFI 2.10, 5.2.3): the disk less its first sector,
// as far as 32 bits go.
func (g *gptEdit) protect() {
	for i := range 4 {
		e := g.head[446+16*i : 446+16*(i+1)]
		if e[4] == 0xee {
			le.PutUint32(e[12:], uint32(min(g.last, 0xffffffff)))
		}
	}
}
