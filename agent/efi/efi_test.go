package efi

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var id = [16]byte{0x78, 0x56, 0x34, 0x12, 0xbc, 0x9a, 0xf0, 0xde, 1, 2, 3, 4, 5, 6, 7, 8}

// TestEncoding holds the bytes against the specification's layout, written out by hand.
func TestEncoding(t *testing.T) {
	p := partition{number: 1, start: 2048, size: 4096, id: id}
	o := Option{Description: "ingot: x", Path: append(p.devicePath(), filePath(`\EFI\B.EFI`)...)}
	want := strings.Join([]string{
		"01000000",                             // active
		"4800",                                 // length of the path list: 42 + 26 + 4
		"69006e0067006f0074003a00200078000000", // description
		"04012a00",                             // hard drive, 42 bytes
		"01000000", "0008000000000000", "0010000000000000",
		"78563412bc9af0de0102030405060708", "0202", // GUID, GPT, GUID
		"04041a00", "5c004500460049005c0042002e004500460049000000", // file, 26 bytes
		"7fff0400", // end
	}, "")
	if got := hex.EncodeToString(o.Encode()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	back, err := Decode(o.Encode())
	if err != nil || back.Description != o.Description || !bytes.Equal(back.Path, o.Path) {
		t.Errorf("%+v %v", back, err)
	}
}

// vars makes a directory like efivarfs.
func vars(t *testing.T, values map[string][]byte) Variables {
	t.Helper()
	v := Variables{Dir: t.TempDir()}
	for name, value := range values {
		if err := v.write(name, value); err != nil {
			t.Fatal(err)
		}
	}
	// Firmware has others, and the entry's name alone does not make it a boot entry.
	for _, name := range []string{"SecureBoot-" + global, "Boot0009-00000000-0000-0000-0000-000000000000", "BootCurrent-" + global} {
		if err := os.WriteFile(filepath.Join(v.Dir, name), []byte{6, 0, 0, 0, 9, 0}, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func order(numbers ...uint16) (b []byte) {
	for _, n := range numbers {
		b = binary.LittleEndian.AppendUint16(b, n)
	}
	return b
}

func TestPrefer(t *testing.T) {
	mine := Option{Description: "ingot: debian", Path: []byte{4, 4, 4, 0}}
	old := Option{Description: "ingot: old", Path: []byte{4, 4, 4, 0}}.Encode()
	theirs := Option{Description: "UEFI Shell", Path: []byte{4, 4, 4, 0}}.Encode()
	for _, c := range []struct {
		name   string
		before map[string][]byte
		order  []byte
		at     string // where ours is
		left   []string
	}{
		{"new machine", nil, order(0), "Boot0000", []string{"Boot0000"}},
		{"others stay", map[string][]byte{"Boot0000": theirs, "Boot0002": theirs, "BootOrder": order(2, 0)}, order(1, 2, 0), "Boot0001", []string{"Boot0000", "Boot0001", "Boot0002"}},
		{"old ones go", map[string][]byte{"Boot0000": old, "Boot0001": theirs, "Boot0003": old, "BootOrder": order(3, 1, 0)}, order(0, 1), "Boot0000", []string{"Boot0000", "Boot0001"}},
		{"the same is kept", map[string][]byte{"Boot0005": mine.Encode(), "Boot0001": theirs, "BootOrder": order(1, 5)}, order(5, 1), "Boot0005", []string{"Boot0001", "Boot0005"}},
		{"a second of the same goes", map[string][]byte{"Boot0005": mine.Encode(), "Boot0006": mine.Encode(), "BootOrder": order(6)}, nil, "", nil},
		{"rubbish is left alone", map[string][]byte{"Boot0000": {1}, "Boot0001": {1, 0, 0, 0, 255, 255, 65, 0}, "BootOrder": order(7)}, order(2, 7), "Boot0002", []string{"Boot0000", "Boot0001", "Boot0002"}},
	} {
		v := vars(t, c.before)
		if err := v.Prefer(mine); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		entries, err := v.entries()
		if err != nil {
			t.Fatal(err)
		}
		got, err := v.read("BootOrder")
		if c.order == nil {
			if len(entries) != 1 || len(got) != 2 || err != nil {
				t.Errorf("%s: %d entries, order %x, %v", c.name, len(entries), got, err)
			}
			continue
		}
		var left []string
		for n := range entries {
			left = append(left, "Boot"+strings.ToUpper(hex.EncodeToString([]byte{byte(n >> 8), byte(n)})))
		}
		slices.Sort(left)
		ours, readErr := v.read(c.at)
		if err != nil || readErr != nil || !bytes.Equal(got, c.order) || !slices.Equal(left, c.left) || !bytes.Equal(ours, mine.Encode()) {
			t.Errorf("%s: order %x, entries %v, ours %x, %v %v", c.name, got, left, ours, err, readErr)
		}
		raw, err := os.ReadFile(v.path(c.at))
		if err != nil || !bytes.HasPrefix(raw, []byte{7, 0, 0, 0}) {
			t.Errorf("%s: attributes %x %v", c.name, raw, err)
		}
		before, err := os.Stat(v.path("BootOrder"))
		if err != nil {
			t.Fatal(err)
		}
		if err := v.Prefer(mine); err != nil {
			t.Errorf("%s, again: %v", c.name, err)
		}
		if after, err := os.Stat(v.path("BootOrder")); err != nil || !after.ModTime().Equal(before.ModTime()) {
			t.Errorf("%s: the firmware's memory was written for nothing: %v", c.name, err)
		}
	}
	if err := (Variables{Dir: filepath.Join(t.TempDir(), "none")}).Prefer(mine); err == nil {
		t.Error("no variables are no error")
	}
}

func csv(text string) *fstest.MapFile {
	return &fstest.MapFile{Data: append([]byte{0xff, 0xfe}, toUTF16(text)...)}
}

func TestFindLoader(t *testing.T) {
	program := &fstest.MapFile{Data: []byte("MZ")}
	for _, c := range []struct {
		name  string
		files fstest.MapFS
		want  Loader
	}{
		{"removable path", fstest.MapFS{"EFI/BOOT/BOOTX64.EFI": program, "EFI/BOOT/BOOTAA64.EFI": program}, Loader{`\EFI\BOOT\BOOTX64.EFI`, "disk"}},
		{"vendor's", fstest.MapFS{"EFI/BOOT/BOOTX64.EFI": program, "EFI/debian/shimx64.efi": program,
			"EFI/debian/BOOTX64.CSV": csv("shimx64.efi,debian,,This is the boot entry for debian\n")}, Loader{`\EFI\debian\shimx64.efi`, "debian"}},
		{"lower case", fstest.MapFS{"efi/boot/bootx64.efi": program}, Loader{`\efi\boot\bootx64.efi`, "disk"}},
		{"CSV of a file that is not there", fstest.MapFS{"EFI/BOOT/BOOTX64.EFI": program, "EFI/x/BOOTX64.CSV": csv("shimx64.efi,x")}, Loader{`\EFI\BOOT\BOOTX64.EFI`, "disk"}},
		{"CSV that leads away", fstest.MapFS{"EFI/x/BOOTX64.CSV": csv(`..\BOOT\BOOTX64.EFI,x`), "EFI/BOOT/BOOTX64.EFI": program}, Loader{`\EFI\BOOT\BOOTX64.EFI`, "disk"}},
		{"a label nobody can read", fstest.MapFS{"EFI/x/BOOTX64.CSV": csv("a.efi,\x1b\u0416,"), "EFI/x/a.efi": program}, Loader{`\EFI\x\a.efi`, "disk"}},
	} {
		got, err := findLoader(c.files, "x64")
		if err != nil || got != c.want {
			t.Errorf("%s: %+v %v", c.name, got, err)
		}
	}
	for _, files := range []fstest.MapFS{{}, {"EFI/BOOT/BOOTAA64.EFI": program}, {"EFI": program}} {
		if l, err := findLoader(files, "x64"); err == nil {
			t.Errorf("%+v in %v", l, files)
		}
	}
}

// table makes a disk with a GPT that has the ESP as its second entry.
func table(sector int, kind [16]byte) []byte {
	b := make([]byte, 64<<10)
	copy(b[sector:], "EFI PART")
	binary.LittleEndian.PutUint64(b[sector+72:], 2)
	binary.LittleEndian.PutUint32(b[sector+80:], 4)
	binary.LittleEndian.PutUint32(b[sector+84:], 128)
	e := b[2*sector+128:]
	copy(e, kind[:])
	copy(e[16:], id[:])
	binary.LittleEndian.PutUint64(e[32:], 2048)
	binary.LittleEndian.PutUint64(e[40:], 6143)
	return b
}

func TestFindESP(t *testing.T) {
	want := partition{2, 2048, 4096, id}
	for _, sector := range []int{512, 4096} {
		if got, err := findESP(bytes.NewReader(table(sector, typeESP))); err != nil || got != want {
			t.Errorf("sector %d: %+v %v", sector, got, err)
		}
	}
	if _, err := findESP(bytes.NewReader(table(512, id))); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Error(err)
	}
	if _, err := findESP(bytes.NewReader(make([]byte, 9000))); err == nil || !strings.Contains(err.Error(), "no GPT") {
		t.Error(err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Option{Description: "ingot: x", Path: []byte{4, 4, 4, 0}}.Encode())
	f.Add([]byte{1, 0, 0, 0, 255, 255, 0, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := Decode(raw)
		if err != nil {
			return
		}
		again, err := Decode(o.Encode())
		if err != nil || len(o.Path) < 1<<15 && !bytes.Equal(again.Path, o.Path) {
			t.Errorf("%x: %+v, then %+v %v", raw, o, again, err)
		}
	})
}

func FuzzFindESP(f *testing.F) {
	f.Add(table(512, typeESP)[:2048])
	f.Fuzz(func(t *testing.T, disk []byte) {
		if p, err := findESP(bytes.NewReader(disk)); err == nil && (p.number == 0 || p.size == 0) {
			t.Errorf("%+v", p)
		}
	})
}
