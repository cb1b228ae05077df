package efi

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"
)

// entry is a boot entry of some kind.
func entry(description string, attributes uint32, nodes ...[]byte) []byte {
	b := Option{Description: description, Path: bytes.Join(nodes, nil)}.Encode()
	binary.LittleEndian.PutUint32(b, attributes)
	return b
}

var (
	hd  = partition{number: 1, start: 2048, size: 4096, id: id}.devicePath()
	pci = []byte{2, 1, 12, 0, 0xd0, 0x41, 3, 0x0a, 0, 0, 0, 0, 1, 1, 6, 0, 2, 0x1f, 3, 18, 10, 0, 0, 0, 0xff, 0xff, 0, 0}
	net = append(append([]byte{}, pci[:18]...), append([]byte{3, 11, 37, 0, 0x52, 0x54, 0, 0xaa, 0xbb, 1}, make([]byte, 27)...)...)
	fv  = append(append([]byte{4, 7, 20, 0}, id[:]...), append([]byte{4, 6, 20, 0}, id[:]...)...)
)

func TestPathText(t *testing.T) {
	const guid = "12345678-9abc-def0-0102-030405060708"
	mbr := bytes.Clone(hd)
	mbr[41], mbr[40] = 1, 1
	for _, c := range []struct {
		path []byte
		want string
	}{
		{append(bytes.Clone(hd), filePath(`\EFI\debian\shimx64.efi`)...), `HD(1,GPT,` + guid + `,0x800,0x1000)/File(\EFI\debian\shimx64.efi)`},
		{mbr, "HD(1,MBR,0x12345678,0x800,0x1000)"},
		{pci, "PciRoot(0x0)/Pci(0x1f,0x2)/Sata(0,65535,0)"},
		{net, "PciRoot(0x0)/Pci(0x1f,0x2)/MAC(525400aabb01)"},
		{fv, "FvVol(" + guid + ")/FvFile(" + guid + ")"},
		{[]byte{5, 9, 4, 0}, "Path(5,9)"},
		{[]byte{4, 1, 3, 0}, "damaged"},
		{[]byte{4, 1, 0xff, 0xff}, "damaged"},
		{nil, ""},
	} {
		if got := PathText(c.path); got != c.want {
			t.Errorf("%x: %q, want %q", c.path, got, c.want)
		}
	}
}

func TestClean(t *testing.T) {
	v := vars(t, map[string][]byte{
		"Boot0000":  entry("UiApp", 0x109, fv),
		"Boot0001":  entry("UEFI PXE", 1, net),
		"Boot0002":  entry("debian", 1, hd, filePath(`\EFI\debian\shimx64.efi`)),
		"Boot0003":  entry("old", 1, pci, hd, filePath(`\EFI\BOOT\GRUBX64.EFI`)),
		"Boot0004":  entry("the disk's tool of the firmware", 0x101, hd),
		"Boot0005":  {1, 2}, // damaged
		"Boot0009":  entry("what we were booted from", 1, hd),
		"BootOrder": order(2, 9, 1, 3, 7),
	})
	patterns, err := Patterns(DefaultPatterns)
	if err != nil {
		t.Fatal(err)
	}
	removed, kept, err := v.Clean(patterns)
	if err != nil || kept != 5 || len(removed) != 2 || removed[0].Number != "0002" || removed[0].Description != "debian" || removed[1].Number != "0003" ||
		!strings.HasPrefix(removed[0].Path, "HD(1,GPT,") {
		t.Errorf("%+v %d %v", removed, kept, err)
	}
	if got, err := v.read("BootOrder"); err != nil || !bytes.Equal(got, order(9, 1, 7)) {
		t.Errorf("%x %v", got, err)
	}
	if removed, kept, err = v.Clean(patterns); err != nil || len(removed) != 0 || kept != 5 {
		t.Errorf("again: %+v %d %v", removed, kept, err)
	}
	only, err := Patterns([]string{"^pciroot.*mac"})
	if err != nil {
		t.Fatal(err)
	}
	if removed, _, err = v.Clean(only); err != nil || len(removed) != 1 || removed[0].Number != "0001" {
		t.Errorf("%+v %v", removed, err)
	}
	v = vars(t, map[string][]byte{"Boot0002": entry("a", 1, hd), "BootOrder": order(2)})
	if _, _, err = v.Clean(patterns); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(v.path("BootOrder")); !os.IsNotExist(err) {
		t.Errorf("an empty boot order: %v", err)
	}
	if _, _, err = (Variables{Dir: t.TempDir() + "/none"}).Clean(patterns); err == nil {
		t.Error("without variables it must fail")
	}
	for _, bad := range [][]string{{"("}, {""}, {strings.Repeat("x", 600)}, make([]string, 40)} {
		if _, err := Patterns(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzPathText(f *testing.F) {
	f.Add(append(bytes.Clone(hd), filePath(`\x`)...))
	f.Add(net)
	f.Add(fv)
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := strings.Count(PathText(b), "/"); n > maxNodes+len(b) {
			t.Errorf("%d nodes", n)
		}
	})
}
