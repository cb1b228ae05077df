// Package imagetest makes small disk images for tests of the rooms that judge and write images.
//
// It writes partition tables by itself, from the specification and not with the code under test, so the
// two cannot share a mistake. Only tests and the image benchmark import it.
package imagetest

import (
	"encoding/binary"
	"hash/crc32"
	"unicode/utf16"

	"ingot/internal/image"
)

// Part is one partition to make. First and Last are sectors, both inclusive.
type Part struct {
	Type        image.GUID
	First, Last uint64
	Name        string
}

// GPT makes a table for a disk of size bytes with sectors of ss bytes into disk[:] and its backup at the
// end. The disk must hold at least 68 sectors; the partitions' contents are left as they are. The entry's
// own GUID is its number in the last byte.
func GPT(disk []byte, ss int64, parts ...Part) {
	last := uint64(int64(len(disk))/ss - 1)
	array := make([]byte, 128*128)
	for i, p := range parts {
		e := array[128*i:]
		copy(e, p.Type[:])
		copy(e[16:], "ingot-test-part")
		e[31] = byte(i + 1)
		binary.LittleEndian.PutUint64(e[32:], p.First)
		binary.LittleEndian.PutUint64(e[40:], p.Last)
		for j, u := range utf16.Encode([]rune(p.Name)) {
			binary.LittleEndian.PutUint16(e[56+2*j:], u)
		}
	}
	sectors := uint64((int64(len(array)) + ss - 1) / ss)
	protective(disk, last)
	copy(disk[2*ss:], array)
	copy(disk[ss:], header(ss, 1, last, 2, sectors, last, array))
	copy(disk[int64(last-sectors)*ss:], array)
	copy(disk[int64(last)*ss:], header(ss, last, 1, last-sectors, sectors, last, array))
}

func protective(disk []byte, last uint64) {
	e := disk[446:]
	copy(e, []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff})
	binary.LittleEndian.PutUint32(e[8:], 1)
	binary.LittleEndian.PutUint32(e[12:], uint32(min(last, 0xffffffff)))
	disk[510], disk[511] = 0x55, 0xaa
}

func header(ss int64, my, other, arrayAt, sectors, last uint64, array []byte) []byte {
	le, h := binary.LittleEndian, make([]byte, ss)
	copy(h, "EFI PART")
	le.PutUint32(h[8:], 0x10000)
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], my)
	le.PutUint64(h[32:], other)
	le.PutUint64(h[40:], 2+sectors)
	le.PutUint64(h[48:], last-sectors-1)
	copy(h[56:], "ingot-test-disk!")
	le.PutUint64(h[72:], arrayAt)
	le.PutUint32(h[80:], 128)
	le.PutUint32(h[84:], 128)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(array))
	le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
	return h
}

// Slot is one primary partition of an MBR, in sectors of 512 bytes.
type Slot struct {
	Type        byte
	First, Size uint32
}

// MBR makes a master boot record with the given disk signature into the first sector of disk.
func MBR(disk []byte, signature uint32, slots ...Slot) {
	binary.LittleEndian.PutUint32(disk[440:], signature)
	for i, s := range slots {
		e := disk[446+16*i:]
		e[4] = s.Type
		binary.LittleEndian.PutUint32(e[8:], s.First)
		binary.LittleEndian.PutUint32(e[12:], s.Size)
	}
	disk[510], disk[511] = 0x55, 0xaa
}
