package image_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

// formatOnly sees that a check ends in a plain reason, and that a part of the file at hand is judged as well.
func formatOnly(t *testing.T, f image.Format, file []byte) {
	err := image.CheckFormat(f, file)
	if err != nil && (err.Error() == "" || len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\x00\n")) {
		t.Fatalf("the reason is %q", err)
	}
	if f != image.ISO && err == nil && len(file) < 512 {
		t.Fatalf("%s of %d bytes passed", f, len(file))
	}
}

func FuzzVMDK(f *testing.F) {
	for _, h := range imagetest.Corpus() {
		if !strings.HasPrefix(h.Name, "vmdk") {
			continue
		}
		if b := h.Make(); len(b) < 128<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		_ = image.ParseVMDKHeader(file)
		formatOnly(t, image.VMDK, file)
	})
}

func FuzzVMDKDescriptor(f *testing.F) {
	f.Add([]byte("# Disk DescriptorFile\nversion=1\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\nRW 8 SPARSE \"x.vmdk\"\nddb.adapterType = \"ide\"\n"), uint64(8))
	f.Add([]byte("createType=\"streamOptimized\"\nRW 8 SPARSE \"../x\"\n"), uint64(0))
	f.Add([]byte("createType=\"monolithicFlat\"\nRW 8 FLAT \"/etc/shadow\" 0\nparentFileNameHint=\"y\"\n"), uint64(0))
	f.Fuzz(func(t *testing.T, text []byte, sectors uint64) {
		if image.CheckVMDKDescriptor(text, sectors) != nil {
			return
		}
		// What passes names one extent that is no path, and no parent.
		for line := range bytes.Lines(bytes.TrimRight(text, "\x00")) {
			line = bytes.TrimSpace(line)
			if bytes.HasPrefix(line, []byte("RW ")) && bytes.ContainsAny(line, `/\`) {
				t.Fatalf("passed with the extent %q", line)
			}
			if key, value, _ := bytes.Cut(line, []byte("=")); bytes.EqualFold(bytes.TrimSpace(key), []byte("parentFileNameHint")) && len(bytes.Trim(value, " \"\t")) > 0 {
				t.Fatalf("passed with the parent %q", line)
			}
		}
	})
}

func FuzzVHD(f *testing.F) {
	good := imagetest.VHD()
	f.Add(good)
	f.Add(append(make([]byte, 512), good[:512]...))
	sum := func(b []byte, at int) {
		binary.BigEndian.PutUint32(b[at:], 0)
		var n uint32
		for _, c := range b {
			n += uint32(c)
		}
		binary.BigEndian.PutUint32(b[at:], ^n)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		formatOnly(t, image.VHD, file)
		if len(file) < 512 {
			return
		}
		sealed := bytes.Clone(file) // as one whose maker knows the checksums
		copy(sealed, "conectix")
		sum(sealed[:512], 64)
		if at := binary.BigEndian.Uint64(sealed[16:]); at <= uint64(len(sealed)) && uint64(len(sealed))-at >= 1024 && at >= 512 {
			copy(sealed[at:], "cxsparse")
			sum(sealed[at:at+1024], 36)
		}
		formatOnly(t, image.VHD, sealed)
	})
}

// FuzzVHDX takes the parts that matter, and puts them where they belong with the right checksums.
func FuzzVHDX(f *testing.F) {
	const regions, meta = 192 << 10, 2 << 20
	good := imagetest.VHDX()
	f.Add(good[64<<10:64<<10+128], good[regions:regions+128], good[meta:meta+256], good[meta+64<<10:meta+64<<10+64])
	file := make([]byte, len(good))
	f.Fuzz(func(t *testing.T, head, table, items, values []byte) {
		clear(file)
		copy(file, "vhdxfile")
		copy(file[64<<10:68<<10], head)
		copy(file[128<<10:132<<10], head)
		copy(file[regions:regions+64<<10], table)
		copy(file[meta:meta+64<<10], items)
		copy(file[meta+64<<10:], values)
		for _, p := range [][2]int{{64 << 10, 4096}, {128 << 10, 4096}, {regions, 64 << 10}} {
			part := file[p[0] : p[0]+p[1]]
			clear(part[4:8])
			binary.LittleEndian.PutUint32(part[4:], crc32.Checksum(part, crc32.MakeTable(crc32.Castagnoli)))
		}
		formatOnly(t, image.VHDX, file)
	})
}

func FuzzVDI(f *testing.F) {
	f.Add(imagetest.VDI())
	f.Fuzz(func(t *testing.T, file []byte) { formatOnly(t, image.VDI, file) })
}

func FuzzLUKS(f *testing.F) {
	f.Add(imagetest.LUKS(1)[:512])
	f.Add(imagetest.LUKS(2)[:512])
	f.Fuzz(func(t *testing.T, file []byte) {
		if image.CheckFormat(image.LUKS, file) == nil {
			t.Fatal("an encrypted volume passed")
		}
	})
}

func FuzzISO(f *testing.F) {
	f.Add(imagetest.ISO()[32768 : 32768+3*2048])
	f.Fuzz(func(t *testing.T, descriptors []byte) {
		file := make([]byte, 32768+len(descriptors))
		copy(file[32768:], descriptors)
		formatOnly(t, image.ISO, file)
	})
}

// FuzzTable changes a GPT whose checksums are right all the same.
func FuzzTable(f *testing.F) {
	disk := gptDisk(512)[:1<<20]
	f.Add(disk[446:512], disk[512:604], disk[1024:1280])
	mbr := mbrDisk()
	f.Add(mbr[446:512], []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, slots, header, entries []byte) {
		head := bytes.Clone(disk)
		copy(head[440:512], slots)
		copy(head[512:604], header)
		copy(head[1024:1024+128*128], entries)
		reseal(head)
		table, err := image.ParseTable(head)
		if err != nil {
			return
		}
		var before int64
		for _, p := range table.Partitions {
			if p.Start <= 0 || p.Size <= 0 || p.End() < p.Start || p.Number < 1 {
				t.Fatalf("accepted %+v", p)
			}
			before = max(before, p.End())
		}
		if table.End() != before || before <= 0 {
			t.Fatalf("the table ends at %d", table.End())
		}
	})
}

// FuzzImageFile judges whole files of every format.
func FuzzImageFile(f *testing.F) {
	for _, h := range imagetest.Corpus() {
		if !strings.Contains(h.Name, "nothing is wrong") && h.Name != "polyglot vdi and mbr" && h.Name != "luks 1" {
			continue
		}
		if b := h.Make(); len(b) <= 128<<10 {
			f.Add(b, h.Declared, h.Partition)
		}
	}
	f.Add(imagetest.ISO()[:40<<10], "iso", false)
	f.Add(packZstd(mbrDisk()[:8192]), "", false)
	f.Add(mbrDisk()[:8192], "raw", false)
	f.Fuzz(func(t *testing.T, file []byte, declared string, partition bool) {
		o := image.Options{Declared: declared, Partition: partition, MaxSize: 1 << 30}
		info, err := image.Check(bytes.NewReader(file), int64(len(file)), o)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.TooLarge {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if info.Format != image.Raw && info.Format != image.QCOW2 && info.Format != image.ISO || info.Table == nil && info.Root == nil {
			t.Fatalf("accepted %+v", info)
		}
	})
}
