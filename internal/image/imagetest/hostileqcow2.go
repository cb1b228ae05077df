package imagetest

import (
	"bytes"
	"compress/flate"
	"fmt"
)

// tablesOf finds the first table of a qcow2, its first L2 table, and the entry of the disk's first cluster.
func tablesOf(b []byte) (l1, l2, entry uint64) {
	l1 = be.Uint64(b[40:])
	l2 = be.Uint64(b[l1:]) &^ (1 << 63)
	return l1, l2, be.Uint64(b[l2:])
}

// backed names a backing file in a qcow2.
func backed(name string) func([]byte) {
	return func(b []byte) {
		be.PutUint64(b[8:], 256)
		be.PutUint32(b[16:], uint32(len(name)))
		copy(b[256:], name)
	}
}

// feature sets a bit of the incompatible features.
func feature(n int) func([]byte) {
	return func(b []byte) { be.PutUint64(b[72:], be.Uint64(b[72:])|1<<n) }
}

// extension writes a header extension.
func extension(kind uint32, data string) func([]byte) {
	return func(b []byte) {
		be.PutUint32(b[112:], kind)
		be.PutUint32(b[116:], uint32(len(data)))
		copy(b[120:], data)
	}
}

// l1Entry and l2Entry change the first entry of a table, given what it is.
func l1Entry(to func(is uint64) uint64) func([]byte) {
	return func(b []byte) {
		l1, l2, _ := tablesOf(b)
		be.PutUint64(b[l1:], to(l2))
	}
}

func l2Entry(to func(is uint64) uint64) func([]byte) {
	return func(b []byte) {
		_, l2, entry := tablesOf(b)
		be.PutUint64(b[l2:], to(entry))
	}
}

func is(v uint64) func(uint64) uint64 { return func(uint64) uint64 { return v } }

func hostileQCOW2() []Hostile {
	plain := func() []byte { return QCOW2{}.Make(small()) }
	old := func() []byte { return QCOW2{Version: 2}.Make(small()) }
	inside := func(disk func() []byte) func() []byte { return func() []byte { return QCOW2{}.Make(disk()) } }
	var list []Hostile
	add := func(name string, make func() []byte, says ...string) {
		list = append(list, Hostile{Name: "qcow2 " + name, Make: make, Says: append([]string{"qcow2"}, says...)})
	}
	safe := func(name string, make func() []byte) { list = append(list, Hostile{Name: "qcow2 " + name, Make: make}) }
	change := func(name string, do func([]byte), says ...string) { add(name, changed(plain, do), says...) }

	safe("nothing is wrong with", plain)
	add("declared as raw", plain, "declared")
	list[len(list)-1].Declared = "raw"
	for _, name := range []string{"/etc/shadow", "json:{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}", "http://169.254.169.254/latest", "nbd://10.0.0.1/x", ""} {
		change(fmt.Sprintf("backed by %q", name), backed(name), "backing file")
		add(fmt.Sprintf("of version 2, backed by %q", name), changed(old, backed(name)), "backing file")
	}
	change("backed by a place past the end", big64(8, 1<<63), "backing file")
	change("with its data in a second file", feature(2), "second file")
	change("with a named data file", func(b []byte) { feature(2)(b); extension(0x44415441, "/etc/shadow")(b) }, "second file")
	safe("with a data file named in vain", changed(plain, extension(0x44415441, "/etc/shadow")))
	safe("with the format of a backing file it has not", changed(plain, extension(0xe2792aca, "raw")))
	safe("with an extension of 2^32 bytes", changed(plain, func(b []byte) { big32(112, 0x1234)(b); big32(116, 1<<32-1)(b) }))
	for _, bit := range []int{5, 17, 31, 32, 63} {
		change(fmt.Sprintf("with unknown feature %d", bit), feature(bit), "features that are not known")
	}
	change("with subclusters", feature(4), "subclusters")
	change("marked as corrupt", feature(1), "corrupt")
	change("marked as in use", feature(0), "not closed properly")
	change("encrypted with AES", big32(32, 1), "encrypted")
	change("encrypted with LUKS", big32(32, 2), "encrypted")
	change("encrypted in an unknown way", big32(32, 1<<32-1), "encrypted")
	for _, version := range []uint32{0, 1, 4, 1<<32 - 1} {
		change(fmt.Sprintf("of version %d", version), big32(4, version), "version")
	}
	for _, bits := range []uint32{0, 8, 22, 63, 64, 1<<32 - 1} {
		change(fmt.Sprintf("with clusters of 2^%d bytes", bits), big32(20, bits), "clusters of 2^")
	}
	change("of no size", big64(24, 0), "claims a disk")
	change("of 2^63 bytes", big64(24, 1<<63), "claims a disk")
	change("of an odd size", big64(24, 1000), "claims a disk")
	change("of 2^61 bytes", big64(24, 1<<61), "too small")
	change("for a larger disk", func(b []byte) { big64(24, 1<<30)(b); big32(36, 2)(b) }, "needs 1073741824 bytes")
	list[len(list)-1].Says = []string{"needs 1073741824 bytes"}
	change("with no first table", big64(40, 0), "first table")
	change("with a first table past the end", big64(40, 1<<40), "past the end")
	change("with a first table at 2^63", big64(40, 1<<63), "first table")
	change("with a first table between clusters", big64(40, 77), "first table")
	change("with a first table of no entries", big32(36, 0), "0 entries")
	safe("with a first table that claims 2^32 entries", changed(plain, big32(36, 1<<32-1)))
	change("with a table past the end", l1Entry(is(1<<50|1<<63)), "leads to byte")
	change("with a table between clusters", l1Entry(is(512|1<<63)), "leads to byte")
	change("with reserved bits in a table", l1Entry(func(v uint64) uint64 { return v | 1 }), "leads to byte")
	change("with a header for a table", l1Entry(is(1<<63)), "not a whole-disk image")
	list[len(list)-1].Says = []string{"not a whole-disk image"}
	change("with a cluster past the end", l2Entry(is(1<<50|1<<63)), "cut short")
	change("with a cluster between clusters", l2Entry(is(512|1<<63)), "entry")
	change("with reserved bits in a cluster", l2Entry(func(v uint64) uint64 { return v | 1<<60 }), "entry")
	change("with a table that is its own cluster", func(b []byte) { _, l2, _ := tablesOf(b); be.PutUint64(b[l2:], l2|1<<63) }, "not a whole-disk image")
	list[len(list)-1].Says = []string{"not a whole-disk image"}
	change("with a compressed cluster past the end", l2Entry(is(1<<62|1<<50)), "compressed cluster")
	change("with a compressed cluster in the header", l2Entry(is(1<<62|64)), "compressed cluster")
	change("with a compressed cluster that is none", l2Entry(func(v uint64) uint64 { return 1<<62 | v&^(1<<63) }), "decompressed")
	change("compressed in an unknown way", func(b []byte) { b[104] = 9 }, "compressed in a way")
	change("compressed in a way it does not admit", func(b []byte) { b[104] = 1 }, "contradicts")
	change("with a header of no length", big32(100, 0), "header of 0 bytes")
	change("with a header of odd length", big32(100, 105), "header of 105 bytes")
	add("cut in its header", cut(plain, 50), "cut short")
	add("of version 3, cut where version 2 ends", cut(plain, 72), "cut short")
	add("cut before its tables", cut(plain, 1000), "past the end")
	safe("with 2^32 snapshots", changed(plain, func(b []byte) { big32(60, 1<<32-1)(b); big64(64, 1<<62)(b) }))
	safe("with a refcount table at the end of the world", changed(plain, big64(48, 1<<62)))
	for name, disk := range map[string]func() []byte{"nothing": filled(64<<10, 0, ""), "a qcow2": plain, "a vmdk text": filled(64<<10, 0, "# Disk DescriptorFile\n"),
		"a luks": func() []byte { return LUKS(1) }, "an ISO": Hybrid, "a qcow2 and a table": with(small, 0, "QFI\xfb"), "a gzip": filled(64<<10, 0, "\x1f\x8b\x08")} {
		add("inside it "+name, inside(disk))
		list[len(list)-1].Says = nil
		list[len(list)-1].Says = []string{"image"}
	}
	add("with a table beyond its disk", inside(func() []byte { return resealed(put64(512+48, 1<<30))() }), "")
	list[len(list)-1].Says = nil // the table alone claims it: no partition is there
	add("cut short inside", inside(cut(Disk, 1<<20)), "cut short")
	list[len(list)-1].Says = []string{"cut short"}
	return append(list, bombs()...)
}

// bombs are qcow2 files of a few bytes that are much when they are read.
func bombs() []Hostile {
	// a compressed cluster whose deflate stream does not end with the cluster
	endless := func() []byte {
		b := QCOW2{}.Make(small())
		_, l2, _ := tablesOf(b)
		var out bytes.Buffer
		w, _ := flate.NewWriter(&out, flate.BestCompression)
		w.Write(small())
		w.Write(make([]byte, 64<<20))
		w.Close()
		at := len(b)
		b = append(b, out.Bytes()...)
		sectors := uint64(out.Len()/512) & 255
		be.PutUint64(b[l2:], 1<<62|sectors<<54|uint64(at))
		return b
	}
	return []Hostile{
		{Name: "qcow2 whose compressed cluster is of 64 MiB", Make: endless, Reading: true, Max: 1 << 40, Says: nil},
		{Name: "qcow2 whose disk is one compressed cluster", Make: func() []byte { return oneCluster(true, 16<<20) }, Reading: true, Says: []string{"bomb"}},
		{Name: "qcow2 of 4 GiB that is one cluster of 512 bytes", Make: func() []byte { return oneCluster(false, 4<<30) }, Reading: true, Max: 1 << 40, Says: []string{"too many clusters"}},
		{Name: "qcow2 of 1 GiB that is one cluster of 512 bytes", Make: func() []byte { return oneCluster(false, 1<<30) }, Reading: true, Max: 1 << 40, Says: []string{"bomb"}},
		{Name: "qcow2 whose every cluster is everywhere", Make: everywhere, Reading: true, Max: 1 << 40, Says: []string{"bomb"}},
		{Name: "qcow2 of 16 TiB that is nothing", Make: hollow, Max: 1 << 50, Reading: true},
		{Name: "qcow2 with the largest tables", Make: func() []byte { return widest() }, Max: 1 << 50, Says: []string{"not a whole-disk image"}},
	}
}

// oneCluster is a disk whose every cluster of 512 bytes is the same one, through one L2 table.
func oneCluster(compressed bool, disk uint64) []byte {
	b := QCOW2{Bits: 9, Packed: compressed}.Make(small())
	_, _, first := tablesOf(b)
	entry := first
	if compressed { // not the first, whose bytes are a partition table: zeros
		var out bytes.Buffer
		w, _ := flate.NewWriter(&out, flate.BestCompression)
		w.Write(make([]byte, 512))
		w.Close()
		entry = 1<<62 | uint64(len(b))
		b = append(b, out.Bytes()...)
	}
	b = append(b, make([]byte, (512-len(b)%512)%512)...)
	table := func(first uint64) uint64 {
		at := uint64(len(b))
		b = be.AppendUint64(b, first)
		for range 512/8 - 1 {
			b = be.AppendUint64(b, entry)
		}
		return at
	}
	head, rest := table(first), table(entry)
	l1 := uint64(len(b))
	tables := disk / (512 * 64)
	b = be.AppendUint64(b, head|1<<63)
	for range tables - 1 {
		b = be.AppendUint64(b, rest|1<<63)
	}
	be.PutUint64(b[24:], disk)
	be.PutUint32(b[36:], uint32(tables))
	be.PutUint64(b[40:], l1)
	return b
}

// everywhere is a disk whose 64 clusters are each there a thousand times, in an order that joins none.
func everywhere() []byte {
	b := QCOW2{Bits: 9}.Make(small())
	_, l2, _ := tablesOf(b)
	head := l2
	b = append(b, make([]byte, (512-len(b)%512)%512)...)
	data := uint64(len(b))
	b = append(b, bytes.Repeat([]byte("everywhere."), 64*512/11+1)[:64*512]...)
	rest := uint64(len(b))
	for i := range uint64(64) {
		b = be.AppendUint64(b, data+512*(63-i)|1<<63)
	}
	l1 := uint64(len(b))
	const tables = 1001
	b = be.AppendUint64(b, head|1<<63)
	for range tables - 1 {
		b = be.AppendUint64(b, rest|1<<63)
	}
	be.PutUint64(b[24:], tables*64*512)
	be.PutUint32(b[36:], tables)
	be.PutUint64(b[40:], l1)
	return b
}

// hollow is a disk of 16 TiB whose first cluster alone is there.
func hollow() []byte {
	b := QCOW2{}.Make(small())
	l1 := make([]byte, 16<<40/(64<<10)/8192*8)
	_, l2, _ := tablesOf(b)
	be.PutUint64(l1, l2|1<<63)
	at := (len(b) + 65535) / 65536 * 65536
	b = append(append(b, make([]byte, at-len(b))...), l1...)
	be.PutUint64(b[24:], 16<<40)
	be.PutUint32(b[36:], uint32(len(l1)/8))
	be.PutUint64(b[40:], uint64(at))
	return b
}

// widest is a first table of 8 MiB, the most there may be, each of whose entries leads to a table of its own.
func widest() []byte {
	const tables = 1 << 20
	b := QCOW2{Bits: 9}.Make(make([]byte, 32<<10))
	b = append(b, make([]byte, (512-len(b)%512)%512)...)
	l1 := len(b)
	b = append(b, make([]byte, tables*8)...)
	for i := range tables {
		be.PutUint64(b[l1+8*i:], uint64(l1+512*(i%(tables/64)))|1<<63)
	}
	be.PutUint64(b[24:], tables*64*512)
	be.PutUint32(b[36:], tables)
	be.PutUint64(b[40:], uint64(l1))
	return b
}
