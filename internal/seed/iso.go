package seed

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sort"
	"strings"
	"unicode/utf16"
)

// This is a writer of ISO 9660 images (ECMA-119) with Rock Ridge (RRIP 1.09) and Joliet, for trees of a few
// files in memory.

const (
	sector      = 2048
	firstSector = 16 // the system area before the first volume descriptor
)

// The two trees of an image: the same files under different names.
const (
	plain  = 0 // upper-case names, the real ones beside them in Rock Ridge fields
	joliet = 1 // UCS-2 names
)

// writer lays out one image: descriptors, path tables, directories, file contents.
type writer struct {
	label  string
	dirs   []*dir // breadth first, the root first: the order path tables want
	sums   map[slice]digest
	extent map[digest]uint32
	order  [][]byte               // contents in the order of their sectors: equal ones share them
	place  map[*dir][2]placeOfDir // in the two trees
	tables [2][2]uint32
	total  uint32
}

type digest = [sha256.Size]byte

// slice tells one part of memory from another: most versions have the very same files.
type slice struct {
	first *byte
	size  int
}

// sum is the digest of a content.
func (w *writer) sum(content []byte) digest {
	if len(content) == 0 {
		return sha256.Sum256(nil)
	}
	key := slice{&content[0], len(content)}
	sum, ok := w.sums[key]
	if !ok {
		sum = sha256.Sum256(content)
		w.sums[key] = sum
	}
	return sum
}

// placeOfDir is where a directory is, and how long.
type placeOfDir struct {
	at   uint32
	size int // bytes, whole sectors
}

// writeISO gives the image of a tree; errTooLarge comes before the memory for it is taken.
func writeISO(root *dir, label string) ([]byte, error) {
	w := &writer{label: label, dirs: root.all(), sums: map[slice]digest{}, extent: map[digest]uint32{}, place: map[*dir][2]placeOfDir{}}
	if !w.layOut() {
		return nil, errTooLarge
	}
	out := make([]byte, int(w.total)*sector)
	copy(out[16*sector:], w.descriptor(plain))
	copy(out[17*sector:], w.descriptor(joliet))
	copy(out[18*sector:], "\xffCD001\x01")
	for tree := range 2 {
		copy(out[w.tables[tree][0]*sector:], w.pathTable(tree, binary.LittleEndian))
		copy(out[w.tables[tree][1]*sector:], w.pathTable(tree, binary.BigEndian))
		for _, d := range w.dirs {
			copy(out[w.place[d][tree].at*sector:], w.directory(d, tree))
		}
	}
	for _, content := range w.order {
		copy(out[w.extent[w.sum(content)]*sector:], content)
	}
	return out, nil
}

// layOut gives every part its sector, and tells whether the image is small enough.
func (w *writer) layOut() bool {
	next := uint32(firstSector + 3)
	for tree := range 2 {
		for end := range 2 {
			w.tables[tree][end] = next
			next += sectors(len(w.pathTable(tree, binary.LittleEndian)))
		}
	}
	for tree := range 2 {
		for _, d := range w.dirs { // a directory is as long as its names are, wherever it is
			place := w.place[d]
			place[tree] = placeOfDir{next, len(w.directory(d, tree))}
			w.place[d] = place
			next += sectors(place[tree].size)
		}
	}
	for _, d := range w.dirs {
		for _, f := range d.files {
			key := w.sum(f.content)
			if _, placed := w.extent[key]; placed {
				continue
			}
			w.extent[key] = next
			w.order = append(w.order, f.content)
			if next += max(1, sectors(len(f.content))); next > MaxDrive/sector {
				return false
			}
		}
	}
	w.total = next
	return true
}

func sectors(n int) uint32 { return uint32((n + sector - 1) / sector) }

// descriptor is the primary volume descriptor (ECMA-119 8.4) or Joliet's supplementary one.
func (w *writer) descriptor(tree int) []byte {
	b := make([]byte, sector)
	b[0] = 1
	copy(b[1:], "CD001\x01")
	text := func(from, to int, s string) { copy(b[from:to], padded(s, to-from, tree)) }
	text(8, 40, "")
	text(40, 72, w.label)
	both32(b[80:], w.total)
	if tree == joliet {
		b[0] = 2
		copy(b[88:], "%/E") // UCS-2 level 3
	}
	both16(b[120:], 1)
	both16(b[124:], 1)
	both16(b[128:], sector)
	both32(b[132:], uint32(len(w.pathTable(tree, binary.LittleEndian))))
	binary.LittleEndian.PutUint32(b[140:], w.tables[tree][0])
	binary.BigEndian.PutUint32(b[148:], w.tables[tree][1])
	copy(b[156:190], record(w.place[w.dirs[0]][tree].at, w.place[w.dirs[0]][tree].size, true, []byte{0}, nil))
	text(190, 318, "")
	text(318, 446, "INGOT")
	text(446, 574, "")
	text(574, 702, "INGOT")
	text(702, 813, "")
	for at := 813; at < 881; at += 17 {
		copy(b[at:], "0000000000000000") // date not given
	}
	b[881] = 1
	return b
}

// padded fills a text field with spaces, in UCS-2 for Joliet.
func padded(s string, n, tree int) []byte {
	if tree == plain {
		return []byte(s + strings.Repeat(" ", n-len(s)))
	}
	out := ucs2(s + strings.Repeat(" ", n/2-len(s)))
	return append(out, make([]byte, n-len(out))...)
}

// pathTable lists the directories (ECMA-119 9.4), in either byte order.
func (w *writer) pathTable(tree int, order binary.AppendByteOrder) []byte {
	var b []byte
	for _, d := range w.dirs {
		id := identifier(d.name, tree, true)
		b = append(b, byte(len(id)), 0)
		b = order.AppendUint32(b, w.place[d][tree].at)
		b = order.AppendUint16(b, uint16(slices.Index(w.dirs, d.up)+1))
		b = append(b, id...)
		if len(id)%2 == 1 {
			b = append(b, 0)
		}
	}
	return b
}

// directory is the sectors of a directory: itself, its parent, its entries sorted by identifier.
func (w *writer) directory(d *dir, tree int) []byte {
	var self, parent []byte
	if tree == plain {
		self = slices.Concat(posix(0o40555, uint32(2+len(d.dirs))), stamp())
		parent = slices.Concat(posix(0o40555, uint32(2+len(d.up.dirs))), stamp())
		if d == d.up {
			self = slices.Concat([]byte("SP\x07\x01\xbe\xef\x00"), self, extensions())
		}
	}
	type entry struct{ id, record []byte }
	var entries []entry
	add := func(name string, at uint32, size int, isDir bool, attributes []byte) {
		id := identifier(name, tree, isDir)
		if tree == joliet {
			attributes = nil
		}
		entries = append(entries, entry{id, record(at, size, isDir, id, attributes)})
	}
	for _, sub := range d.dirs {
		place := w.place[sub][tree]
		add(sub.name, place.at, place.size, true, slices.Concat(posix(0o40555, uint32(2+len(sub.dirs))), stamp(), alias(sub.name)))
	}
	for _, f := range d.files {
		add(f.name, w.extent[w.sum(f.content)], len(f.content), false, slices.Concat(posix(0o100444, 1), stamp(), alias(f.name)))
	}
	sort.Slice(entries, func(i, j int) bool { return bytes.Compare(entries[i].id, entries[j].id) < 0 })
	me, above := w.place[d][tree], w.place[d.up][tree]
	b := slices.Concat(record(me.at, me.size, true, []byte{0}, self), record(above.at, above.size, true, []byte{1}, parent))
	for _, e := range entries {
		if left := sector - len(b)%sector; len(e.record) > left { // no record crosses the end of a sector
			b = append(b, make([]byte, left)...)
		}
		b = append(b, e.record...)
	}
	return append(b, make([]byte, int(sectors(len(b)))*sector-len(b))...)
}

// record is a directory record (ECMA-119 9.1). Its date is 2020-01-01, so that equal seeds give equal bytes.
func record(at uint32, size int, isDir bool, id, attributes []byte) []byte {
	b := make([]byte, 33)
	both32(b[2:], at)
	both32(b[10:], uint32(size))
	copy(b[18:], date())
	if isDir {
		b[25] = 2
	}
	both16(b[28:], 1)
	b[32] = byte(len(id))
	b = append(b, id...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	b = append(b, attributes...)
	if len(b)%2 == 1 {
		b = append(b, 0)
	}
	b[0] = byte(len(b))
	return b
}

func date() []byte { return []byte{120, 1, 1, 0, 0, 0, 0} }

// identifier is a name as each tree has it: "META_DATA.JSON;1" or UCS-2. The root's is one zero byte.
func identifier(name string, tree int, isDir bool) []byte {
	if name == "" {
		return []byte{0}
	}
	if tree == joliet {
		if !isDir {
			name += ";1"
		}
		return ucs2(name)
	}
	id := strings.ReplaceAll(strings.ToUpper(name), "-", "_")
	if isDir {
		return []byte(id)
	}
	if !strings.Contains(id, ".") {
		id += "."
	}
	return []byte(id + ";1")
}

func ucs2(s string) []byte {
	var b []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.BigEndian.AppendUint16(b, u)
	}
	return b
}

// posix is Rock Ridge's PX field: mode and link count, owner root.
func posix(mode, links uint32) []byte {
	b := make([]byte, 36)
	copy(b, "PX\x24\x01")
	both32(b[4:], mode)
	both32(b[12:], links)
	return b
}

// stamp is Rock Ridge's TF field with a modification time.
func stamp() []byte { return append([]byte("TF\x0c\x01\x02"), date()...) }

// alias is Rock Ridge's NM field: the real name.
func alias(name string) []byte {
	return append([]byte{'N', 'M', byte(5 + len(name)), 1, 0}, name...)
}

// extensions is the ER field that announces Rock Ridge (RRIP 1.09, 4.3), with short texts.
func extensions() []byte {
	id, text := "RRIP_1991A", "THE ROCK RIDGE INTERCHANGE PROTOCOL"
	return append([]byte{'E', 'R', byte(8 + len(id) + len(text)), 1, byte(len(id)), byte(len(text)), 0, 1}, id+text...)
}

func both16(b []byte, v uint16) {
	binary.LittleEndian.PutUint16(b, v)
	binary.BigEndian.PutUint16(b[2:], v)
}

func both32(b []byte, v uint32) {
	binary.LittleEndian.PutUint32(b, v)
	binary.BigEndian.PutUint32(b[4:], v)
}
