package imagetest

import (
	"hash/crc32"
	"math/rand"
	"strings"
)

// isoInto writes the volume descriptors of an ISO 9660 of the whole of b.
func isoInto(b []byte) {
	v := b[32768:]
	both32 := func(off int, n uint32) {
		le.PutUint32(v[off:], n)
		be.PutUint32(v[off+4:], n)
	}
	v[0], v[6] = 1, 1
	copy(v[1:], "CD001")
	both32(80, uint32(len(b)/2048))
	le.PutUint16(v[128:], 2048)
	be.PutUint16(v[130:], 2048)
	v[156] = 34
	both32(158, 20)
	both32(166, 2048)
	end := b[32768+2048:]
	end[0], end[6] = 255, 1
	copy(end[1:], "CD001")
}

// ISO is a medium without a partition table.
func ISO() []byte {
	b := make([]byte, 128<<10)
	isoInto(b)
	return b
}

// Hybrid is a medium with a partition table, too, as for USB sticks.
func Hybrid() []byte {
	b := Disk()
	isoInto(b)
	return b
}

func hostileISO() []Hostile {
	var list []Hostile
	add := func(name string, make func() []byte, says ...string) {
		list = append(list, Hostile{Name: "iso " + name, Make: make, Says: append([]string{"iso"}, says...)})
	}
	const pvd, end = 32768, 32768 + 2048
	add("without a partition table", ISO, "without a partition table")
	add("declared as raw", Hybrid, "declared")
	list[len(list)-1].Declared = "raw"
	add("declared as gpt", Hybrid, "declared")
	list[len(list)-1].Declared = "gpt"
	add("declared as qcow2", Hybrid, "declared")
	list[len(list)-1].Declared = "qcow2"
	add("as a partition", Hybrid, "iso")
	list[len(list)-1].Partition = true
	add("whose descriptors do not end", with(Hybrid, end, "\x02"), "damaged")
	add("with a thousand descriptors", changed(Hybrid, func(b []byte) {
		for i := range 1000 {
			copy(b[end+2048*i:], "\x02CD001\x01")
		}
	}), "over 64")
	add("with an unknown descriptor", changed(Hybrid, func(b []byte) { b[end] = 77 }), "kind")
	add("of another version", changed(Hybrid, func(b []byte) { b[pvd+6] = 9 }), "version")
	add("that tells readers of each kind another size", changed(Hybrid, put32(pvd+80, 40)), "contradicts")
	add("with blocks of 3 bytes", changed(Hybrid, func(b []byte) { put16(pvd+128, 3)(b); be.PutUint16(b[pvd+130:], 3) }), "blocks")
	add("of 2^32 sectors", changed(Hybrid, func(b []byte) { put32(pvd+80, 1<<32-1)(b); big32(pvd+84, 1<<32-1)(b) }), "more than the file has")
	list[len(list)-1].Whole = true
	add("with its root past the end", changed(Hybrid, func(b []byte) { put32(pvd+158, 1<<30)(b); big32(pvd+162, 1<<30)(b) }), "root directory")
	add("with two roots", changed(Hybrid, put32(pvd+158, 21)), "root directory")
	add("without a primary descriptor", changed(Hybrid, func(b []byte) { b[pvd] = 2 }), "primary")
	add("cut short", cut(ISO, pvd+1000), "do not end")
	add("UDF alone", changed(filled(128<<10, pvd, "\x00BEA01\x01"), func(b []byte) { copy(b[end:], "\x00NSR03\x01"); copy(b[end+2048:], "\x00TEA01\x01") }), "without a partition table")
	add("UDF that does not end", filled(128<<10, pvd, "\x00BEA01\x01"), "damaged")
	list = append(list, Hostile{Name: "iso with a partition table", Make: Hybrid}, Hostile{Name: "iso with a partition table, declared", Make: Hybrid, Declared: "iso"})
	return list
}

// resealed makes the checksums of a GPT right again after a change.
func resealed(change func(b []byte)) func() []byte {
	return changed(Disk, func(b []byte) {
		change(b)
		h := b[512 : 512+92]
		le.PutUint32(h[88:], crc32.ChecksumIEEE(b[1024:1024+128*128]))
		le.PutUint32(h[16:], 0)
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h))
	})
}

func mbr(slots ...Slot) func() []byte {
	return func() []byte {
		b := make([]byte, 1<<20)
		MBR(b, 9, slots...)
		return b
	}
}

func hostileTables() []Hostile {
	const header, entries = 512, 1024
	var list []Hostile
	add := func(name string, make func() []byte, says ...string) {
		list = append(list, Hostile{Name: "gpt " + name, Make: make, Says: says})
	}
	add("declared as qcow2", Disk, "declared")
	list[len(list)-1].Declared = "qcow2"
	add("declared as vmdk", Disk, "declared")
	list[len(list)-1].Declared = "vmdk"
	add("with a changed header", changed(Disk, put32(header+60, 1)), "checksum")
	add("with changed entries", changed(Disk, put32(entries+60, 1)), "checksum")
	add("without a header", changed(Disk, func(b []byte) { clear(b[512:1024]) }), "no GPT header")
	add("with a header of 2^30 bytes", changed(Disk, put32(header+12, 1<<30)), "size")
	add("with a header of no bytes", changed(Disk, put32(header+12, 0)), "size")
	add("with 2^31 entries", resealed(put32(header+80, 1<<31)), "entries")
	add("with no entries", resealed(put32(header+80, 0)), "entries")
	add("with entries of 129 bytes", resealed(put32(header+84, 129)), "entries")
	add("with entries of 2^31 bytes", resealed(put32(header+84, 1<<31)), "entries")
	add("with entries at the end of the world", resealed(put64(header+72, 1<<62)), "first MiB")
	add("with entries that overflow", resealed(put64(header+72, 1<<64-1)), "first MiB")
	add("with entries in the boot sector", resealed(put64(header+72, 0)), "first MiB")
	add("that is not where it says", resealed(put64(header+24, 77)), "sector 77")
	add("with a reversed range", resealed(put64(header+48, 1)), "usable range")
	add("with a range of 2^64 sectors", resealed(put64(header+48, 1<<64-1)), "usable range")
	add("with a backup at the end of the world", resealed(put64(header+32, 1<<64-1)), "usable range")
	add("with overlapping partitions", resealed(put64(entries+128+32, 3000)), "overlap")
	add("with a partition outside", resealed(put64(entries+128+40, 1<<40)), "outside")
	add("with a reversed partition", resealed(put64(entries+40, 2047)), "outside")
	add("with nothing in it", resealed(func(b []byte) { clear(b[entries : entries+4096]) }), "empty")
	add("hybrid", changed(Disk, func(b []byte) { copy(b[462:], b[446:462]) }), "hybrid")
	add("protective elsewhere", changed(Disk, put32(454, 5)), "hybrid")
	add("with a boot flag of 7", changed(Disk, func(b []byte) { b[446] = 7 }), "boot flag")
	add("cut short", cut(Disk, 1<<20), "cut short")
	list[len(list)-1].Whole = true
	add("larger than the disk", resealed(func(b []byte) { put64(header+48, 1<<30)(b); put64(entries+128+40, 1<<30-1)(b) }), "needs 549755813888 bytes")
	list[len(list)-1].Max = 1 << 30
	list = append(list, Hostile{Name: "gpt nothing is wrong with", Make: Disk}, Hostile{Name: "gpt declared as raw", Make: Disk, Declared: "raw"},
		Hostile{Name: "mbr with no partition", Make: mbr(), Says: []string{"empty"}},
		Hostile{Name: "mbr with a partition of no size", Make: mbr(Slot{0x83, 63, 0}), Says: []string{"no size"}},
		Hostile{Name: "mbr with a partition over itself", Make: mbr(Slot{0x83, 0, 100}), Says: []string{"no start"}},
		Hostile{Name: "mbr with overlapping partitions", Make: mbr(Slot{0x83, 1, 100}, Slot{0x83, 50, 100}), Says: []string{"overlap"}},
		Hostile{Name: "mbr with a partition past the end", Make: mbr(Slot{0x83, 1, 1 << 20}), Max: 1 << 40, Says: []string{"cut short"}, Whole: true},
		Hostile{Name: "mbr with a partition of 2 TiB", Make: mbr(Slot{0x83, 1, 1<<32 - 1}), Max: 1 << 40, Says: []string{"needs 2199023255552 bytes"}},
		Hostile{Name: "mbr with an extended partition that leads to itself", Make: mbr(Slot{0x05, 1, 100})},
		Hostile{Name: "mbr larger than the disk", Make: mbr(Slot{0x83, 1, 100}), Size: 1 << 40, Says: []string{"disk"}})
	return list
}

func polyglots() []Hostile {
	both := func(make func() []byte, also ...string) func() []byte {
		return changed(make, func(b []byte) {
			for _, s := range also {
				switch s {
				case "mbr":
					MBR(b, 5, Slot{Type: 0x83, First: 1, Size: 8})
				case "iso":
					isoInto(b)
				case "vdi":
					copy(b[0x40:], VDI()[0x40:0x1c8])
				default:
					copy(b, s)
				}
			}
		})
	}
	base := func(make func() []byte) func() []byte {
		return func() []byte { return append(make(), filled(128<<10, 0, "")()...)[:128<<10] }
	}
	q := func() []byte { return QCOW2{}.Make(small()) }
	var list []Hostile
	add := func(name string, make func() []byte) {
		list = append(list, Hostile{Name: "polyglot " + name, Make: make, Says: []string{"several formats"}})
	}
	add("qcow2 and mbr", both(q, "mbr"))
	add("qcow2 and iso", both(q, "iso"))
	add("qcow2 and vdi", with(q, 0x40, "\x7f\x10\xda\xbe"))
	add("vdi and mbr", both(base(VDI), "mbr"))
	add("vdi and iso", both(base(VDI), "iso"))
	add("vdi and iso and gpt", both(Hybrid, "vdi"))
	add("vmdk and mbr", both(base(func() []byte { return VMDK(descriptor("monolithicSparse", ownExtent())) }), "mbr"))
	add("vmdk and iso", both(base(func() []byte { return VMDK(descriptor("monolithicSparse", ownExtent())) }), "iso"))
	add("vmdk text and iso and mbr", both(base(text("# Disk DescriptorFile\n")), "iso", "mbr"))
	add("vhd and iso", both(base(VHD), "iso"))
	add("vhd and gpt", both(Disk, "conectix"))
	add("vhdx and mbr", both(VHDX, "mbr"))
	add("luks and mbr", both(func() []byte { return LUKS(1) }, "mbr"))
	add("luks and iso", both(base(func() []byte { return LUKS(2) }), "iso"))
	add("qed and iso", both(ISO, "QED\x00"))
	add("qed and gpt", both(Disk, "QED\x00"))
	list = append(list, Hostile{Name: "polyglot declared as raw", Make: both(base(VDI), "mbr"), Declared: "raw", Says: []string{"several formats"}},
		Hostile{Name: "polyglot declared as qcow2", Make: both(q, "mbr"), Declared: "qcow2", Says: []string{"several formats"}})
	return list
}

func unknowns() []Hostile {
	noise := func() []byte {
		b := make([]byte, 1<<20)
		rand.New(rand.NewSource(3)).Read(b)
		return b
	}
	fat := changed(filled(64<<10, 54, "FAT12   "), put16(510, 0xaa55))
	var list []Hostile
	add := func(name string, make func() []byte, says ...string) {
		list = append(list, Hostile{Name: "unknown " + name, Make: make, Says: says})
	}
	add("nothing at all", text(""), "not a whole-disk image")
	add("one byte", text("x"), "not a whole-disk image")
	add("a boot sector less a byte", cut(mbr(Slot{0x83, 1, 1}), 511), "not a whole-disk image")
	add("zeros", filled(1<<20, 0, ""), "not a whole-disk image")
	add("a TiB of zeros", text(""), "not a whole-disk image")
	list[len(list)-1].Size = 1 << 40
	add("noise", noise, "not a whole-disk image")
	add("noise declared as raw", noise, "taken for it", "boot")
	list[len(list)-1].Declared = "raw"
	add("noise declared as gpt", noise, "not a whole-disk image")
	list[len(list)-1].Declared = "gpt"
	add("noise as a partition", noise, "no known file system")
	list[len(list)-1].Partition = true
	add("a program", filled(64<<10, 0, "\x7fELF\x02\x01\x01"), "not a whole-disk image")
	add("a Windows program", filled(64<<10, 0, "MZ"), "not a whole-disk image")
	add("a web page", text("\n<!DOCTYPE html><html>Log in</html>"), "web page")
	add("a shell script", text("#!/bin/sh\nreboot -f\n"), "not a whole-disk image")
	add("a file system without a table", filled(64<<10, 1080, "\x53\xef"), "single file system")
	add("a FAT that looks like a table", fat, "single file system")
	add("an ext4 with blocks of 2^64 bytes", changed(filled(1<<20, 1080, "\x53\xef"), put32(1024+24, 1<<31)), "ext4")
	list[len(list)-1].Partition = true
	add("a disk as a partition", Disk, "whole disk")
	list[len(list)-1].Partition = true
	add("a tar", filled(64<<10, 257, "ustar"), "tar")
	add("a zip", filled(64<<10, 0, "PK\x03\x04"), "zip")
	add("a bzip2", text("BZh9"+strings.Repeat("x", 100)), "bzip2")
	add("an lz4", filled(64<<10, 0, "\x04\x22\x4d\x18"), "lz4")
	return list
}
