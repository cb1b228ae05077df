package seed

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf16"

	"ingot/internal/fault"
)

// This is a writer of FAT16 images with long names (vfat), for trees of a few files in memory. go-diskfs writes FAT32 only, whose
// smallest file system takes half of what a config drive may. Source: Microsoft's FAT specification of 2000-12-06.

const (
	fatSector   = 512
	fatReserved = 1
	fatTables   = 2
	fatRoot     = 512 // entries
	fatEntry    = 32  // bytes
	fatLeast    = 4085 + 16
	fatMost     = 65524 - 16       // clusters; at the very bounds drivers disagree what is FAT12, 16 and 32
	fatStep     = 1 << 20          // images are whole MiB
	fatDate     = 40<<9 | 1<<5 | 1 // 2020-01-01, as in our ISO images
	fatSerial   = 0x494e474f       // of the volume; the same for all, so that equal seeds give equal bytes
	fatEnd      = 0xffff           // of a chain
	fatDir      = 0x10             // attribute of a directory
	fatFile     = 0x20             // attribute of a file, "to be archived"
	fatLabel    = 0x08             // attribute of the label
	fatLong     = 0x0f             // attribute of a part of a long name
	fatFirst    = 2                // the number of the first cluster
	fatUnits    = 13               // characters in a part of a long name
)

// VFAT gives the config drive as a vfat image, labelled config-2: the same files as ISO. The format has no way to share
// content, so what is in every version is there that often. Over MaxDrive it is fault.TooLarge.
func (s *Seed) VFAT() ([]byte, error) { return writeFAT(s.tree().drive(), Label) }

// fatWriter lays out one image.
type fatWriter struct {
	out    []byte
	per    int // sectors of a cluster
	data   int // where the first cluster is
	table  []uint16
	next   uint16 // the first cluster that is free
	starts map[*dir]uint16
}

func writeFAT(root *dir, label string) ([]byte, error) {
	for _, per := range []int{1, 2, 4} {
		need := clustersFor(root, per*fatSector)
		for size := 2 * fatStep; size <= MaxDrive; size += fatStep {
			sectors := size / fatSector
			table := fatTableSectors(sectors / per)
			has := (sectors - fatReserved - fatTables*table - fatRoot*fatEntry/fatSector) / per
			if has > fatMost {
				break
			}
			if has < max(need, fatLeast) {
				continue
			}
			w := &fatWriter{out: make([]byte, size), per: per, next: fatFirst, starts: map[*dir]uint16{}}
			w.table = make([]uint16, has+fatFirst)
			w.table[0], w.table[1] = 0xfff8, fatEnd
			w.data = (fatReserved+fatTables*table)*fatSector + fatRoot*fatEntry // what is left over lies behind the last cluster
			w.bootSector(label, table)
			w.directories(root, label)
			w.tables(table)
			return w.out, nil
		}
	}
	return nil, fault.New(fault.TooLarge, "The config drive would be larger than 64 MiB as vfat, which holds each file once for every version: "+
		"make the user data smaller, or use iso9660.")
}

// fatTableSectors is the length of a table with so many clusters.
func fatTableSectors(clusters int) int {
	return ((clusters+fatFirst)*2 + fatSector - 1) / fatSector
}

// clustersFor is how many clusters a tree takes.
func clustersFor(root *dir, cluster int) int {
	n := 0
	for _, d := range root.all() {
		if d != root {
			n += whole(len(entriesOf(d))*fatEntry, cluster)
		}
		for _, f := range d.files {
			n += whole(len(f.content), cluster)
		}
	}
	return n
}

// whole is how many parts of a size n bytes take.
func whole(n, size int) int { return (n + size - 1) / size }

// bootSector is the first sector, with what describes the file system.
func (w *fatWriter) bootSector(label string, table int) {
	b, le := w.out, binary.LittleEndian
	copy(b, "\xeb\x3c\x90INGOT   ")
	le.PutUint16(b[11:], fatSector)
	b[13] = byte(w.per)
	le.PutUint16(b[14:], fatReserved)
	b[16] = fatTables
	le.PutUint16(b[17:], fatRoot)
	if sectors := len(w.out) / fatSector; sectors < 1<<16 {
		le.PutUint16(b[19:], uint16(sectors))
	} else {
		le.PutUint32(b[32:], uint32(sectors))
	}
	b[21] = 0xf8 // a disk that stays where it is
	le.PutUint16(b[22:], uint16(table))
	le.PutUint16(b[24:], 32) // sectors of a track, and heads: nobody has used them for long
	le.PutUint16(b[26:], 64)
	b[36], b[38] = 0x80, 0x29 // a hard disk; serial number and label follow
	le.PutUint32(b[39:], fatSerial)
	copy(b[43:54], fmt.Sprintf("%-11s", label))
	copy(b[54:62], "FAT16   ")
	b[510], b[511] = 0x55, 0xaa
}

// tables writes both copies of the table.
func (w *fatWriter) tables(sectors int) {
	for n := range fatTables {
		at := (fatReserved + n*sectors) * fatSector
		for i, next := range w.table {
			binary.LittleEndian.PutUint16(w.out[at+2*i:], next)
		}
	}
}

// directories gives every directory its place, for they name each other, and writes them with their files.
func (w *fatWriter) directories(root *dir, label string) {
	all := root.all()
	for _, d := range all[1:] {
		w.starts[d] = w.take(len(entriesOf(d)) * fatEntry)
	}
	for _, d := range all {
		at := w.data - fatRoot*fatEntry
		if d != root {
			at = w.at(w.starts[d])
		}
		for i, e := range entriesOf(d) {
			b := w.out[at+i*fatEntry:][:fatEntry]
			copy(b, e.raw[:])
			start := uint16(0)
			switch {
			case e.dir != nil:
				start = w.starts[e.dir] // the root's is 0
			case e.file != nil:
				start = w.take(len(e.file.content))
				binary.LittleEndian.PutUint32(b[28:], uint32(len(e.file.content)))
				copy(w.out[w.at(start):], e.file.content)
			}
			if e.raw[11] != fatLong {
				binary.LittleEndian.PutUint16(b[26:], start)
			}
		}
		if d == root {
			copy(w.out[at+len(entriesOf(d))*fatEntry:], fatShort(fmt.Sprintf("%-11s", label), fatLabel))
		}
	}
}

// at is where a cluster is; 0, which is none, is at the first.
func (w *fatWriter) at(cluster uint16) int {
	return w.data + (int(max(cluster, fatFirst))-fatFirst)*w.per*fatSector
}

// take chains the clusters for so many bytes, and gives the first; 0 for none.
func (w *fatWriter) take(size int) uint16 {
	n := whole(size, w.per*fatSector)
	if n == 0 {
		return 0
	}
	first := w.next
	for range n {
		w.table[w.next] = w.next + 1
		w.next++
	}
	w.table[w.next-1] = fatEnd
	return first
}

// fatName is one entry of a directory: of a directory, of a file, or a part of a long name.
type fatName struct {
	raw  [fatEntry]byte
	dir  *dir
	file *file
}

// entriesOf are the entries of a directory without what they point to.
func entriesOf(d *dir) []fatName {
	var out []fatName
	if d != d.up {
		out = append(out, fatName{raw: [32]byte(fatShort(".          ", fatDir)), dir: d}, fatName{raw: [32]byte(fatShort("..         ", fatDir)), dir: d.up})
	}
	add := func(name string, attribute byte, e fatName) {
		short := alias83(name, len(out))
		if strings.TrimRight(short, " ") != name { // else it needs no other
			for _, part := range longParts(name, shortSum([]byte(short))) {
				out = append(out, fatName{raw: part})
			}
		}
		e.raw = [32]byte(fatShort(short, attribute))
		out = append(out, e)
	}
	for _, sub := range d.dirs {
		add(sub.name, fatDir, fatName{dir: sub})
	}
	for i := range d.files {
		add(d.files[i].name, fatFile, fatName{file: &d.files[i]})
	}
	return out
}

// fatShort is an entry with its 11 characters and its dates.
func fatShort(name string, attribute byte) []byte {
	b := make([]byte, fatEntry)
	copy(b, name)
	b[11] = attribute
	for _, at := range []int{16, 18, 24} { // created, read, written
		binary.LittleEndian.PutUint16(b[at:], fatDate)
	}
	return b
}

// alias83 is the short name beside a long one, which no other entry of the directory has: n is another for each. A name of digits
// is its own short one.
func alias83(name string, n int) string {
	if len(name) <= 8 && strings.Trim(name, "0123456789") == "" {
		return fmt.Sprintf("%-11s", name)
	}
	base, end := strings.ToUpper(name), ""
	if at := strings.LastIndexByte(base, '.'); at >= 0 {
		base, end = base[:at], base[at+1:]
	}
	base = strings.ReplaceAll(base, ".", "")
	tail := fmt.Sprintf("~%d", n)
	return fmt.Sprintf("%-8s%-3s", base[:min(len(base), 8-len(tail))]+tail, end[:min(len(end), 3)])
}

// longParts are the entries of a long name, the last part first, as they stand before the short one.
func longParts(name string, sum byte) [][fatEntry]byte {
	units := utf16.Encode([]rune(name))
	parts := whole(len(units), fatUnits)
	if len(units)%fatUnits != 0 {
		units = append(units, 0)
	}
	for len(units) < parts*fatUnits {
		units = append(units, 0xffff)
	}
	var out [][fatEntry]byte
	for n := parts; n > 0; n-- {
		var b [fatEntry]byte
		b[0], b[11], b[13] = byte(n), fatLong, sum
		if n == parts {
			b[0] |= 0x40
		}
		for i, u := range units[(n-1)*fatUnits : n*fatUnits] {
			at := []int{1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30}[i]
			binary.LittleEndian.PutUint16(b[at:], u)
		}
		out = append(out, b)
	}
	return out
}
