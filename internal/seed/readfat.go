package seed

import (
	"encoding/binary"
	"strings"
	"unicode/utf16"

	"ingot/internal/fault"
)

// Reading of FAT12, FAT16 and FAT32, as much as a config drive needs. mkfs.vfat makes FAT16 of 64 MiB, which the library
// in this tree does not read. Source: Microsoft's FAT specification of 2000-12-06, "FAT: General Overview of On-Disk Format".

var errFAT = fault.New(fault.Invalid, "The config drive is not a readable vfat image.")

type fatVolume struct {
	image    []byte
	bits     int    // of an entry of the table: 12, 16 or 32
	table    []byte // the first file allocation table, and what follows it
	cluster  int    // bytes
	data     int    // where cluster 2 is
	clusters int
	rootAt   int // FAT12 and FAT16: where the root is, and how long
	rootSize int
	rootHas  uint32 // FAT32: the root's first cluster
}

// openFAT reads the boot sector.
func openFAT(image []byte) (volume, error) {
	if len(image) < 512 || image[510] != 0x55 || image[511] != 0xaa || image[0] != 0xeb && image[0] != 0xe9 {
		return nil, errNoVolume
	}
	at16 := func(off int) int { return int(binary.LittleEndian.Uint16(image[off:])) }
	at32 := func(off int) int { return int(binary.LittleEndian.Uint32(image[off:])) }
	size, per, reserved, tables := at16(11), int(image[13]), at16(14), int(image[16])
	powerOf2 := func(n int) bool { return n > 0 && n&(n-1) == 0 }
	if !powerOf2(size) || size < 512 || size > 4096 || !powerOf2(per) || reserved == 0 || tables == 0 || tables > 4 {
		return nil, errFAT
	}
	rootEntries, total, tableSectors := at16(17), at16(19), at16(22)
	if total == 0 {
		total = at32(32)
	}
	wide := tableSectors == 0
	if wide {
		tableSectors = at32(36)
	}
	rootSectors := (rootEntries*32 + size - 1) / size
	first := reserved + tables*tableSectors + rootSectors
	if total > len(image)/size || tableSectors == 0 || tableSectors > total || first >= total {
		return nil, errFAT
	}
	v := &fatVolume{image: image, cluster: per * size, data: first * size, clusters: (total - first) / per,
		rootAt: (reserved + tables*tableSectors) * size, rootSize: rootEntries * 32}
	v.table = image[reserved*size:] // longer than it is: FAT12 reads two bytes for an entry of one and a half
	switch {
	case wide:
		v.bits, v.rootHas = 32, uint32(at32(44))
	case v.clusters < 4085: // the bounds are the specification's
		v.bits = 12
	default:
		v.bits = 16
	}
	if (v.clusters+2)*v.bits/8 > tableSectors*size || v.clusters > 1<<28-16 {
		return nil, errFAT
	}
	return v, nil
}

func (v *fatVolume) root() entry { return entry{isDir: true, at: v.rootHas} }
func (v *fatVolume) folds() bool { return true }

// next is the cluster after another; false at the end of a chain.
func (v *fatVolume) next(n uint32) (uint32, bool) {
	var next uint32
	switch v.bits {
	case 12:
		pair := uint32(binary.LittleEndian.Uint16(v.table[n*3/2:]))
		next = pair >> (n % 2 * 4) & 0xfff
	case 16:
		next = uint32(binary.LittleEndian.Uint16(v.table[n*2:]))
	default:
		next = binary.LittleEndian.Uint32(v.table[n*4:]) & 0x0fffffff
	}
	return next, v.has(next)
}

// has tells whether there is a cluster of that number.
func (v *fatVolume) has(n uint32) bool { return n >= 2 && int64(n) < int64(v.clusters)+2 }

// chain is the content of at most so many bytes from a cluster on.
func (v *fatVolume) chain(n uint32, most int) ([]byte, error) {
	var out []byte
	for ok := v.has(n); ok && len(out) < most; n, ok = v.next(n) {
		c, there := cut(v.image, v.data+int(n-2)*v.cluster, v.cluster)
		if !there {
			return nil, errFAT
		}
		out = append(out, c[:min(len(c), most-len(out))]...)
	}
	return out, nil
}

func (v *fatVolume) read(e entry) ([]byte, error) {
	if e.size == 0 {
		return []byte{}, nil
	}
	if int64(e.size) > int64(v.clusters)*int64(v.cluster) {
		return nil, errFAT
	}
	b, err := v.chain(e.at, int(e.size))
	if err == nil && len(b) < int(e.size) {
		err = errFAT
	}
	return b, err
}

func (v *fatVolume) list(dir entry) ([]entry, error) {
	var raw []byte
	var err error
	if dir.at == 0 { // the root of FAT12 and FAT16 is in a place of its own
		raw, _ = cut(v.image, v.rootAt, v.rootSize)
	} else if raw, err = v.chain(dir.at, maxTree); err != nil {
		return nil, err
	}
	var out []entry
	var long longName
	for ; len(raw) >= 32 && raw[0] != 0; raw = raw[32:] {
		const deleted, label, isDir, isLong = 0xe5, 0x08, 0x10, 0x0f
		r := raw[:32]
		switch attributes := r[11]; {
		case r[0] == deleted:
			long = longName{}
		case attributes&0x3f == isLong:
			long.add(r)
		case attributes&label != 0, r[0] == '.':
			long = longName{}
		default:
			at := uint32(binary.LittleEndian.Uint16(r[26:]))
			if v.bits == 32 {
				at |= uint32(binary.LittleEndian.Uint16(r[20:])) << 16
			}
			e := entry{name: long.of(r), isDir: attributes&isDir != 0, at: at, size: binary.LittleEndian.Uint32(r[28:])}
			long = longName{}
			if e.isDir && !v.has(e.at) { // never the root's place: that would be a loop
				continue
			}
			if out = append(out, e); len(out) > maxEntries {
				return nil, errFAT
			}
		}
	}
	return out, nil
}

// longName collects the parts of a long name, which stand before the short one, the last first.
type longName struct {
	units []uint16
	next  byte // the number of the part that is to come
	sum   byte
}

func (l *longName) add(r []byte) {
	const last, most = 0x40, 20
	n := r[0] &^ last
	if r[0]&last != 0 {
		*l = longName{next: n, sum: r[13]}
	}
	if n == 0 || n > most || n != l.next || r[13] != l.sum {
		*l = longName{}
		return
	}
	var units []uint16
	for _, part := range [][]byte{r[1:11], r[14:26], r[28:32]} {
		for ; len(part) > 0; part = part[2:] {
			units = append(units, binary.LittleEndian.Uint16(part))
		}
	}
	l.units = append(units, l.units...)
	l.next--
}

// of is the long name, if it is whole and belongs to this entry; else the short one.
func (l *longName) of(r []byte) string {
	if len(l.units) == 0 || l.next != 0 || l.sum != shortSum(r[:11]) {
		return shortName(r)
	}
	units := l.units
	for i, u := range units {
		if u == 0 {
			units = units[:i]
			break
		}
	}
	return string(utf16.Decode(units))
}

// shortName is an 8.3 name; bits tell which half is in lower case.
func shortName(r []byte) string {
	const lowerBase, lowerEnd = 0x08, 0x10
	base, end := strings.TrimRight(string(r[:8]), " "), strings.TrimRight(string(r[8:11]), " ")
	if r[12]&lowerBase != 0 {
		base = strings.ToLower(base)
	}
	if r[12]&lowerEnd != 0 {
		end = strings.ToLower(end)
	}
	if end == "" {
		return base
	}
	return base + "." + end
}

// shortSum binds a long name to its short one.
func shortSum(name []byte) byte {
	var sum byte
	for _, c := range name {
		sum = sum>>1 | sum<<7
		sum += c
	}
	return sum
}
