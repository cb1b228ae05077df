package ramdisk

import (
	"encoding/binary"
	"errors"
	"os"
	"path"
)

// Attributes of a FAT directory entry, and the marks of its first byte. Source of all offsets here:
// Microsoft, FAT: General Overview of On-Disk Format, 1.03.
const (
	fatEntry    = 32
	fatLongName = 0x0f
	fatFolder   = 0x10
	fatUnused   = 0x00
	fatDeleted  = 0xe5
	fatSelf     = '.' // "." and "..": no other short name begins with a dot
)

var errFAT = errors.New("not a FAT file system as it was just written")

// settleFAT dates every directory entry of a freshly written FAT16 image at epoch: the library takes the
// time of the volume label and of the dots from the clock. A folder's entries must fit its first cluster.
func settleFAT(f *os.File) error {
	boot := make([]byte, 512)
	if _, err := f.ReadAt(boot, 0); err != nil {
		return err
	}
	le := binary.LittleEndian
	sector := int64(le.Uint16(boot[11:]))
	if sector != 512 || boot[13] == 0 || le.Uint16(boot[22:]) == 0 {
		return errFAT
	}
	root := sector * (int64(le.Uint16(boot[14:])) + int64(boot[16])*int64(le.Uint16(boot[22:])))
	rootSize := int64(le.Uint16(boot[17:])) * fatEntry
	s := fatSettler{f: f, data: root + rootSize, cluster: sector * int64(boot[13])}
	return s.dir(root, rootSize, "/")
}

type fatSettler struct {
	f             *os.File
	data, cluster int64 // where cluster 2 begins, and how long one is; bytes
}

func (s *fatSettler) dir(at, size int64, name string) error {
	if len(name) > 100 { // a circle
		return errFAT
	}
	b := make([]byte, size)
	if _, err := s.f.ReadAt(b, at); err != nil {
		return err
	}
	le := binary.LittleEndian
	for ; len(b) >= fatEntry && b[0] != fatUnused; b, at = b[fatEntry:], at+fatEntry {
		e := b[:fatEntry]
		if e[0] == fatDeleted || e[11] == fatLongName {
			continue
		}
		day := uint16(epoch.Year()-1980)<<9 | uint16(epoch.Month())<<5 | uint16(epoch.Day())
		copy(e[13:20], []byte{0, 0, 0, byte(day), byte(day >> 8), byte(day), byte(day >> 8)}) // created, accessed
		copy(e[22:26], []byte{0, 0, byte(day), byte(day >> 8)})                               // written
		if _, err := s.f.WriteAt(e, at); err != nil {
			return err
		}
		if e[11]&fatFolder == 0 || e[0] == fatSelf {
			continue
		}
		first := int64(le.Uint16(e[26:]))
		if first < 2 {
			return errFAT
		}
		if err := s.dir(s.data+(first-2)*s.cluster, s.cluster, path.Join(name, string(e[:8]))); err != nil {
			return err
		}
	}
	return nil
}
