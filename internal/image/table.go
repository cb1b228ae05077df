package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sort"
	"unicode/utf16"
)

// The kinds of partition table.
const (
	GPT = "gpt"
	MBR = "mbr"
)

// Bounds on a GPT, so that a stranger's numbers cannot make us allocate or overflow. UEFI 2.10 asks for
// entries of 128·2^n bytes; everything must lie inside the head.
const (
	gptHeaderSize = 92
	maxEntrySize  = 4096
	maxEntries    = 4096
)

// Table is a partition table as it was read. Offsets and sizes are bytes, ready to use with ReadAt.
type Table struct {
	Kind       string // GPT or MBR
	SectorSize int64  // the sector size the table was made for: 512 or 4096; always 512 for MBR
	ID         string // GPT: the disk's GUID; MBR: the disk signature as 0x%08x
	Partitions []Partition
}

// Partition is one used entry.
type Partition struct {
	Number int    // slot, from 1: the N of sdaN
	Start  int64  // bytes
	Size   int64  // bytes
	Type   string // GPT: type GUID; MBR: type as 0x%02x
	UUID   string // what the kernel calls PARTUUID: the entry's GUID, or <signature>-<number>
	Name   string // GPT only
}

// End is the first byte after the partition.
func (p Partition) End() int64 { return p.Start + p.Size }

// IsESP tells an EFI system partition.
func (p Partition) IsESP() bool { return p.Type == TypeESP.String() || p.Type == "0xef" }

// End is the first byte after the last partition: the least size of a disk that holds them all.
func (t *Table) End() int64 {
	var end int64
	for _, p := range t.Partitions {
		end = max(end, p.End())
	}
	return end
}

// ParseTable reads the partition table at the start of a disk. head is the first HeadSize bytes, or the
// whole disk if that is less. The error is a plain sentence about what is wrong with the table.
func ParseTable(head []byte) (*Table, error) {
	if !isBootSector(head) {
		return nil, errors.New("it does not start with a boot sector (55 AA at byte 510)")
	}
	entries, err := parseMBREntries(head)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.kind == 0xee {
			return parseGPT(head, entries)
		}
	}
	return parseMBR(head, entries)
}

// mbrEntry is one used slot of a master boot record, in sectors.
type mbrEntry struct {
	slot        int
	kind        byte
	start, size uint32
}

func parseMBREntries(head []byte) ([]mbrEntry, error) {
	var used []mbrEntry
	for i := range 4 {
		raw := head[446+16*i : 446+16*(i+1)]
		e := mbrEntry{i + 1, raw[4], binary.LittleEndian.Uint32(raw[8:]), binary.LittleEndian.Uint32(raw[12:])}
		if raw[0] != 0 && raw[0] != 0x80 {
			return nil, fmt.Errorf("the boot flag of MBR entry %d is %#02x, neither 00 nor 80", i+1, raw[0])
		}
		if e.kind == 0 {
			continue
		}
		if e.start == 0 || e.size == 0 {
			return nil, fmt.Errorf("MBR entry %d has no start or no size", i+1)
		}
		used = append(used, e)
	}
	return used, nil
}

func parseMBR(head []byte, entries []mbrEntry) (*Table, error) {
	sig := binary.LittleEndian.Uint32(head[440:])
	t := &Table{Kind: MBR, SectorSize: 512, ID: fmt.Sprintf("0x%08x", sig)}
	for _, e := range entries {
		t.Partitions = append(t.Partitions, Partition{Number: e.slot, Start: int64(e.start) * 512, Size: int64(e.size) * 512,
			Type: fmt.Sprintf("0x%02x", e.kind), UUID: fmt.Sprintf("%08x-%02x", sig, e.slot)})
	}
	return t, t.check()
}

// parseGPT reads the primary header, at LBA 1 of whichever sector size has one there.
func parseGPT(head []byte, mbr []mbrEntry) (*Table, error) {
	if len(mbr) != 1 || mbr[0].start != 1 {
		return nil, errors.New("its MBR is a hybrid (a protective entry beside others, or not at sector 1)")
	}
	for _, ss := range []int64{512, 4096} {
		if int64(len(head)) >= 2*ss && string(head[ss:ss+8]) == "EFI PART" {
			return parseGPTAt(head, ss)
		}
	}
	return nil, errors.New("it has a protective MBR but no GPT header")
}

func parseGPTAt(head []byte, ss int64) (*Table, error) {
	h, err := ParseGPTHeader(head[ss:2*ss], ss)
	if err != nil {
		return nil, err
	}
	if h.MyLBA != 1 {
		return nil, fmt.Errorf("the GPT header says it is at sector %d, not 1", h.MyLBA)
	}
	array, err := h.Entries(head)
	if err != nil {
		return nil, err
	}
	t := &Table{Kind: GPT, SectorSize: ss, ID: h.Disk.String()}
	for i := range int(h.Count) {
		p, used, err := parseGPTEntry(array[i*int(h.EntrySize):], i+1, h)
		if err != nil {
			return nil, err
		}
		if used {
			t.Partitions = append(t.Partitions, p)
		}
	}
	return t, t.check()
}

// GPTHeader is the header of a GUID partition table (UEFI 2.10, 5.3.2). LBAs are in sectors of SectorSize.
type GPTHeader struct {
	SectorSize                                      int64
	MyLBA, OtherLBA, FirstUsable, LastUsable, Array uint64
	Count, EntrySize, ArrayCRC                      uint32
	Disk                                            GUID
}

// ParseGPTHeader reads and checks a header from its sector, including its checksum.
func ParseGPTHeader(sector []byte, sectorSize int64) (GPTHeader, error) {
	le := binary.LittleEndian
	if len(sector) < 512 || string(sector[:8]) != "EFI PART" {
		return GPTHeader{}, errors.New("there is no GPT header")
	}
	size := le.Uint32(sector[12:])
	if size < gptHeaderSize || int64(size) > int64(len(sector)) {
		return GPTHeader{}, fmt.Errorf("the GPT header claims a size of %d bytes", size)
	}
	if want, got := le.Uint32(sector[16:]), HeaderCRC(sector[:size]); want != got {
		return GPTHeader{}, errors.New("the checksum of the GPT header is wrong")
	}
	h := GPTHeader{SectorSize: sectorSize, MyLBA: le.Uint64(sector[24:]), OtherLBA: le.Uint64(sector[32:]),
		FirstUsable: le.Uint64(sector[40:]), LastUsable: le.Uint64(sector[48:]), Array: le.Uint64(sector[72:]),
		Count: le.Uint32(sector[80:]), EntrySize: le.Uint32(sector[84:]), ArrayCRC: le.Uint32(sector[88:]),
		Disk: GUID(sector[56:72])}
	if h.EntrySize < 128 || h.EntrySize > maxEntrySize || h.EntrySize&(h.EntrySize-1) != 0 || h.Count == 0 || h.Count > maxEntries {
		return GPTHeader{}, fmt.Errorf("the GPT claims %d entries of %d bytes", h.Count, h.EntrySize)
	}
	if limit := uint64(1<<62) / uint64(sectorSize); h.FirstUsable > h.LastUsable || h.LastUsable > limit || h.OtherLBA > limit {
		return GPTHeader{}, errors.New("the usable range in the GPT header makes no sense")
	}
	return h, nil
}

// HeaderCRC is the checksum of a GPT header, taken with its own field as zero.
func HeaderCRC(header []byte) uint32 {
	c := crc32.NewIEEE()
	c.Write(header[:16])
	c.Write(make([]byte, 4))
	c.Write(header[20:])
	return c.Sum32()
}

// ArraySize is the size of the entry array in bytes.
func (h GPTHeader) ArraySize() int64 { return int64(h.Count) * int64(h.EntrySize) }

// Entries gives the entry array, a part of head, after checking that it is inside it and its checksum.
func (h GPTHeader) Entries(head []byte) ([]byte, error) {
	if h.Array < 2 || h.Array > uint64(len(head)) {
		return nil, fmt.Errorf("the GPT entries are at sector %d, not in the first MiB", h.Array)
	}
	start := int64(h.Array) * h.SectorSize
	end := start + h.ArraySize()
	if end > int64(len(head)) {
		return nil, errors.New("the GPT entries do not end in the first MiB")
	}
	array := head[start:end]
	if crc32.ChecksumIEEE(array) != h.ArrayCRC {
		return nil, errors.New("the checksum of the GPT entries is wrong")
	}
	return array, nil
}

func parseGPTEntry(raw []byte, number int, h GPTHeader) (Partition, bool, error) {
	kind := GUID(raw[:16])
	if kind == (GUID{}) {
		return Partition{}, false, nil
	}
	first, last := binary.LittleEndian.Uint64(raw[32:]), binary.LittleEndian.Uint64(raw[40:])
	if first < h.FirstUsable || last > h.LastUsable || last < first {
		return Partition{}, false, fmt.Errorf("GPT partition %d is outside the usable range of its table", number)
	}
	return Partition{Number: number, Start: int64(first) * h.SectorSize, Size: int64(last-first+1) * h.SectorSize,
		Type: kind.String(), UUID: GUID(raw[16:32]).String(), Name: gptName(raw[56:128])}, true, nil
}

func gptName(raw []byte) string {
	var units []uint16
	for i := 0; i+1 < len(raw); i += 2 {
		u := binary.LittleEndian.Uint16(raw[i:])
		if u == 0 {
			break
		}
		units = append(units, u)
	}
	return string(utf16.Decode(units))
}

// check refuses a table without partitions or with overlapping ones.
func (t *Table) check() error {
	if len(t.Partitions) == 0 {
		return errors.New("its partition table is empty")
	}
	byStart := append([]Partition(nil), t.Partitions...)
	sort.Slice(byStart, func(i, j int) bool { return byStart[i].Start < byStart[j].Start })
	for i := 1; i < len(byStart); i++ {
		if byStart[i].Start < byStart[i-1].End() {
			return fmt.Errorf("partitions %d and %d overlap", byStart[i-1].Number, byStart[i].Number)
		}
	}
	return nil
}
