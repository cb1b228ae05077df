package imagetest

// VDI is a VirtualBox disk of 4 MiB with nothing in it.
func VDI() []byte {
	b := make([]byte, 4096)
	copy(b, "<<< VirtualBox Disk Image >>>\n")
	copy(b[0x40:], "\x7f\x10\xda\xbe")
	le.PutUint32(b[0x44:], 0x10001)
	le.PutUint32(b[0x48:], 0x190)
	le.PutUint32(b[0x4c:], 1)
	le.PutUint32(b[0x154:], 512)
	le.PutUint32(b[0x158:], 1024)
	le.PutUint32(b[0x168:], 512)
	le.PutUint64(b[0x170:], DiskSize)
	le.PutUint32(b[0x178:], 1<<20)
	le.PutUint32(b[0x180:], 4)
	return b
}

func hostileVDI() []Hostile {
	var list []Hostile
	add := func(name string, make func() []byte, says ...string) {
		list = append(list, Hostile{Name: "vdi " + name, Make: make, Says: append([]string{"vdi"}, says...)})
	}
	at := func(off int, v uint32) func() []byte { return changed(VDI, put32(off, v)) }
	add("nothing is wrong with", VDI, "not supported")
	add("declared as raw", VDI, "not supported")
	list[len(list)-1].Declared = "raw"
	add("differencing", at(0x4c, 4), "parent")
	add("undo", at(0x4c, 3), "parent")
	add("with a parent's number", at(0x1b8, 9), "parent")
	add("of an unknown kind", at(0x4c, 99), "kind")
	add("of another version", at(0x44, 0x20000), "version")
	add("with a header of 2^32 bytes", at(0x48, 1<<32-1), "header")
	add("with unknown features", at(0x50, 1<<7), "features")
	add("with sectors of 0 bytes", at(0x168, 0), "sectors")
	add("with blocks of nothing", at(0x178, 0), "blocks")
	add("with blocks of 3 bytes", at(0x178, 3), "blocks")
	add("with 2^32 blocks", at(0x180, 1<<32-1), "too large")
	add("with too few blocks", at(0x180, 1), "blocks")
	add("with more used than there are", at(0x184, 5), "used")
	add("with used blocks past the end", at(0x184, 4), "data")
	add("of 2^63 bytes", changed(VDI, put64(0x170, 1<<63)), "too large")
	add("with its table in its header", at(0x154, 0), "table of blocks")
	add("with its table past the end", at(0x154, 1<<31), "table of blocks")
	add("with its data in its table", at(0x158, 512), "data")
	add("cut short", cut(VDI, 0x60), "points to byte")
	return list
}

// LUKS is an encrypted volume's header.
func LUKS(version uint16) []byte {
	b := make([]byte, 64<<10)
	copy(b, "LUKS\xba\xbe")
	be.PutUint16(b[6:], version)
	if version == 2 {
		be.PutUint64(b[8:], 0x4000)
		return b
	}
	copy(b[8:], "aes")
	copy(b[40:], "xts-plain64")
	copy(b[72:], "sha256")
	be.PutUint32(b[104:], 8)
	be.PutUint32(b[108:], 64)
	return b
}

func hostileLUKS() []Hostile {
	of := func(version uint16) func() []byte { return func() []byte { return LUKS(version) } }
	return []Hostile{
		{Name: "luks 1", Make: of(1), Says: []string{"luks", "encrypted (version 1)"}},
		{Name: "luks 1 declared as raw", Make: of(1), Declared: "raw", Says: []string{"luks", "encrypted"}},
		{Name: "luks 1 with its data past the end", Make: changed(of(1), big32(104, 1<<32-1)), Says: []string{"luks", "past the end"}},
		{Name: "luks 2", Make: of(2), Says: []string{"luks", "encrypted (version 2)"}},
		{Name: "luks 2 with a header of 2^63 bytes", Make: changed(of(2), big64(8, 1<<63)), Says: []string{"luks", "header"}},
		{Name: "luks 9", Make: of(9), Says: []string{"luks", "not known"}},
		{Name: "luks cut short", Make: cut(of(1), 50), Says: []string{"luks", "points to byte"}},
		{Name: "qed", Make: filled(4096, 0, "QED\x00"), Says: []string{"qed", "not supported"}},
		{Name: "qed declared as raw", Make: filled(4096, 0, "QED\x00"), Declared: "raw", Says: []string{"qed", "not supported"}},
		{Name: "qed with a backing file", Make: changed(filled(4096, 0, "QED\x00"), put64(16, 1)), Says: []string{"qed"}},
	}
}
