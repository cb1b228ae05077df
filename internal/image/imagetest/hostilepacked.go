package imagetest

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func zipped(parts ...[]byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	for _, p := range parts {
		w.Write(p)
	}
	w.Close()
	return out.Bytes()
}

func zstded(b []byte) []byte {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func xzed(b []byte) []byte {
	var out bytes.Buffer
	w, err := xz.WriterConfig{DictCap: 1 << 16}.NewWriter(&out)
	if err != nil {
		panic(err)
	}
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// xzDictionary changes the size of the dictionary that an xz asks for. Source: the xz format 3.1, 5.3.1.
func xzDictionary(b []byte, size byte) []byte {
	header := b[12 : 12+4*(int(b[12])+1)]
	i := bytes.Index(header, []byte{0x21, 1})
	header[i+2] = size
	binary.LittleEndian.PutUint32(header[len(header)-4:], crc32.ChecksumIEEE(header[:len(header)-4]))
	return b
}

// Frame is a zstd frame with a window of 1<<log bytes: a disk, and behind it n blocks of 128 KiB that are one zero each.
// Source: RFC 8878, 3.1.1.
func Frame(disk []byte, log uint, n int) []byte {
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, byte(log-10) << 3}
	block := func(last bool, kind, size int, data []byte) {
		h := uint32(size)<<3 | uint32(kind)<<1
		if last {
			h |= 1
		}
		b = append(append(b, byte(h), byte(h>>8), byte(h>>16)), data...)
	}
	for at := 0; at < len(disk); at += 128 << 10 {
		part := disk[at:min(at+128<<10, len(disk))]
		block(false, 0, len(part), part)
	}
	for range n {
		block(false, 1, 128<<10, []byte{0})
	}
	block(true, 0, 0, nil)
	return b
}

// start is the disk's first MiB, in which its table is: its last partition ends at 3 MiB.
func start() []byte { return Disk()[:1<<20] }

func packed() []Hostile {
	var list []Hostile
	add := func(name string, make func() []byte, says ...string) {
		list = append(list, Hostile{Name: "packed " + name, Make: make, Says: says})
	}
	late := func(name string, make func() []byte, says ...string) {
		add(name, make, says...)
		list[len(list)-1].Reading = true
	}
	pack := func(with func([]byte) []byte, what func() []byte) func() []byte {
		return func() []byte { return with(what()) }
	}
	gz := func(b []byte) []byte { return zipped(b) }
	q := func() []byte { return QCOW2{}.Make(small()) }

	add("gzip with nothing wrong", pack(gz, Disk))
	add("zstd with nothing wrong", pack(zstded, Disk))
	add("xz with nothing wrong", pack(xzed, Disk))
	add("qcow2 in gzip", pack(gz, q), "qcow2 inside")
	add("qcow2 in zstd", pack(zstded, q), "qcow2 inside")
	add("qcow2 in xz", pack(xzed, q), "qcow2 inside")
	add("vmdk in gzip", pack(gz, func() []byte { return VMDK(descriptor("monolithicFlat", `RW 8 FLAT "/etc/shadow" 0`)) }), "vmdk", "/etc/shadow")
	add("a polyglot in zstd", pack(zstded, changed(Hybrid, func(b []byte) { copy(b[0x40:], "\x7f\x10\xda\xbe") })), "several formats")
	add("gzip in gzip", pack(gz, pack(gz, Disk)), "twice")
	add("zstd in gzip", pack(gz, pack(zstded, Disk)), "twice")
	add("xz in zstd", pack(zstded, pack(xzed, Disk)), "twice")
	add("gzip in itself a hundred times", func() []byte {
		b := Disk()[:1<<20]
		for range 100 {
			b = zipped(b)
		}
		return b
	}, "twice")
	add("a web page in gzip", pack(gz, text("<html>")), "web page")
	add("noise in zstd declared as raw", pack(zstded, text(strings.Repeat("noise", 1000))), "taken for it")
	list[len(list)-1].Declared = "raw"
	add("a gzip of nothing", pack(gz, text("")), "not a whole-disk image")
	add("half a gzip header", cut(pack(gz, Disk), 5), "damaged")
	add("gzip with an endless name", func() []byte {
		return append([]byte("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03"), bytes.Repeat([]byte("n"), 1<<20)...)
	}, "damaged")
	add("a million empty gzips", func() []byte { return bytes.Repeat(zipped(), 1<<16) }, "not a whole-disk image")
	late("gzip cut short", changed(pack(gz, Disk), func(b []byte) { clear(b[len(b)-8:]) }), "damaged")
	late("gzip bomb of 256 MiB", func() []byte { return zipped(start(), make([]byte, 256<<20)) }, "larger than the disk")
	late("gzip bomb of many members", func() []byte { return append(zipped(Disk()), bytes.Repeat(zipped(make([]byte, 1<<20)), 300)...) }, "larger than the disk")
	add("zstd garbage", text("\x28\xb5\x2f\xfd"+strings.Repeat("\xff", 99)), "damaged")
	late("zstd bomb of 4 GiB", func() []byte { return Frame(start(), 20, 4<<30>>17) }, "larger than the disk")
	late("zstd bomb of 4 GiB for a large disk", func() []byte { return Frame(start(), 20, 4<<30>>17) })
	list[len(list)-1].Max = 1 << 40
	late("zstd bomb of many frames", func() []byte { return append(Frame(start(), 17, 0), bytes.Repeat(Frame(nil, 17, 8), 300)...) }, "larger than the disk")
	add("zstd that announces 2^62 bytes", func() []byte {
		return append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x50, 0, 0, 0, 0, 0, 0, 0, 0x3f}, Frame(start(), 20, 0)[6:]...)
	}, "needs 4539628424389459968 bytes")
	for _, log := range []uint{27, 31, 41} {
		add("zstd with a window of 2^"+string(rune('0'+log/10))+string(rune('0'+log%10)), func() []byte { return Frame(start(), log, 8) }, "window")
	}
	late("zstd with the largest window, unused", func() []byte { return Frame(start(), 26, 80) })
	add("zstd metadata of 4 GiB", text("\x50\x2a\x4d\x18\xff\xff\xff\xff"), "zstd")
	add("a thousand zstd frames of nothing", func() []byte { return bytes.Repeat(zstded(nil), 1000) }, "not a whole-disk image")
	add("xz that is none", filled(4096, 0, "\xfd7zXZ\x00"), "damaged")
	late("xz bomb of 32 MiB", func() []byte { return xzed(append(start(), make([]byte, 32<<20)...)) }, "larger than the disk")
	for _, d := range []byte{30, 40} { // 128 MiB, 4 GiB
		add("xz with a dictionary of kind "+string(rune('0'+d/10))+"0", func() []byte { return xzDictionary(xzed(start()), d) }, "dictionary")
	}
	late("xz with the largest dictionary, unused", func() []byte { return xzDictionary(xzed(Disk()), 28) })
	return list
}
