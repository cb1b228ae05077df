package image_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/image/imagetest"
)

// memory is a disk in memory that is full of old data. It counts what is written twice.
type memory struct {
	mu    sync.Mutex
	b     []byte
	wrote []byte
	twice int
}

const oldByte = 0xee

func newMemory(n int) *memory {
	return &memory{b: bytes.Repeat([]byte{oldByte}, n), wrote: make([]byte, n)}
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if off < 0 || off+int64(len(p)) > int64(len(m.b)) {
		return 0, fmt.Errorf("write of %d bytes at %d of %d", len(p), off, len(m.b))
	}
	copy(m.b[off:], p)
	for i := range p {
		m.twice += int(m.wrote[off+int64(i)])
		m.wrote[off+int64(i)] = 1
	}
	return len(p), nil
}

func (m *memory) holes(q *image.QCOW2File) error {
	for off, n := range q.Holes() {
		if _, err := m.WriteAt(make([]byte, n), off); err != nil {
			return err
		}
	}
	return nil
}

// unpackQCOW2 does all that the agent does.
func unpackQCOW2(file []byte, o image.Options) ([]byte, error) {
	q, err := image.OpenQCOW2(bytes.NewReader(file), int64(len(file)), o)
	if err != nil {
		return nil, err
	}
	if err := q.Map(); err != nil {
		return nil, err
	}
	m := newMemory(int(q.Size()))
	if err := errors.Join(q.Scatter(bytes.NewReader(file), m), m.holes(q)); err != nil {
		return nil, err
	}
	if m.twice > 0 {
		return nil, fmt.Errorf("%d bytes were written twice", m.twice)
	}
	if at := bytes.IndexByte(m.wrote, 0); at >= 0 {
		return nil, fmt.Errorf("byte %d was not written", at)
	}
	return m.b, nil
}

// bigDisk has everything a qcow2 cares about: compressible and other data, the same data twice, holes large and
// small, and an end that is no whole cluster.
func bigDisk() []byte {
	b := make([]byte, 6<<20+3*512)
	copy(b, gptDisk(512))
	r := rand.New(rand.NewSource(5))
	r.Read(b[4<<20 : 4<<20+300_000])
	copy(b[5<<20:], bytes.Repeat([]byte("compresses well\n"), 30_000))
	copy(b[5<<20+512<<10:], b[5<<20:5<<20+256<<10])
	r.Read(b[len(b)-700:])
	return b
}

func TestQCOW2(t *testing.T) {
	disk := bigDisk()
	for _, o := range []imagetest.QCOW2{
		{}, {Version: 2}, {Packed: true}, {Packed: true, Zstd: true}, {Shuffle: 1}, {Shuffle: 2, Packed: true, Every: 3},
		{Shuffle: 3, Packed: true, Zstd: true, Every: 2}, {Share: true, Shuffle: 4}, {Share: true, Packed: true, Zstd: true},
		{Bits: 9}, {Bits: 9, Packed: true, Shuffle: 5}, {Bits: 12, Version: 2, Packed: true}, {Bits: 21}, {Bits: 21, Packed: true, Every: 2},
		{Bits: 20, Packed: true, Zstd: true, Shuffle: 6},
	} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
			file := o.Make(disk)
			got, err := unpackQCOW2(file, image.Options{Declared: "qcow2", MaxSize: int64(len(disk))})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, disk) {
				t.Error("the disk differs")
			}
			q, err := image.OpenQCOW2(bytes.NewReader(file), int64(len(file)), image.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if info := q.Info(); info.Format != image.QCOW2 || info.Size != int64(len(disk)) || info.Table.Kind != image.GPT {
				t.Errorf("info = %+v", info)
			}
		})
	}
}

// qemuImg skips a test where the tool is not installed.
func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	tool, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Skip("qemu-img is not installed")
	}
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestQCOW2AsQEMU takes what qemu-img makes, and has it read what our tests make.
func TestQCOW2AsQEMU(t *testing.T) {
	dir := t.TempDir()
	raw, packed, back := filepath.Join(dir, "raw"), filepath.Join(dir, "qcow2"), filepath.Join(dir, "back")
	disk := bigDisk()
	if err := os.WriteFile(raw, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{}, {"-o", "compat=0.10"}, {"-c"}, {"-c", "-o", "compression_type=zstd"}, {"-o", "cluster_size=512"}, {"-c", "-o", "cluster_size=2M"},
		{"-c", "-W", "-o", "cluster_size=4k,compression_type=zstd"}, {"-o", "preallocation=full"}, {"-S", "0"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			qemuImg(t, append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, args...), raw, packed)...)
			file, err := os.ReadFile(packed)
			if err != nil {
				t.Fatal(err)
			}
			got, err := unpackQCOW2(file, image.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got[:len(disk)], disk) {
				t.Error("the disk differs")
			}
		})
	}
	t.Run("with a snapshot, overwritten since", func(t *testing.T) {
		qemuImg(t, "convert", "-f", "raw", "-O", "qcow2", raw, packed)
		qemuImg(t, "snapshot", "-c", "before", packed)
		io := "write -P 0x5a 4M 200k"
		if tool, err := exec.LookPath("qemu-io"); err != nil {
			t.Skip("qemu-io is not installed")
		} else if out, err := exec.Command(tool, "-c", io, "-c", "discard 5M 128k", packed).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		qemuImg(t, "convert", "-f", "qcow2", "-O", "raw", packed, back)
		file, err := os.ReadFile(packed)
		want, err2 := os.ReadFile(back)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if got, err := unpackQCOW2(file, image.Options{}); err != nil || !bytes.Equal(got, want) || bytes.Equal(got, disk) {
			t.Errorf("the disk differs from what qemu-img reads, %v", err)
		}
	})
	for _, o := range []imagetest.QCOW2{{Shuffle: 1, Packed: true, Every: 3}, {Share: true, Packed: true, Zstd: true}, {Version: 2, Bits: 12}} {
		if err := os.WriteFile(packed, o.Make(disk), 0o600); err != nil {
			t.Fatal(err)
		}
		qemuImg(t, "convert", "-f", "qcow2", "-O", "raw", packed, back)
		if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, disk) {
			t.Errorf("%+v: qemu-img reads something else, %v", o, err)
		}
	}
}

func TestTrapQCOW2FollowsBackingFiles(t *testing.T) {
	disk := bigDisk()
	be := binary.BigEndian
	good := imagetest.QCOW2{}.Make(disk)
	l1 := be.Uint64(good[40:])
	l2 := be.Uint64(good[l1:]) &^ (1 << 63)
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		o      image.Options
		kind   fault.Kind
		says   string
	}{
		{"backing file", func(b []byte) []byte { be.PutUint64(b[8:], 200); return b }, image.Options{}, fault.Invalid, "backing file"},
		{"encrypted", func(b []byte) []byte { be.PutUint32(b[32:], 2); return b }, image.Options{}, fault.Invalid, "encrypted"},
		{"data file", func(b []byte) []byte { be.PutUint64(b[72:], 4); return b }, image.Options{}, fault.Invalid, "second file"},
		{"dirty", func(b []byte) []byte { be.PutUint64(b[72:], 1); return b }, image.Options{}, fault.Invalid, "not closed"},
		{"corrupt", func(b []byte) []byte { be.PutUint64(b[72:], 2); return b }, image.Options{}, fault.Invalid, "corrupt"},
		{"extended L2", func(b []byte) []byte { be.PutUint64(b[72:], 16); return b }, image.Options{}, fault.Invalid, "extended"},
		{"unknown bit", func(b []byte) []byte { be.PutUint64(b[72:], 1<<40); return b }, image.Options{}, fault.Invalid, "not known"},
		{"unknown compression", func(b []byte) []byte { be.PutUint64(b[72:], 8); b[104] = 7; return b }, image.Options{}, fault.Invalid, "compressed in a way"},
		{"compression without its bit", func(b []byte) []byte { b[104] = 1; return b }, image.Options{}, fault.Invalid, "contradicts"},
		{"version 1", func(b []byte) []byte { b[7] = 1; return b }, image.Options{}, fault.Invalid, "version 1"},
		{"tiny clusters", func(b []byte) []byte { b[23] = 8; return b }, image.Options{}, fault.Invalid, "2^8"},
		{"huge clusters", func(b []byte) []byte { be.PutUint32(b[20:], 64); return b }, image.Options{}, fault.Invalid, "2^64"},
		{"huge disk", func(b []byte) []byte { be.PutUint64(b[24:], 1<<60); return b }, image.Options{}, fault.Invalid, "too small"},
		{"no disk", func(b []byte) []byte { be.PutUint64(b[24:], 0); return b }, image.Options{}, fault.Invalid, "0 bytes"},
		{"short first table", func(b []byte) []byte { be.PutUint32(b[36:], 0); return b }, image.Options{}, fault.Invalid, "first table"},
		{"first table outside", func(b []byte) []byte { be.PutUint64(b[40:], 1<<40); return b }, image.Options{}, fault.Invalid, "past the end"},
		{"table outside", func(b []byte) []byte { be.PutUint64(b[l1:], 1<<40); return b }, image.Options{}, fault.Invalid, "entry 0"},
		{"cluster outside", func(b []byte) []byte { be.PutUint64(b[l2:], 1<<40); return b }, image.Options{}, fault.Invalid, "cut short"},
		{"compressed outside", func(b []byte) []byte { be.PutUint64(b[l2:], 1<<62|1<<40); return b }, image.Options{}, fault.Invalid, "compressed cluster"},
		{"bad entry", func(b []byte) []byte { be.PutUint64(b[l2:], be.Uint64(b[l2:])|8); return b }, image.Options{}, fault.Invalid, "entry"},
		{"cut in the header", func(b []byte) []byte { return b[:80] }, image.Options{}, fault.Invalid, "cut short"},
		{"cut in the tables", func(b []byte) []byte { return b[:l2] }, image.Options{}, fault.Invalid, "damaged"},
		{"no partition table", func(b []byte) []byte { return imagetest.QCOW2{}.Make(make([]byte, 4<<20)) }, image.Options{}, fault.Invalid, "whole-disk"},
		{"partitions past the end", func(b []byte) []byte { be.PutUint64(b[24:], 2<<20); return b }, image.Options{}, fault.Invalid, "cut short"},
		{"declared raw", nil, image.Options{Declared: "raw"}, fault.Invalid, "declared as \"raw\""},
		{"larger than the disk", nil, image.Options{MaxSize: 6 << 20}, fault.TooLarge, "disk has"},
	} {
		b := bytes.Clone(good)
		if c.change != nil {
			b = c.change(b)
		}
		_, err := unpackQCOW2(b, c.o)
		if err == nil || fault.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v about %q", c.name, err, c.kind, c.says)
		}
	}
}

// TestQCOW2MapIsBounded has a small file that claims a place for each of eight million clusters.
func TestQCOW2MapIsBounded(t *testing.T) {
	be := binary.BigEndian
	disk := make([]byte, 64<<10)
	imagetest.MBR(disk, 1, imagetest.Slot{Type: 0x83, First: 1, Size: 100})
	b := imagetest.QCOW2{Bits: 9}.Make(disk)
	first := be.Uint64(b[be.Uint64(b[40:]):])
	cluster := be.Uint64(b[first&^(1<<63):])
	table, l1 := uint64(len(b)), uint64(len(b)+512)
	for range 512 / 8 {
		b = be.AppendUint64(b, cluster)
	}
	b = be.AppendUint64(b, first)
	for range 4<<30/(512*64) - 1 {
		b = be.AppendUint64(b, table|1<<63)
	}
	be.PutUint64(b[24:], 4<<30)
	be.PutUint32(b[36:], 4<<30/(512*64))
	be.PutUint64(b[40:], l1)
	q, err := image.OpenQCOW2(bytes.NewReader(b), int64(len(b)), image.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Map(); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "too many clusters") {
		t.Errorf("%v, want a refusal", err)
	}
}

func TestQCOW2DamagedCluster(t *testing.T) {
	disk := bigDisk()
	for _, o := range []imagetest.QCOW2{{Packed: true}, {Packed: true, Zstd: true}} {
		file := o.Make(disk)
		l1 := binary.BigEndian.Uint64(file[40:])
		l2 := binary.BigEndian.Uint64(file[l1:]) &^ (1 << 63)
		at := binary.BigEndian.Uint64(file[l2+8*80:]) & (1<<54 - 1) // of the cluster at 5 MiB of the disk
		for i := range 20 {
			file[at+uint64(i)] ^= 0xff
		}
		if _, err := unpackQCOW2(file, image.Options{}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%+v: %v, want a refusal", o, err)
		}
	}
}

// TestQCOW2TablesMustStay gives other bytes in the stream than by range: the digest of the stream must mean the
// tables, too.
func TestQCOW2TablesMustStay(t *testing.T) {
	file := imagetest.QCOW2{}.Make(bigDisk())
	l1 := binary.BigEndian.Uint64(file[40:])
	l2 := binary.BigEndian.Uint64(file[l1:]) &^ (1 << 63)
	for name, at := range map[string]uint64{"header": 110, "first table": l1 + 7, "second table": l2 + 60_000} {
		q, err := image.OpenQCOW2(bytes.NewReader(file), int64(len(file)), image.Options{})
		if err == nil {
			err = q.Map()
		}
		if err != nil {
			t.Fatal(err)
		}
		other := bytes.Clone(file)
		other[at] ^= 1
		if err := q.Scatter(bytes.NewReader(other), newMemory(int(q.Size()))); fault.KindOf(err) != fault.Conflict {
			t.Errorf("another %s: %v, want a conflict", name, err)
		}
	}
}

func TestQCOW2ErrorsAreKept(t *testing.T) {
	file := imagetest.QCOW2{Packed: true, Every: 2}.Make(bigDisk())
	lost := errors.New("connection lost")
	open := func() *image.QCOW2File {
		q, err := image.OpenQCOW2(bytes.NewReader(file), int64(len(file)), image.Options{})
		if err == nil {
			err = q.Map()
		}
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := open()
	if err := q.Scatter(io.MultiReader(bytes.NewReader(file[:2<<20]), iotest.ErrReader(lost)), newMemory(int(q.Size()))); !errors.Is(err, lost) {
		t.Errorf("the reader's error: %v", err)
	}
	if err := open().Scatter(bytes.NewReader(file), newMemory(1<<20)); err == nil || !strings.Contains(err.Error(), "write of") {
		t.Errorf("the writer's error: %v", err)
	}
	for _, b := range [][]byte{file[:len(file)-1], append(bytes.Clone(file), 0)} {
		if err := q.Scatter(bytes.NewReader(b), newMemory(int(q.Size()))); fault.KindOf(err) != fault.Conflict {
			t.Errorf("%d bytes of %d: %v, want a conflict", len(b), len(file), err)
		}
	}
	broken := readerAt(func(p []byte, off int64) (int, error) { return 0, lost })
	if _, err := image.OpenQCOW2(broken, int64(len(file)), image.Options{}); !errors.Is(err, lost) {
		t.Errorf("the range reader's error: %v", err)
	}
}

type readerAt func(p []byte, off int64) (int, error)

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r(p, off) }

func FuzzQCOW2(f *testing.F) {
	disk := make([]byte, 64<<10)
	imagetest.MBR(disk, 1, imagetest.Slot{Type: 0x83, First: 1, Size: 100})
	copy(disk[4096:], bytes.Repeat([]byte("abc"), 3000))
	for _, o := range []imagetest.QCOW2{{Bits: 9}, {Bits: 12, Packed: true}, {Bits: 12, Packed: true, Zstd: true}, {Bits: 12, Version: 2, Share: true}} {
		f.Add(o.Make(disk))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		_, err := unpackQCOW2(file, image.Options{MaxSize: 256 << 10})
		if err != nil && fault.KindOf(err) != fault.Invalid && fault.KindOf(err) != fault.TooLarge {
			t.Fatalf("not a refusal: %v", err)
		}
	})
}
