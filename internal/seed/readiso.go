package seed

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"unicode/utf16"

	"ingot/internal/fault"
)

// Reading of ISO 9660, as much as a config drive needs. Names are those that Linux shows: Rock Ridge's where there are
// any, else Joliet's, else the plain ones in lower case. Source: ECMA-119 §8, §9; Joliet specification §3; SUSP §5.3 "SP";
// Rock Ridge (RRIP) §4.1.4 "NM"; Linux, fs/isofs/inode.c.

var errISO = fault.New(fault.Invalid, "The config drive is not a readable ISO 9660 image.")

// The names of a tree.
const (
	plainNames = iota
	jolietNames
	rockNames
)

type isoVolume struct {
	image []byte
	top   entry
	names int
}

// openISO reads the volume descriptors.
func openISO(image []byte) (volume, error) {
	var roots [3][]byte // root records: 1 of the primary descriptor, 2 of Joliet's
	for n := firstSector; ; n++ {
		d, ok := cut(image, n*sector, sector)
		if !ok || string(d[1:6]) != "CD001" || n > 64 {
			return nil, errISO
		}
		if d[0] == 255 {
			break
		}
		if d[0] == 1 || d[0] == 2 && bytes.HasPrefix(d[88:], []byte("%/")) {
			roots[d[0]] = d[156:190]
		}
	}
	v := &isoVolume{image: image, names: rockNames}
	if roots[1] != nil {
		v.top = isoEntry(roots[1], "")
		if v.hasRock() {
			return v, nil
		}
	}
	switch {
	case roots[2] != nil:
		v.top, v.names = isoEntry(roots[2], ""), jolietNames
	case roots[1] != nil:
		v.names = plainNames
	default:
		return nil, errISO
	}
	return v, nil
}

func (v *isoVolume) root() entry { return v.top }
func (v *isoVolume) folds() bool { return v.names != rockNames }

// hasRock tells whether the root says that it has Rock Ridge names, and has one.
func (v *isoVolume) hasRock() bool {
	said, named := false, false
	err := v.records(v.top, func(r []byte) {
		use := systemUse(r)
		said = said || len(use) >= 7 && string(use[:2]) == "SP" && use[4] == 0xbe && use[5] == 0xef
		named = named || rockRidge(r) != ""
	})
	return err == nil && said && named
}

// isoEntry is what a directory record says (ECMA-119 9.1).
func isoEntry(r []byte, name string) entry {
	return entry{name: name, isDir: r[25]&2 != 0, at: binary.LittleEndian.Uint32(r[2:]) + uint32(r[1]), size: binary.LittleEndian.Uint32(r[10:])}
}

func (v *isoVolume) list(dir entry) ([]entry, error) {
	var out []entry
	err := v.records(dir, func(r []byte) {
		const associated, inParts = 4, 0x80
		if r[25]&(associated|inParts) == 0 { // files in parts are over 4 GiB
			if name := v.nameOf(r); name != "" {
				out = append(out, isoEntry(r, name))
			}
		}
	})
	return out, err
}

// records gives every record of a directory.
func (v *isoVolume) records(dir entry, each func(r []byte)) error {
	if dir.size > maxTree {
		return errISO
	}
	b, err := v.read(dir)
	if err != nil {
		return err
	}
	for off, seen := 0, 0; off < len(b); seen++ {
		n := int(b[off])
		if n == 0 { // the rest of a sector is empty: no record crosses its end
			off = (off/sector + 1) * sector
			continue
		}
		r, ok := cut(b, off, n)
		if !ok || n < 34 || 33+int(r[32]) > n || seen > maxEntries {
			return errISO
		}
		each(r)
		off += n
	}
	return nil
}

// read is what an entry points to.
func (v *isoVolume) read(e entry) ([]byte, error) {
	if e.size > MaxDrive || int64(e.at)*sector > int64(len(v.image)) {
		return nil, errISO
	}
	b, ok := cut(v.image, int(e.at)*sector, int(e.size))
	if !ok {
		return nil, errISO
	}
	return b, nil
}

// nameOf is a record's name as people read it; "" for the directory itself and its parent.
func (v *isoVolume) nameOf(r []byte) string {
	id := r[33 : 33+int(r[32])]
	if len(id) == 1 && id[0] <= 1 {
		return ""
	}
	text := string(id)
	switch v.names {
	case rockNames:
		if long := rockRidge(r); long != "" {
			return long
		}
		text = strings.ToLower(text)
	case jolietNames:
		units := make([]uint16, len(id)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(id[2*i:])
		}
		text = string(utf16.Decode(units))
	default:
		text = strings.ToLower(text)
	}
	text, _, _ = strings.Cut(text, ";")
	return strings.TrimSuffix(text, ".")
}

// systemUse is what a record has after its name.
func systemUse(r []byte) []byte {
	off := 33 + int(r[32])
	off += off % 2 // the area begins at an even place
	return r[min(off, len(r)):]
}

// rockRidge is the name in a record's system use area, "" for none.
func rockRidge(r []byte) string {
	var name []byte
	for use := systemUse(r); len(use) >= 5; {
		n := int(use[2])
		if n < 4 || n > len(use) {
			break
		}
		if string(use[:2]) == "NM" && n >= 5 && use[4]&6 == 0 { // neither "." nor ".."
			name = append(name, use[5:n]...)
		}
		use = use[n:]
	}
	if slices.Contains(name, 0) || bytes.ContainsRune(name, '/') {
		return ""
	}
	return string(name)
}
