package imagetest

import (
	"fmt"
	"strings"
)

// descriptor is a VMDK descriptor of a kind with these extents.
func descriptor(kind string, extents ...string) string {
	return "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"" + kind + "\"\n\n# Extent description\n" +
		strings.Join(extents, "\n") + "\n\n# The Disk Data Base\nddb.virtualHWVersion = \"4\"\nddb.adapterType = \"ide\"\n"
}

const vmdkSectors = 8192

func ownExtent() string { return fmt.Sprintf(`RW %d SPARSE "disk.vmdk"`, vmdkSectors) }

// VMDK is a sparse extent with a descriptor inside: 4 MiB of nothing.
func VMDK(text string) []byte {
	b := make([]byte, 64<<10)
	copy(b, "KDMV")
	le.PutUint32(b[4:], 1)
	le.PutUint32(b[8:], 3)
	le.PutUint64(b[12:], vmdkSectors)
	le.PutUint64(b[20:], 128)
	le.PutUint64(b[28:], 1)
	le.PutUint64(b[36:], 20)
	le.PutUint32(b[44:], 512)
	le.PutUint64(b[48:], 21)
	le.PutUint64(b[56:], 26)
	le.PutUint64(b[64:], 128)
	copy(b[73:], "\n \r\n")
	copy(b[512:], text)
	return b
}

// StreamVMDK is one made for streams: its directory is behind its data, and a footer says where.
func StreamVMDK() []byte {
	b := VMDK(descriptor("streamOptimized", ownExtent()))
	le.PutUint32(b[4:], 3)
	le.PutUint32(b[8:], 0x30001)
	le.PutUint16(b[77:], 1)
	footer := append([]byte(nil), b[:512]...)
	le.PutUint64(b[56:], 1<<64-1)
	mark := make([]byte, 512)
	le.PutUint64(mark, 1)
	le.PutUint32(mark[12:], 3)
	b = append(b, mark...)
	b = append(b, footer...)
	return append(b, make([]byte, 512)...)
}

func hostileVMDK() []Hostile {
	plain := func() []byte { return VMDK(descriptor("monolithicSparse", ownExtent())) }
	of := func(text string) func() []byte { return func() []byte { return VMDK(text) } }
	extents := func(lines ...string) func() []byte { return of(descriptor("monolithicSparse", lines...)) }
	sparse := descriptor("monolithicSparse", ownExtent())
	footer := func(off int, change func([]byte)) func() []byte {
		return changed(StreamVMDK, func(b []byte) { change(b[len(b)-1024+off:]) })
	}
	var list []Hostile
	add := func(name string, make func() []byte, says ...string) {
		list = append(list, Hostile{Name: "vmdk " + name, Make: make, Says: append([]string{"vmdk"}, says...)})
	}
	add("nothing is wrong with", plain, "not supported")
	add("for streams", StreamVMDK, "not supported")
	add("declared as raw", plain, "vmdk")
	list[len(list)-1].Declared = "raw"
	add("of an ESX host", filled(4096, 0, "COWD\x01"), "COWD")
	add("text whose extent is the host's passwords", text(descriptor("monolithicFlat", `RW 8 FLAT "/etc/shadow" 0`)), "/etc/shadow", "another file")
	add("text of several files", text(descriptor("twoGbMaxExtentSparse", `RW 8 SPARSE "a-s001.vmdk"`, `RW 8 SPARSE "a-s002.vmdk"`)), "other files")
	add("text of a device", text(descriptor("fullDevice", `RW 8 FLAT "/dev/sda" 0`)), "FLAT")
	add("text of a partition", text(descriptor("partitionedDevice", `RW 8 SPARSE "x"`)), "partitionedDevice")
	add("text of a VMFS", text(descriptor("vmfs", `RW 8 VMFS "x-flat.vmdk"`)), "VMFS")
	add("text that claims to be whole", text(sparse), "descriptor alone")
	add("text over 1 MiB", longer(text(sparse), strings.Repeat("# \n", 400<<10)), "1 MiB")
	add("flat inside a sparse one", of(descriptor("monolithicFlat", ownExtent())), "monolithicFlat")
	add("of an unknown kind", of(descriptor("custom", ownExtent())), "custom")
	add("of no kind", of(strings.Replace(sparse, "createType", "ddb.createType", 1)), "createType")
	add("of two kinds", of(sparse+"createType=\"streamOptimized\"\n"), "twice")
	add("of two kinds in other letters", of(sparse+"CREATETYPE=\"monolithicFlat\"\n"), "twice")
	add("extent /etc/passwd", extents(`RW 8192 SPARSE "/etc/passwd"`), "/etc/passwd")
	add("extent beside it", extents(`RW 8192 SPARSE "../../../x"`), "path")
	add("extent with a backslash", extents(`RW 8192 SPARSE "..\\x"`), "path")
	add("extent nbd:", extents(`RW 8192 SPARSE "nbd:localhost:10809"`), "path")
	add("extent without a name", extents(`RW 8192 SPARSE ""`), "path")
	add("extent .", extents(`RW 8192 SPARSE "."`), "path")
	add("extent without quotes", extents(`RW 8192 SPARSE disk.vmdk`), "not known here")
	add("extent with an offset", extents(`RW 8192 SPARSE "disk.vmdk" 128`), "not known here")
	add("extent of a negative size", extents(`RW -1 SPARSE "disk.vmdk"`), "sectors")
	add("extent of an immense size", extents(`RW 99999999999999999999 SPARSE "disk.vmdk"`), "sectors")
	add("extent FLAT", extents(`RW 8192 FLAT "disk.vmdk"`), "FLAT")
	add("extent ZERO", extents(`RW 8192 ZERO "x"`), "ZERO")
	add("no extents", extents(), "no extent")
	add("two extents", extents(ownExtent(), `RW 8 SPARSE "b.vmdk"`), "2 extents")
	add("extent of another size", extents(`RW 16 SPARSE "disk.vmdk"`), "sectors")
	add("parent by name", of(sparse+"parentFileNameHint=\"/var/lib/secret.vmdk\"\n"), "parent")
	add("parent by number", of(strings.Replace(sparse, "ffffffff", "deadbeef", 1)), "parent")
	add("change tracking file", of(sparse+"changeTrackPath=\"x-ctk.vmdk\"\n"), "not known here")
	add("encrypted", of(sparse+"encryption.keySafe = \"vmware:key/list\"\n"), "encrypted")
	add("unknown line", of(sparse+"include /etc/passwd\n"), "not known here")
	add("bytes that are no text", of(sparse+"\x80\xff"), "plain text")
	add("text behind a NUL", of(sparse+"\x00RW 8 FLAT \"/etc/passwd\" 0\n"), "plain text")
	add("descriptor elsewhere", changed(plain, put64(28, 2)), "sector 2")
	add("descriptor nowhere", changed(plain, put64(28, 0)), "sector 0")
	add("descriptor at the end of the world", changed(plain, put64(28, 1<<63)), "sector")
	add("descriptor of no length", changed(plain, put64(36, 0)), "0 sectors")
	add("descriptor of 2^64 sectors", changed(plain, put64(36, 1<<64-1)), "sectors")
	add("descriptor past the end", changed(plain, put64(36, 2000)), "points to byte")
	add("disk of 2^63 sectors", changed(plain, put64(12, 1<<63)), "claims a disk")
	add("disk of nothing", changed(plain, put64(12, 0)), "claims a disk")
	add("disk with oversized tables", changed(plain, put64(12, 1<<49)), "too large")
	add("grains of nothing", changed(plain, put64(20, 0)), "grains")
	add("grains of 3 sectors", changed(plain, put64(20, 3)), "grains")
	add("tables of one entry", changed(plain, put32(44, 1)), "entries")
	add("tables of 2^32 entries", changed(plain, put32(44, 1<<32-1)), "entries")
	add("version 0", changed(plain, put32(4, 0)), "version 0")
	add("version 4", changed(plain, put32(4, 4)), "version 4")
	add("unknown features", changed(plain, put32(8, 1<<31|3)), "features")
	add("mangled as text", with(plain, 73, "\n \n\n"), "transfer")
	add("unknown compression", changed(plain, put16(77, 9)), "compressed")
	add("directory past the end", changed(plain, put64(56, 1<<40)), "directory")
	add("header cut short", cut(plain, 300), "cut short")
	add("footer missing", changed(plain, put64(56, 1<<64-1)), "footer")
	add("footer of another disk", footer(12, put64(0, 9999)), "contradicts")
	add("footer with another descriptor", footer(28, put64(0, 7)), "contradicts")
	add("footer that points to a footer", footer(56, put64(0, 1<<64-1)), "another footer")
	add("footer with a directory past the end", footer(56, put64(0, 1<<45)), "directory")
	add("footer without its marker", footer(-512, put64(0, 77)), "markers")
	add("footer without its end", footer(512, put32(12, 3)), "markers")
	add("footer that is none", footer(0, put32(0, 1)), "footer")
	return list
}
