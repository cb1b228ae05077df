package imagetest

import (
	"hash/crc32"

	"ingot/internal/image"
)

// vhdSeal sets a VHD header's checksum.
func vhdSeal(b []byte, field int) {
	be.PutUint32(b[field:], 0)
	var sum uint32
	for _, c := range b {
		sum += uint32(c)
	}
	be.PutUint32(b[field:], ^sum)
}

func vhdFooter(kind uint32, size uint64) []byte {
	b := make([]byte, 512)
	copy(b, "conectix")
	be.PutUint32(b[8:], 2)
	be.PutUint32(b[12:], 0x10000)
	be.PutUint64(b[16:], 1<<64-1)
	if kind != 2 {
		be.PutUint64(b[16:], 512)
	}
	be.PutUint64(b[40:], size)
	be.PutUint64(b[48:], size)
	be.PutUint32(b[60:], kind)
	vhdSeal(b, 64)
	return b
}

// VHD is a growing Virtual PC disk of 4 MiB with nothing in it.
func VHD() []byte {
	b := make([]byte, 4096)
	copy(b, vhdFooter(3, DiskSize))
	h := b[512:1536]
	copy(h, "cxsparse")
	be.PutUint64(h[8:], 1<<64-1)
	be.PutUint64(h[16:], 1536)
	be.PutUint32(h[24:], 0x10000)
	be.PutUint32(h[28:], 2)
	be.PutUint32(h[32:], 2<<20)
	vhdSeal(h, 36)
	copy(b[4096-512:], b[:512])
	return b
}

func hostileVHD() []Hostile {
	foot := func(change func([]byte)) func() []byte {
		return changed(VHD, func(b []byte) { change(b); vhdSeal(b[:512], 64) })
	}
	head := func(change func([]byte)) func() []byte {
		return changed(VHD, func(b []byte) { change(b[512:]); vhdSeal(b[512:1536], 36) })
	}
	fixed := func(kind uint32, size uint64) func() []byte {
		return func() []byte { return append(make([]byte, 1<<20), vhdFooter(kind, size)...) }
	}
	var list []Hostile
	add := func(name string, make func() []byte, says ...string) {
		list = append(list, Hostile{Name: "vhd " + name, Make: make, Says: append([]string{"vhd"}, says...)})
	}
	add("nothing is wrong with", VHD, "not supported")
	add("declared as raw", VHD, "not supported")
	list[len(list)-1].Declared = "raw"
	add("differencing", foot(big32(60, 4)), "parent")
	add("parent by name", head(func(b []byte) { copy(b[64:], "\x00/\x00e\x00t\x00c") }), "parent")
	add("parent by number", head(big64(40, 77)), "parent")
	add("parent by locator", head(big32(576, 0x57326b75)), "parent")
	add("wrong checksum", changed(VHD, big32(64, 1)), "checksum")
	add("second header damaged", changed(VHD, big32(512+36, 1)), "damaged")
	add("second header past the end", foot(big64(16, 1<<62)), "past the end")
	add("second header where nothing is", foot(big64(16, 4000)), "points to byte")
	add("disk of nothing", foot(big64(48, 0)), "claims a disk")
	add("disk of 2^63 bytes", foot(big64(48, 1<<63)), "claims a disk")
	add("of an unknown kind", foot(big32(60, 7)), "kind")
	add("of another version", foot(big32(12, 0x20000)), "version")
	add("of a suspended machine", foot(func(b []byte) { b[84] = 1 }), "suspended")
	add("table of 2^32 entries", head(big32(28, 1<<32-1)), "too large")
	add("table too short", head(big32(28, 1)), "too few")
	add("table past the end", head(big64(16, 1<<40)), "past the end")
	add("blocks of nothing", head(big32(32, 0)), "blocks")
	add("blocks of 3 bytes", head(big32(32, 3)), "blocks")
	add("fixed that starts with its footer", longer(func() []byte { return vhdFooter(2, 512) }, "more"), "fixed")
	add("fixed, cut short", cut(VHD, 100), "points to byte")
	for _, h := range []Hostile{
		{Name: "vhd fixed, raw with a footer", Make: fixed(2, 1<<20), Says: []string{"vhd", "not supported"}},
		{Name: "vhd fixed, declared as raw", Make: fixed(2, 1<<20), Declared: "raw", Says: []string{"vhd", "not supported"}},
		{Name: "vhd fixed, of another size", Make: fixed(2, 1<<30), Says: []string{"vhd", "and has 1048576"}},
		{Name: "vhd differencing, with its footer at the end alone", Make: fixed(4, 1<<20), Says: []string{"vhd", "parent"}},
	} {
		h.Whole = true
		list = append(list, h)
	}
	return list
}

// The regions and items of a VHDX. Source: MS-VHDX 2.2.3.2, 2.6.2.
const (
	idBAT, idMetadata, idFile, idSize, idParent = "2dc27766-f623-4200-9d64-115e9bfd4a08", "8b7ca206-4790-4b9a-b8fe-575f050f886e", "caa16737-fa36-4d43-b3b6-33f0aa44e76b",
		"2fa54224-cd1b-4876-b211-5dbed83bf4b8", "a8d35f2d-b30b-454d-abf7-d3d84834ab0c"
	idStranger = "01234567-89ab-cdef-0123-456789abcdef"
)

// vhdxSeal sets the checksums of a VHDX's headers and table of regions.
func vhdxSeal(b []byte) {
	for _, p := range [][2]int{{64 << 10, 4096}, {128 << 10, 4096}, {192 << 10, 64 << 10}} {
		part := b[p[0] : p[0]+p[1]]
		le.PutUint32(part[4:], 0)
		le.PutUint32(part[4:], crc32.Checksum(part, crc32.MakeTable(crc32.Castagnoli)))
	}
}

func vhdxEntry(b []byte, id string, off uint64, n, flags uint32) {
	g := image.MustGUID(id)
	copy(b, g[:])
	le.PutUint64(b[16:], off)
	le.PutUint32(b[24:], n)
	le.PutUint32(b[28:], flags)
}

func vhdxItem(b []byte, id string, off, n, flags uint32) {
	g := image.MustGUID(id)
	copy(b, g[:])
	le.PutUint32(b[16:], off)
	le.PutUint32(b[20:], n)
	le.PutUint32(b[24:], flags)
}

const (
	vhdxMeta    = 2 << 20 // where the metadata is
	vhdxRegions = 192 << 10
)

// VHDX is a Hyper-V disk of 4 MiB with nothing in it.
func VHDX() []byte {
	b := make([]byte, 3<<20)
	copy(b, "vhdxfile")
	for i, at := range []int{64 << 10, 128 << 10} {
		copy(b[at:], "head")
		le.PutUint64(b[at+8:], uint64(i))
		le.PutUint16(b[at+66:], 1)
	}
	r := b[vhdxRegions:]
	copy(r, "regi")
	le.PutUint32(r[8:], 2)
	vhdxEntry(r[16:], idBAT, 1<<20, 1<<20, 1)
	vhdxEntry(r[48:], idMetadata, vhdxMeta, 1<<20, 1)
	m := b[vhdxMeta:]
	copy(m, "metadata")
	le.PutUint16(m[10:], 2)
	vhdxItem(m[32:], idFile, 64<<10, 8, 4)
	vhdxItem(m[64:], idSize, 64<<10+8, 8, 4)
	le.PutUint32(m[64<<10:], 1<<20)
	le.PutUint64(m[64<<10+8:], DiskSize)
	vhdxSeal(b)
	return b
}

func hostileVHDX() []Hostile {
	of := func(change func([]byte)) func() []byte {
		return changed(VHDX, func(b []byte) { change(b); vhdxSeal(b) })
	}
	in := func(at int, change func([]byte)) func() []byte { return of(func(b []byte) { change(b[at:]) }) }
	var list []Hostile
	add := func(name string, make func() []byte, says ...string) {
		list = append(list, Hostile{Name: "vhdx " + name, Make: make, Says: append([]string{"vhdx"}, says...)})
	}
	add("nothing is wrong with", VHDX, "not supported")
	add("with a journal to play back", in(128<<10+48, put64(0, 5)), "journal")
	add("with both headers damaged", changed(VHDX, func(b []byte) { b[64<<10+9] ^= 1; b[128<<10+9] ^= 1 }), "headers")
	add("without a table of regions", in(vhdxRegions, put32(0, 0)), "regions is missing")
	add("with 65535 regions", in(vhdxRegions, put32(8, 65535)), "65535")
	add("with a damaged table of regions", changed(VHDX, put32(vhdxRegions+100, 7)), "checksum")
	add("with an unknown region it needs", of(func(b []byte) {
		put32(vhdxRegions+8, 3)(b)
		vhdxEntry(b[vhdxRegions+80:], idStranger, 1<<20, 1<<20, 1)
	}), "region that is not known")
	add("with a region past the end", in(vhdxRegions+48, put64(16, 1<<40)), "cannot be")
	add("with a region of 2^64", in(vhdxRegions+48, put64(16, 1<<64-1<<20)), "cannot be")
	add("with a region in its header", in(vhdxRegions+48, put64(16, 0)), "cannot be")
	add("with a region twice", of(func(b []byte) {
		put32(vhdxRegions+8, 3)(b)
		vhdxEntry(b[vhdxRegions+80:], idBAT, 1<<20, 1<<20, 1)
	}), "twice")
	add("without a table of blocks", in(vhdxRegions, put32(8, 0)), "lacks")
	add("without metadata", in(vhdxMeta, put32(0, 0)), "metadata")
	add("with 65535 items", in(vhdxMeta, put16(10, 65535)), "65535")
	add("differencing", in(vhdxMeta, put32(64<<10+4, 2)), "parent")
	add("with a parent's locator", of(func(b []byte) {
		put16(vhdxMeta+10, 3)(b)
		vhdxItem(b[vhdxMeta+96:], idParent, 64<<10, 64, 4)
	}), "parent")
	add("with unknown metadata it needs", of(func(b []byte) {
		put16(vhdxMeta+10, 3)(b)
		vhdxItem(b[vhdxMeta+96:], idStranger, 64<<10, 64, 4)
	}), "metadata that is not known")
	add("with an item past the end", in(vhdxMeta+32, put32(16, 1<<31)), "damaged")
	add("with an item twice", of(func(b []byte) {
		put16(vhdxMeta+10, 3)(b)
		vhdxItem(b[vhdxMeta+96:], idSize, 64<<10, 8, 4)
	}), "damaged")
	add("without a size", in(vhdxMeta, put16(10, 1)), "how large")
	add("with unknown features", in(vhdxMeta, put32(64<<10+4, 8)), "features")
	add("with blocks of 3 bytes", in(vhdxMeta, put32(64<<10, 3)), "blocks")
	add("of 2^63 bytes", in(vhdxMeta, put64(64<<10+8, 1<<63)), "claims a disk")
	add("larger than its table", in(vhdxMeta, put64(64<<10+8, 32<<40)), "too few")
	add("cut short", cut(VHDX, 100<<10), "points to byte")
	return list
}
