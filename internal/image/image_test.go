package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

// at gives n bytes with a magic at an offset.
func at(n, offset int, magic string) []byte {
	b := make([]byte, n)
	copy(b[offset:], magic)
	return b
}

func gptDisk(ss int64) []byte {
	disk := make([]byte, 4<<20)
	rand.New(rand.NewSource(1)).Read(disk[2<<20 : 3<<20])
	n := uint64(1<<20) / uint64(ss)
	imagetest.GPT(disk, ss, imagetest.Part{Type: image.TypeESP, First: n, Last: 2*n - 1, Name: "EFI System"},
		imagetest.Part{Type: image.TypeLinuxRoot, First: 2 * n, Last: 3*n - 1, Name: "rööt"})
	return disk
}

func mbrDisk() []byte {
	disk := make([]byte, 4<<20)
	imagetest.MBR(disk, 0x1234abcd, imagetest.Slot{Type: 0xef, First: 2048, Size: 2048}, imagetest.Slot{Type: 0x83, First: 4096, Size: 2048})
	return disk
}

func packGzip(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func packZstd(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func packXZ(b []byte, dictionary int) []byte {
	var out bytes.Buffer
	w, err := xz.WriterConfig{DictCap: dictionary}.NewWriter(&out)
	if err != nil {
		panic(err)
	}
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func TestDetect(t *testing.T) {
	fat := at(4096, 54, "FAT12   ")
	fat[510], fat[511] = 0x55, 0xaa
	for _, c := range []struct {
		name string
		head []byte
		want image.Format
	}{
		{"nothing", nil, image.Unknown},
		{"zeros", make([]byte, 1<<20), image.Unknown},
		{"gpt", gptDisk(512), image.Raw},
		{"mbr", mbrDisk(), image.Raw},
		{"qcow2", at(512, 0, "QFI\xfb\x00\x00\x00\x03"), image.QCOW2},
		{"qed", at(512, 0, "QED\x00"), image.QED},
		{"vhd", at(512, 0, "conectix"), image.VHD},
		{"vhdx", at(512, 0, "vhdxfile"), image.VHDX},
		{"vmdk sparse", at(512, 0, "KDMV\x01"), image.VMDK},
		{"vmdk text", at(512, 0, "# Disk DescriptorFile\n"), image.VMDK},
		{"vdi", at(512, 0x40, "\x7f\x10\xda\xbe"), image.VDI},
		{"luks", at(512, 0, "LUKS\xba\xbe\x00\x02"), image.LUKS},
		{"iso", at(40000, 32769, "CD001"), image.ISO},
		{"udf", at(40000, 32769, "NSR03"), image.ISO},
		{"gzip", packGzip([]byte("x")), image.Gzip},
		{"zstd", packZstd([]byte("x")), image.Zstd},
		{"zstd skippable", at(16, 0, "\x5a\x2a\x4d\x18\x04\x00\x00\x00"), image.Zstd},
		{"xz", at(16, 0, "\xfd7zXZ\x00"), image.XZ},
		{"bzip2", at(16, 0, "BZh9"), image.Bzip2},
		{"fat", fat, image.Filesystem},
		{"ext4", at(4096, 1080, "\x53\xef"), image.Filesystem},
		{"html", []byte(" \n<!DOCTYPE HTML><html>"), image.HTML},
		{"tar", at(512, 257, "ustar"), image.Tar},
	} {
		if got := image.Detect(c.head); got != c.want {
			t.Errorf("%s: detected %q, want %q", c.name, got, c.want)
		}
	}
}

// TestTrapQEDReadAsRaw: a QED image with a backing file is known for what it is, and refused also where it is declared raw.
func TestTrapQEDReadAsRaw(t *testing.T) {
	disk := gptDisk(512)
	copy(disk, "QED\x00")
	for _, declared := range []string{"", "raw", "qed", "qcow2"} {
		_, err := image.Check(bytes.NewReader(disk), int64(len(disk)), image.Options{Declared: declared})
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "qed") {
			t.Errorf("declared as %q: %v", declared, err)
		}
	}
}

func TestISOInDiskImageIsRefused(t *testing.T) {
	disk := gptDisk(512)
	copy(disk[32769:], "CD001")
	if got := image.Detect(disk); got != image.ISO {
		t.Errorf("a hybrid ISO is %q, want iso", got)
	}
}

func TestParseTable(t *testing.T) {
	for _, ss := range []int64{512, 4096} {
		table, err := image.ParseTable(gptDisk(ss)[:image.HeadSize])
		if err != nil {
			t.Fatalf("sector size %d: %v", ss, err)
		}
		if table.Kind != image.GPT || table.SectorSize != ss || len(table.Partitions) != 2 || table.End() != 3<<20 {
			t.Errorf("sector size %d: table = %+v", ss, table)
		}
		esp, root := table.Partitions[0], table.Partitions[1]
		if !esp.IsESP() || esp.Start != 1<<20 || esp.Size != 1<<20 || root.IsESP() || root.Name != "rööt" || root.Number != 2 {
			t.Errorf("sector size %d: partitions = %+v", ss, table.Partitions)
		}
	}
	table, err := image.ParseTable(mbrDisk())
	if err != nil || table.Kind != image.MBR || table.ID != "0x1234abcd" || table.Partitions[1].UUID != "1234abcd-02" || !table.Partitions[0].IsESP() {
		t.Errorf("mbr = %+v, %v", table, err)
	}
}

// reseal makes the checksums of a 512-byte-sector GPT right again after a change.
func reseal(disk []byte) {
	h := disk[512 : 512+92]
	binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(disk[1024:1024+128*128]))
	binary.LittleEndian.PutUint32(h[16:], image.HeaderCRC(h))
}

func TestDamagedTablesAreRefused(t *testing.T) {
	le := binary.LittleEndian
	for _, c := range []struct {
		name string
		hurt func(disk []byte)
		says string
	}{
		{"header bit", func(d []byte) { d[512+60] ^= 1 }, "checksum of the GPT header"},
		{"entry bit", func(d []byte) { d[1024+60] ^= 1 }, "checksum of the GPT entries"},
		{"no header", func(d []byte) { clear(d[512:1024]) }, "no GPT header"},
		{"no entries", func(d []byte) { clear(d[1024:4096]); reseal(d) }, "empty"},
		{"overlap", func(d []byte) { le.PutUint64(d[1024+128+32:], 2100); reseal(d) }, "overlap"},
		{"outside", func(d []byte) { le.PutUint64(d[1024+128+40:], 1<<40); reseal(d) }, "outside"},
		{"huge count", func(d []byte) { le.PutUint32(d[512+80:], 1<<31); reseal(d) }, "entries"},
		{"odd entry size", func(d []byte) { le.PutUint32(d[512+84:], 129); reseal(d) }, "entries"},
		{"array far away", func(d []byte) { le.PutUint64(d[512+72:], 1<<62); reseal(d) }, "first MiB"},
		{"header size", func(d []byte) { le.PutUint32(d[512+12:], 1<<30); reseal(d) }, "size"},
		{"hybrid", func(d []byte) { copy(d[462:], d[446:462]) }, "hybrid"},
		{"boot flag", func(d []byte) { d[446] = 7 }, "boot flag"},
		{"reversed", func(d []byte) { le.PutUint64(d[512+48:], 1); reseal(d) }, "usable range"},
	} {
		disk := gptDisk(512)
		c.hurt(disk)
		_, err := image.Inspect(disk[:image.HeadSize], image.Options{Declared: "raw"})
		if fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want a refusal about %q", c.name, err, c.says)
		}
	}
}

func TestInspectComparesTheDeclaredFormat(t *testing.T) {
	for declared, ok := range map[string]bool{"": true, "raw": true, "gpt": true, "unknown": true, "qcow2": false, "iso": false} {
		if _, err := image.Inspect(gptDisk(512), image.Options{Declared: declared}); (err == nil) != ok {
			t.Errorf("declared %q: %v", declared, err)
		}
	}
	_, err := image.Inspect(at(512, 0, "QFI\xfb"), image.Options{Declared: "raw"})
	if public, _ := fault.PublicOf(err); !strings.Contains(public, "qcow2") || !strings.Contains(public, "inside another format") {
		t.Errorf("a qcow2 inside something: %v", err)
	}
}

func TestCheckDeclared(t *testing.T) {
	for _, c := range []struct {
		info map[string]any
		says string // "" for accepted
	}{
		{nil, ""}, {map[string]any{"image_type": "whole-disk", "kernel": "http://h/k", "image_disk_format": "raw"}, ""},
		{map[string]any{"image_disk_format": "qcow2"}, ""}, {map[string]any{"image_disk_format": "gpt"}, ""},
		{map[string]any{"image_type": "partition"}, "root_gb"}, {map[string]any{"image_type": "iso"}, "image_type"},
		{map[string]any{"kernel": "http://h/k"}, "kernel"}, {map[string]any{"ramdisk": "http://h/r"}, "ramdisk"},
		{map[string]any{"image_disk_format": "vmdk"}, "vmdk"},
		{map[string]any{"image_type": "partition", "root_gb": 4}, ""}, {map[string]any{"image_type": "partition", "root_gb": "4", "swap_mb": 512.0, "kernel": "http://h/k"}, ""},
		{map[string]any{"image_type": "partition", "root_gb": 0}, "root_gb"}, {map[string]any{"image_type": "partition", "root_gb": -1}, "root_gb"},
		{map[string]any{"image_type": "partition", "root_gb": 1.5}, "whole number"}, {map[string]any{"image_type": "partition", "root_gb": "9999999999999999999"}, "whole number"},
		{map[string]any{"image_type": "partition", "root_gb": 4, "swap_mb": "some"}, "swap_mb"}, {map[string]any{"image_type": "partition", "root_gb": true}, "root_gb"},
		{map[string]any{"image_type": "partition", "root_gb": 4, "ephemeral_gb": 1}, "Ephemeral"},
		{map[string]any{"image_type": "partition", "root_gb": 4, "preserve_ephemeral": true}, "preserve_ephemeral"},
		{map[string]any{"image_type": "partition", "root_gb": 4, "preserve_ephemeral": "false", "ephemeral_gb": 0}, ""},
		{map[string]any{"image_type": "partition", "root_gb": 4, "image_disk_format": "gpt"}, "gpt"},
	} {
		err := image.Rules{}.CheckDeclared(c.info)
		if (err == nil) != (c.says == "") || err != nil && (fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%v: %v, want %q", c.info, err, c.says)
		}
	}
}

func TestDecode(t *testing.T) {
	for _, disk := range [][]byte{gptDisk(512), mbrDisk(), mbrDisk()[:600]} {
		if len(disk) < 1<<20 {
			imagetest.MBR(disk, 1, imagetest.Slot{Type: 0x83, First: 1, Size: 1})
			clear(disk[462:510])
		}
		two := append(packZstd(disk[:500]), packZstd(disk[500:])...)
		for name, packed := range map[string][]byte{"": disk, "gzip": packGzip(disk), "zstd": packZstd(disk), "xz": packXZ(disk, 1<<20)} {
			d, err := image.NewDecoder(iotest.OneByteReader(bytes.NewReader(packed)), image.Options{Declared: "raw", MaxSize: 8 << 20})
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			got, err := io.ReadAll(d)
			if err != nil || !bytes.Equal(got, disk) || string(d.Info().Compression) != name {
				t.Errorf("%q: %d bytes, %v, %+v", name, len(got), err, d.Info())
			}
			if name == "zstd" && d.Info().Size != int64(len(disk)) {
				t.Errorf("the frame announces %d bytes", d.Info().Size)
			}
			d.Close()
		}
		if d, err := image.NewDecoder(bytes.NewReader(two), image.Options{}); err == nil {
			if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, disk) {
				t.Errorf("two frames: %d bytes, %v", len(got), err)
			}
		} else {
			t.Errorf("two frames: %v", err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	disk := gptDisk(512)
	wide, _ := zstd.NewWriter(nil, zstd.WithWindowSize(128<<20), zstd.WithSingleSegment(false))
	var long bytes.Buffer
	wide.Reset(&long)
	io.Copy(wide, bytes.NewReader(disk))
	wide.Close()
	for _, c := range []struct {
		name   string
		packed []byte
		limit  int64
		kind   fault.Kind
		says   string
	}{
		{"qcow2 inside zstd", packZstd(at(4096, 0, "QFI\xfb")), 0, fault.Invalid, "qcow2 inside another"},
		{"not much of an xz", at(4096, 0, "\xfd7zXZ\x00"), 0, fault.Invalid, "xz image is damaged"},
		{"xz with a large dictionary", packXZ(disk, 128<<20), 0, fault.Invalid, "dictionary"},
		{"xz inside zstd", packZstd(packXZ(disk, 1<<20)), 0, fault.Invalid, "twice"},
		{"twice", packZstd(packGzip(disk)), 0, fault.Invalid, "twice"},
		{"empty", nil, 0, fault.Invalid, "not a whole-disk image"},
		{"zstd of zeros", packZstd(make([]byte, 4<<20)), 0, fault.Invalid, "not a whole-disk image"},
		{"announced too large", packZstd(disk), 3 << 20, fault.TooLarge, "4194304"},
		{"partition beyond", disk, 2 << 20, fault.TooLarge, "3145728"},
		{"cut gzip header", packGzip(disk)[:5], 0, fault.Invalid, "damaged"},
		{"garbage zstd", append([]byte("\x28\xb5\x2f\xfd"), bytes.Repeat([]byte{0xff}, 99)...), 0, fault.Invalid, "damaged"},
		{"window", long.Bytes(), 0, fault.Invalid, "window"},
	} {
		_, err := image.NewDecoder(bytes.NewReader(c.packed), image.Options{MaxSize: c.limit})
		if err == nil || fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v about %q", c.name, err, c.kind, c.says)
		}
	}
}

func TestDecodeIsBounded(t *testing.T) {
	disk := mbrDisk()
	bomb := packGzip(append(disk, make([]byte, 64<<20)...))
	d, err := image.NewDecoder(bytes.NewReader(bomb), image.Options{MaxSize: 5 << 20})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, d)
	if fault.KindOf(err) != fault.TooLarge || n > 5<<20 {
		t.Errorf("read %d bytes, %v: want TooLarge within the limit", n, err)
	}
}

func TestReadersErrorIsKept(t *testing.T) {
	lost := errors.New("connection lost")
	for _, packed := range [][]byte{gptDisk(512), packZstd(gptDisk(512)), packGzip(gptDisk(512)), packXZ(gptDisk(512), 1<<20)} {
		for _, cut := range []int{3, len(packed) / 2, len(packed) - 1} {
			r := io.MultiReader(bytes.NewReader(packed[:cut]), iotest.ErrReader(lost))
			d, err := image.NewDecoder(r, image.Options{})
			if err == nil {
				_, err = io.Copy(io.Discard, d)
			}
			if !errors.Is(err, lost) {
				t.Errorf("cut at %d of %d: %v, want the reader's error", cut, len(packed), err)
			}
		}
	}
}

func FuzzInspect(f *testing.F) {
	f.Add(gptDisk(512)[:1024+128*128])
	f.Add(gptDisk(4096)[:8192+128*128])
	f.Add(mbrDisk()[:512])
	f.Add(at(512, 0, "QFI\xfb"))
	f.Fuzz(func(t *testing.T, head []byte) {
		info, err := image.Inspect(head, image.Options{Declared: "raw"})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatalf("not a fault: %v", err)
			}
			return
		}
		for _, p := range info.Table.Partitions {
			if p.Start <= 0 || p.Size <= 0 || p.End() < p.Start || p.Number < 1 {
				t.Fatalf("accepted %+v", p)
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	small := mbrDisk()[:1024]
	f.Add(small)
	f.Add(packZstd(small))
	f.Add(packGzip(small))
	f.Add(packXZ(small, 1<<16))
	f.Fuzz(func(t *testing.T, packed []byte) {
		const limit = 8 << 20
		d, err := image.NewDecoder(bytes.NewReader(packed), image.Options{MaxSize: limit})
		if err == nil {
			var n int64
			n, err = io.Copy(io.Discard, d)
			d.Close()
			if n > limit {
				t.Fatalf("%d bytes past the limit", n)
			}
		}
		if err != nil && fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.TooLarge {
			t.Fatalf("not a fault: %v", err)
		}
	})
}
