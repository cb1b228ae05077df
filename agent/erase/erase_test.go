package erase

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"ingot/internal/agentapi"
)

// disk makes a file of size bytes full of random data.
func disk(t *testing.T, size int) string {
	t.Helper()
	data := make([]byte, size)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	copy(data[510:], []byte{0, 0}) // no partition table by accident
	path := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func TestMetadataWipesBothEndsOfDiskAndPartitions(t *testing.T) {
	const size = 40 << 20
	path := disk(t, size)
	before := read(t, path)
	parts := []Span{{10 << 20, 20 << 20}, {32 << 20, 2 << 20}, {39 << 20, 100 << 20}, {size, 1}}
	how, err := Metadata(t.Context(), []Disk{{Path: path, Partitions: parts}}, Options{})
	if err != nil || how[path].How != Wiped {
		t.Fatal(how, err)
	}
	after := read(t, path)
	if len(after) != size {
		t.Fatalf("size is now %d", len(after))
	}
	for _, s := range []Span{{0, 4 << 20}, {size - 1<<20, 1 << 20}, {10 << 20, 4 << 20}, {29 << 20, 1 << 20}, {32 << 20, 2 << 20}, {39 << 20, 1 << 20}} {
		if !allZero(after[s.Start : s.Start+s.Size]) {
			t.Errorf("%+v is not zero", s)
		}
	}
	for _, s := range []Span{{4 << 20, 6 << 20}, {14 << 20, 15 << 20}, {34 << 20, 5 << 20}} {
		if !bytes.Equal(after[s.Start:s.Start+s.Size], before[s.Start:s.Start+s.Size]) {
			t.Errorf("%+v was touched", s)
		}
	}
}

func TestEverythingWipesEverything(t *testing.T) {
	sizes := []int{512, 3<<20 + 512, chunk + 1<<20 + 1, 5 << 20}
	var disks []Disk
	total := int64(0)
	for _, size := range sizes {
		disks = append(disks, Disk{Path: disk(t, size)})
		total += int64(size)
	}
	var mu sync.Mutex
	var last agentapi.Progress
	how, err := Everything(t.Context(), disks, Options{Parallel: 3, Progress: func(p agentapi.Progress) {
		mu.Lock()
		defer mu.Unlock()
		if p.Done >= last.Done {
			last = p
		}
	}})
	if err != nil || len(how) != len(disks) {
		t.Fatal(how, err)
	}
	for i, d := range disks {
		if data := read(t, d.Path); !allZero(data) || len(data) != sizes[i] {
			t.Errorf("disk %d of %d bytes is not clean", i, len(data))
		}
	}
	if last.Done != total || last.Total != total || last.Unit != "bytes" {
		t.Errorf("progress %+v, want %d", last, total)
	}
}

func TestWhatIsNotZeroIsOverwritten(t *testing.T) {
	path := disk(t, 2<<20+512)
	for _, c := range []struct {
		name  string
		clear func(d *device) error
	}{
		{"as a discard that did nothing leaves it", func(d *device) error {
			overwrote, err := Options{}.empty(t.Context(), d, Span{0, d.size})
			if err == nil && !overwrote {
				err = errors.New("nothing was overwritten")
			}
			return err
		}},
		{"with plain writes", func(d *device) error { return d.write(Span{0, d.size}) }},
	} {
		d, err := open(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.file.WriteAt([]byte("old data"), 1<<20); err != nil {
			t.Fatal(err)
		}
		if zero, err := d.zero(t.Context(), Span{0, d.size}); err != nil || zero {
			t.Errorf("%s: planted data is not seen: %v", c.name, err)
		}
		if err := c.clear(d); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := d.close(); err != nil {
			t.Error(err)
		}
		if !allZero(read(t, path)) {
			t.Errorf("%s: not clean", c.name)
		}
	}
}

func TestReadOnlyAndBrokenDisks(t *testing.T) {
	good, locked, gone := disk(t, 1<<20), disk(t, 1<<20), filepath.Join(t.TempDir(), "gone")
	kept := read(t, locked)
	disks := []Disk{{Path: gone}, {Path: locked, ReadOnly: true}, {Path: good}, {Path: "/dev/null"}}
	how, err := Everything(t.Context(), disks, Options{})
	if err == nil || how[good].How != Discarded || len(how) != 1 {
		t.Fatal(how, err)
	}
	for _, want := range []string{gone + ": ", locked + ": the disk is write-protected", "/dev/null: it is neither"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	how, err = Metadata(t.Context(), disks[1:3], Options{SkipReadOnly: true})
	if err != nil || how[locked].How != Skipped || how[good].How != Wiped {
		t.Error(how, err)
	}
	if !bytes.Equal(read(t, locked), kept) {
		t.Error("a write-protected disk was touched")
	}
}

func TestWipingStopsWithItsContext(t *testing.T) {
	path := disk(t, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, wipe := range []func(context.Context, []Disk, Options) (map[string]Result, error){Metadata, Everything} {
		if _, err := wipe(ctx, []Disk{{Path: path}}, Options{}); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if allZero(read(t, path)) {
		t.Error("the disk was wiped")
	}
}

func TestClusterFileSystemsAreGuarded(t *testing.T) {
	gpt := func(sector int, guid string) func([]byte) {
		return func(b []byte) {
			copy(b[sector:], "EFI PART")
			binary.LittleEndian.PutUint64(b[sector+72:], 2)
			binary.LittleEndian.PutUint32(b[sector+80:], 128)
			binary.LittleEndian.PutUint32(b[sector+84:], 128)
			copy(b[2*sector+128:], guid)
		}
	}
	const vmfs = "\x2a\xe0\x31\xaa\x0f\x40\xdb\x11\x95\x90\x00\x0c\x29\x11\xd1\xb8"
	const linux = "\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4"
	gfs := func(at int) func([]byte) {
		return func(b []byte) { copy(b[at+64<<10:], "\x01\x16\x19\x70\x00\x00\x00\x01") }
	}
	for _, c := range []struct {
		name      string
		plant     func([]byte)
		protected bool
	}{
		{"nothing", func([]byte) {}, false},
		{"GPT with VMFS", gpt(512, vmfs), true},
		{"GPT with VMFS, 4096-byte sectors", gpt(4096, vmfs), true},
		{"GPT with Linux", gpt(512, linux), false},
		{"MBR with VMFS", func(b []byte) { b[450], b[510], b[511] = 0xfb, 0x55, 0xaa }, true},
		{"GFS2 on the disk", gfs(0), true},
		{"GFS2 on a partition", gfs(1 << 20), true},
	} {
		path := filepath.Join(t.TempDir(), "disk")
		data := make([]byte, 2<<20)
		c.plant(data)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		disks := []Disk{{Path: path, Partitions: []Span{{1 << 20, 1 << 20}}}}
		if _, err := Everything(t.Context(), disks, Options{}); errors.Is(err, ErrProtected) != c.protected || err != nil != c.protected {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.protected && !bytes.Equal(read(t, path), data) {
			t.Errorf("%s: the disk was touched", c.name)
		}
		if _, err := Metadata(t.Context(), disks, Options{Unguarded: true}); err != nil || !allZero(read(t, path)) {
			t.Errorf("%s: unguarded: %v", c.name, err)
		}
	}
}

func FuzzGuard(f *testing.F) {
	f.Add([]byte("EFI PART"), uint32(128), uint32(128), uint64(2))
	f.Add([]byte("EFI PART"), uint32(1<<31), uint32(4096), uint64(1<<63))
	f.Fuzz(func(t *testing.T, head []byte, count, size uint32, at uint64) {
		b := make([]byte, 512, 8192)
		h := make([]byte, 512)
		copy(h, head)
		binary.LittleEndian.PutUint64(h[72:], at)
		binary.LittleEndian.PutUint32(h[80:], count)
		binary.LittleEndian.PutUint32(h[84:], size)
		b = append(append(b, h...), head...)
		if err := guard(bytes.NewReader(b), []Span{{int64(at), 1}}); err != nil && !errors.Is(err, ErrProtected) {
			t.Error(err)
		}
	})
}
