package efi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// typeESP is C12A7328-F81F-11D2-BA4B-00A0C93EC93B as it stands on a disk. Source: UEFI specification 2.10,
// §5.3.3.
var typeESP = [16]byte{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}

const maxEntries = 512

// partition is an EFI system partition in a GPT. Start and size are in the disk's own sectors.
type partition struct {
	number      uint32 // from 1
	start, size uint64
	id          [16]byte
}

// findESP reads the primary GPT, of a disk with sectors of 512 or 4096 bytes.
func findESP(r io.ReaderAt) (partition, error) {
	for _, sector := range []int64{512, 4096} {
		var head [92]byte
		if _, err := r.ReadAt(head[:], sector); err != nil || !bytes.HasPrefix(head[:], []byte("EFI PART")) {
			continue
		}
		at := binary.LittleEndian.Uint64(head[72:])
		count := min(binary.LittleEndian.Uint32(head[80:]), maxEntries)
		size := binary.LittleEndian.Uint32(head[84:])
		if size < 128 || size > 4096 || at > 1<<40 {
			return partition{}, errors.New("the partition table is damaged")
		}
		var e [48]byte
		for i := range count {
			if _, err := r.ReadAt(e[:], int64(at)*sector+int64(i)*int64(size)); err != nil {
				return partition{}, errors.New("the partition table is cut off")
			}
			if !bytes.Equal(e[:16], typeESP[:]) {
				continue
			}
			first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
			if last < first || last > 1<<62 {
				return partition{}, errors.New("the partition table is damaged")
			}
			return partition{i + 1, first, last - first + 1, [16]byte(e[16:32])}, nil
		}
		return partition{}, errors.New("there is none: the image cannot boot on a UEFI machine")
	}
	return partition{}, errors.New("the disk has no GPT, from which UEFI starts: what was installed must make one with an EFI system partition, or the node must boot in the mode bios")
}

// devicePath is the hard drive media device path of p. Source: UEFI specification 2.10, §10.3.5.1.
func (p partition) devicePath() []byte {
	b := []byte{4, 1, 42, 0}
	b = binary.LittleEndian.AppendUint32(b, p.number)
	b = binary.LittleEndian.AppendUint64(b, p.start)
	b = binary.LittleEndian.AppendUint64(b, p.size)
	b = append(b, p.id[:]...)
	return append(b, 2, 2) // the table is a GPT, the signature a GUID
}
