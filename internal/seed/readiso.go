package seed

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode/utf16"

	"ingot/internal/fault"
)

// Reading of ISO 9660, as much as a config drive needs: one file by its path, by its Joliet names where there are any, else by
// those of Rock Ridge, else by the plain ones. Source: ECMA-119 §8, §9; Joliet specification §3; Rock Ridge (RRIP) §4.1.4 "NM".

// maxTree bounds a directory that is read, in bytes: room for thousands of names.
const maxTree = 1 << 20

var errISO = fault.New(fault.Invalid, "The config drive is not a readable ISO 9660 image.")

// readISO is the content of a file; nil if there is none of that name. It never reads outside image.
func readISO(image []byte, path ...string) ([]byte, error) {
	trees := map[byte][]byte{} // root records: 1 of the primary descriptor, 2 of Joliet's
	for n := 16; ; n++ {
		d, ok := cut(image, n*sector, sector)
		if !ok || string(d[1:6]) != "CD001" || n > 64 {
			return nil, errISO
		}
		if d[0] == 255 {
			break
		}
		if d[0] == 1 || d[0] == 2 && bytes.HasPrefix(d[88:], []byte("%/")) {
			trees[d[0]] = d[156:190]
		}
	}
	record, joliet := trees[2], true
	if record == nil {
		record, joliet = trees[1], false
	}
	if record == nil {
		return nil, errISO
	}
	for i, name := range path {
		dir, err := extent(image, record, maxTree)
		if err != nil {
			return nil, err
		}
		if record, err = find(dir, name, joliet); record == nil || err != nil {
			return nil, err
		}
		if isDir := record[25]&2 != 0; isDir != (i < len(path)-1) {
			return nil, nil
		}
	}
	return extent(image, record, MaxDrive)
}

// cut is n bytes of b at off, if they are there.
func cut(b []byte, off, n int) ([]byte, bool) {
	if off < 0 || n < 0 || off > len(b) || n > len(b)-off {
		return nil, false
	}
	return b[off : off+n], true
}

// extent is what a directory record points to.
func extent(image, record []byte, most int) ([]byte, error) {
	at, size := int64(binary.LittleEndian.Uint32(record[2:])), int64(binary.LittleEndian.Uint32(record[10:]))
	if size > int64(most) || at*sector > int64(len(image)) {
		return nil, errISO
	}
	b, ok := cut(image, int(at)*sector, int(size))
	if !ok {
		return nil, errISO
	}
	return b, nil
}

// find is the record of a name in a directory; nil for none.
func find(dir []byte, name string, joliet bool) ([]byte, error) {
	for off := 0; off < len(dir); {
		n := int(dir[off])
		if n == 0 { // the rest of a sector is empty: no record crosses its end
			off = (off/sector + 1) * sector
			continue
		}
		r, ok := cut(dir, off, n)
		if !ok || n < 34 || 33+int(r[32]) > n {
			return nil, errISO
		}
		if strings.EqualFold(nameOf(r, joliet), name) {
			return r, nil
		}
		off += n
	}
	return nil, nil
}

// nameOf is a record's name as people read it.
func nameOf(r []byte, joliet bool) string {
	id := r[33 : 33+int(r[32])]
	text := string(id)
	if joliet && len(id) > 1 {
		units := make([]uint16, len(id)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(id[2*i:])
		}
		text = string(utf16.Decode(units))
	} else if long := rockRidge(r); long != "" {
		return long
	}
	text, _, _ = strings.Cut(text, ";")
	return strings.TrimSuffix(text, ".")
}

// rockRidge is the name in a record's system use area, "" for none.
func rockRidge(r []byte) string {
	off := 33 + int(r[32])
	off += off % 2 // the area begins at an even place
	var name []byte
	for off+4 <= len(r) {
		n := int(r[off+2])
		if n < 4 || off+n > len(r) {
			break
		}
		if string(r[off:off+2]) == "NM" && n >= 5 && r[off+4]&6 == 0 { // neither "." nor ".."
			name = append(name, r[off+5:off+n]...)
		}
		off += n
	}
	return string(name)
}
