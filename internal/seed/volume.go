package seed

import (
	"strings"

	"ingot/internal/fault"
)

// What is read here was made by strangers. No reader goes outside of its image, follows a chain that is longer than the
// image, or takes more memory than these bounds; and the walk that uses them has a fixed depth.
const (
	maxTree    = 1 << 20  // bytes of one directory: thousands of names
	maxEntries = 4096     // names in one directory
	maxParsed  = 1 << 20  // bytes of a file that is parsed; a few KiB as a rule
	maxServed  = 16 << 20 // bytes of all files that a seed takes from a drive
)

// volume is a file system in memory.
type volume interface {
	root() entry
	list(dir entry) ([]entry, error)
	read(file entry) ([]byte, error) // a part of the image, or a copy
	folds() bool                     // whether names that differ in case only are the same, as the kernel has it
}

// entry is a name in a directory, and where a reader finds what it is of.
type entry struct {
	name  string
	isDir bool
	at    uint32 // sector, or cluster
	size  uint32
}

var errNoVolume = fault.New(fault.Invalid, "The config drive is neither an ISO 9660 nor a vfat image that can be read.")

// openVolume looks what an image is.
func openVolume(image []byte) (volume, error) {
	if d, ok := cut(image, firstSector*sector, sector); ok && string(d[1:6]) == "CD001" {
		return openISO(image)
	}
	return openFAT(image)
}

// find is what a directory has of a name and kind; false for nothing.
func find(v volume, dir entry, name string, isDir bool) (entry, bool, error) {
	entries, err := v.list(dir)
	if err != nil {
		return entry{}, false, err
	}
	for _, e := range entries {
		if e.isDir == isDir && same(v, e.name, name) {
			return e, true, nil
		}
	}
	return entry{}, false, nil
}

func same(v volume, a, b string) bool { return a == b || v.folds() && strings.EqualFold(a, b) }

// cut is n bytes of b at off, if they are there.
func cut(b []byte, off, n int) ([]byte, bool) {
	if off < 0 || n < 0 || off > len(b) || n > len(b)-off {
		return nil, false
	}
	return b[off : off+n], true
}
