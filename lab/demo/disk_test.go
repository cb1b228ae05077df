package demo

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
)

func TestLook(t *testing.T) {
	marker := []byte("a marker that is nowhere else")
	const size = 64 << 20
	for _, c := range []struct {
		name   string
		write  map[int64]string
		want   finding // without Data
		isData bool
	}{
		{"blank", nil, finding{}, false},
		{"zeroes written", map[int64]string{0: string(make([]byte, 4096))}, finding{}, true},
		{"boot sector", map[int64]string{510: "\x55\xaa"}, finding{MBR: true}, true},
		{"partition table", map[int64]string{510: "\x55\xaa", 512: "EFI PART", size - 512: "EFI PART"}, finding{MBR: true, GPT: true, BackupGPT: true}, true},
		{"only the backup", map[int64]string{size - 512: "EFI PART"}, finding{BackupGPT: true}, true},
		{"a marker deep inside", map[int64]string{40<<20 + 7: string(marker)}, finding{Marker: 1}, true},
		{"markers far apart", map[int64]string{1 << 20: string(marker), 63 << 20: string(marker) + string(marker)}, finding{Marker: 3}, true},
		{"most of a marker", map[int64]string{1 << 20: string(marker[1:])}, finding{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "disk.raw")
			f, err := os.Create(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(size); err != nil {
				t.Fatal(err)
			}
			for offset, text := range c.write {
				if _, err := f.WriteAt([]byte(text), offset); err != nil {
					t.Fatal(err)
				}
			}
			got, err := look(name, marker)
			if err != nil {
				t.Fatal(err)
			}
			if c.isData && got.Data == 0 {
				t.Error("no data was seen")
			}
			got.Data = 0
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
			if got.clean() != (c.want == finding{}) {
				t.Errorf("clean is %v for %+v", got.clean(), got)
			}
		})
	}
}

func TestLookRefusesWhatIsNoDisk(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tiny")
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{name, name + ".absent"} {
		if f, err := look(n, []byte("m")); err == nil {
			t.Errorf("%s: %+v", n, f)
		}
	}
}

func TestCountAcrossReads(t *testing.T) {
	marker := []byte("MARKER")
	text := append(bytes.Repeat([]byte{'M'}, 1<<20-3), []byte("MARKERMARKER and MARKE")...)
	for name, r := range map[string]io.Reader{
		"whole":        bytes.NewReader(text),
		"byte by byte": iotest.OneByteReader(bytes.NewReader(text[len(text)-100:])),
		"halves":       iotest.HalfReader(bytes.NewReader(text)),
		"with the end": iotest.DataErrReader(bytes.NewReader(text)),
	} {
		if n, err := count(r, marker); n != 2 || err != nil {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
	if _, err := count(iotest.ErrReader(io.ErrUnexpectedEOF), marker); err == nil {
		t.Error("a read error was swallowed")
	}
}
