package raid

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"strings"
)

// Superblock is what a part of an array says of it.
type Superblock struct {
	Array string // the array's UUID in hex
	Name  string // without the host's; "" in the old format
	Level int
	Disks int // of the array
}

const magic = 0xa92b4efc

// ReadSuperblock looks for md's superblock on a disk or partition of a size in bytes, in every place that one can
// be. Source: Linux, include/uapi/linux/raid/md_p.h, and md(4).
func ReadSuperblock(r io.ReaderAt, size int64) (Superblock, bool) {
	sectors := size / 512
	for _, at := range []int64{4096, 0, (sectors - 16) &^ 7 * 512} { // formats 1.2, 1.1 and 1.0
		b := make([]byte, 256)
		if at < 0 || at+int64(len(b)) > size {
			continue
		}
		if _, err := r.ReadAt(b, at); err != nil || binary.LittleEndian.Uint32(b) != magic || binary.LittleEndian.Uint32(b[4:]) != 1 {
			continue
		}
		return Superblock{Array: hex.EncodeToString(b[16:32]), Name: nameOf(b[32:64]), Level: int(int32(binary.LittleEndian.Uint32(b[72:]))),
			Disks: int(binary.LittleEndian.Uint32(b[92:]))}, true
	}
	b := make([]byte, 64)
	at := size&^(64<<10-1) - 64<<10 // format 0.90; it is in the machine's own byte order
	if at < 0 {
		return Superblock{}, false
	}
	if _, err := r.ReadAt(b, at); err != nil || binary.LittleEndian.Uint32(b) != magic {
		return Superblock{}, false
	}
	return Superblock{Array: hex.EncodeToString(append(bytes.Clone(b[20:24]), b[52:64]...)), Level: int(int32(binary.LittleEndian.Uint32(b[28:]))),
		Disks: int(binary.LittleEndian.Uint32(b[40:]))}, true
}

// nameOf takes the host's name off an array's.
func nameOf(b []byte) string {
	name := string(bytes.TrimRight(b, "\x00"))
	if _, own, ok := strings.Cut(name, ":"); ok {
		name = own
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return '?'
		}
		return c
	}, strings.ToValidUTF8(name, "?"))
}
