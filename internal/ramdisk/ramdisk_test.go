package ramdisk

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/internal/fault"
)

// makeELF is the smallest file debug/elf reads: a header, and sections if modinfo is given; interp adds
// the program header of a dynamic program.
func makeELF(modinfo []byte, interp bool) []byte {
	h := elf.Header64{Ident: [16]byte{0x7f, 'E', 'L', 'F', 2, 1, 1}, Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64),
		Version: 1, Ehsize: 64, Phentsize: 56, Shentsize: 64}
	names := []byte("\x00.modinfo\x00.shstrtab\x00")
	var tail bytes.Buffer
	put := func(v any) { _ = binary.Write(&tail, binary.LittleEndian, v) } // a Buffer takes everything
	at := uint64(64)
	if interp {
		h.Phoff, h.Phnum = at, 1
		put(elf.Prog64{Type: uint32(elf.PT_INTERP)})
		at += 56
	}
	if modinfo != nil {
		tail.Write(modinfo)
		tail.Write(names)
		h.Shoff, h.Shnum, h.Shstrndx = at+uint64(tail.Len()), 3, 2
		put(elf.Section64{})
		put(elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: at, Size: uint64(len(modinfo))})
		put(elf.Section64{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: at + uint64(len(modinfo)), Size: uint64(len(names))})
	}
	var b bytes.Buffer
	_ = binary.Write(&b, binary.LittleEndian, h)
	return append(b.Bytes(), tail.Bytes()...)
}

// makeModules writes a tree of modules; each value is the module's modinfo, fields separated by "|".
func makeModules(t *testing.T, builtin string, modules map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, info := range modules {
		fields := strings.ReplaceAll("vermagic=6.1.0-9-test SMP mod_unload |"+info+"|", "|", "\x00")
		write(t, filepath.Join(dir, "kernel", path), makeELF([]byte(fields), false))
	}
	write(t, filepath.Join(dir, "modules.builtin"), []byte(builtin))
	return dir
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func wants(names ...string) []want {
	var w []want
	for _, n := range names {
		w = append(w, want{name: n})
	}
	return w
}

func TestPickOrdersByDependency(t *testing.T) {
	dir := makeModules(t, "kernel/lib/crc-x.ko\nkernel/fs/fuse.ko\n", map[string]string{
		"drivers/sd_mod.ko":      "depends=scsi-mod,t10-pi",
		"drivers/scsi_mod.ko":    "depends=scsi-common,crc-x",
		"drivers/scsi-common.ko": "depends=",
		"lib/t10-pi.ko":          "softdep=pre: crct10 cbc(aes) post: late|depends=",
		"lib/crct10.ko":          "depends=",
		"lib/late.ko":            "depends=",
		"net/other.ko":           "depends=",
	})
	tree, err := openModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	if tree.release != "6.1.0-9-test" {
		t.Errorf("release = %q", tree.release)
	}
	s, err := tree.pick(wants("sd_mod", "scsi_mod", "fuse", "nothing"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"scsi_common", "scsi_mod", "crct10", "t10_pi", "sd_mod"}; !slices.Equal(s.load, want) {
		t.Errorf("load order %v, want %v", s.load, want)
	}
	if !slices.Equal(s.builtin, []string{"fuse"}) || !slices.Equal(s.missing, []string{"nothing"}) {
		t.Errorf("builtin %v, missing %v", s.builtin, s.missing)
	}
}

func TestModuleTreesThatCannotBe(t *testing.T) {
	for name, modules := range map[string]map[string]string{
		"circle":     {"a.ko": "depends=b", "b.ko": "depends=a"},
		"self":       {"a.ko": "depends=a"},
		"dependency": {"a.ko": "depends=gone"},
	} {
		tree, err := openModules(makeModules(t, "", modules))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tree.pick(wants("a")); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	compressed, garbage := t.TempDir(), t.TempDir()
	write(t, filepath.Join(compressed, "a.ko.xz"), nil)
	write(t, filepath.Join(garbage, "a.ko"), []byte("not ELF"))
	for _, dir := range []string{compressed, garbage, t.TempDir(), "/nonexistent"} {
		if _, err := openModules(dir); err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
}

func TestWantedHasNoDoubles(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range wanted {
		if seen[w.name] || w.why == "" || w.name != moduleName(w.name) {
			t.Errorf("%+v: double, without a reason, or not the kernel's spelling", w)
		}
		seen[w.name] = true
	}
	for name := range params {
		if !seen[name] {
			t.Errorf("parameters for %s, which is not wanted", name)
		}
	}
}

// readCPIO is a reader of newc as the kernel's: fields at fixed places, names and content aligned to 4.
func readCPIO(t *testing.T, b []byte) (names []string, modes map[string]string, content map[string][]byte) {
	t.Helper()
	modes, content = map[string]string{}, map[string][]byte{}
	align := func(n int) int { return (n + 3) &^ 3 }
	for at := 0; ; {
		if string(b[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		field := func(i int) (n int) {
			if _, err := fmt.Sscanf(string(b[at+6+8*i:at+14+8*i]), "%08X", &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		nameEnd := at + 110 + field(11)
		name := string(b[at+110 : nameEnd-1])
		if name == "TRAILER!!!" {
			return names, modes, content
		}
		if field(5) != int(epoch.Unix()) {
			t.Errorf("%s: time %d", name, field(5))
		}
		names = append(names, name)
		modes[name] = fmt.Sprintf("%o %d:%d", field(1), field(9), field(10))
		if field(2) != 0 || field(3) != 0 {
			modes[name] += fmt.Sprintf(" of %d:%d", field(2), field(3))
		}
		data := align(nameEnd)
		content[name] = b[data : data+field(6)]
		at = align(data + field(6))
	}
}

func TestArchive(t *testing.T) {
	source := filepath.Join(t.TempDir(), "agent")
	write(t, source, []byte("12345"))
	var a archive
	a.add(entry{name: "init", mode: modeExec, source: source})
	a.add(entry{name: "etc/ingot/modules", mode: modeFile, data: []byte("/a.ko\n")})
	a.add(entry{name: "dev/console", mode: modeChar, major: 5, minor: 1})
	var b bytes.Buffer
	n, err := a.write(&b)
	if err != nil || n != 11 {
		t.Fatalf("%d bytes unpacked, %v", n, err)
	}
	names, modes, content := readCPIO(t, b.Bytes())
	if want := []string{"dev", "dev/console", "etc", "etc/ingot", "etc/ingot/modules", "init"}; !slices.Equal(names, want) {
		t.Errorf("names %v, want %v", names, want)
	}
	for name, want := range map[string]string{"dev": "40755 0:0", "dev/console": "20600 5:1", "init": "100755 0:0", "etc/ingot/modules": "100644 0:0"} {
		if modes[name] != want {
			t.Errorf("%s is %s, want %s", name, modes[name], want)
		}
	}
	if string(content["init"]) != "12345" || string(content["etc/ingot/modules"]) != "/a.ko\n" {
		t.Errorf("content %q", content)
	}
}

func TestInitramfsHasALimit(t *testing.T) {
	var a archive
	a.add(entry{name: "noise", mode: modeFile, data: []byte(strings.Repeat("0123456789", 100))})
	if _, err := pack(&a, filepath.Join(t.TempDir(), "out"), 20); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("past the limit: %v, want too large", err)
	}
	if _, err := pack(&a, filepath.Join(t.TempDir(), "out"), 2000); err != nil {
		t.Errorf("within the limit: %v", err)
	}
}

func TestAgentMustBeStatic(t *testing.T) {
	arm := makeELF(nil, false)
	arm[18] = byte(elf.EM_AARCH64)
	for name, c := range map[string]struct {
		file []byte
		ok   bool
	}{
		"static": {makeELF(nil, false), true}, "dynamic": {makeELF(nil, true), false},
		"script": {[]byte("#!/bin/sh\n"), false}, "other machine": {arm, false},
	} {
		path := filepath.Join(t.TempDir(), "agent")
		write(t, path, c.file)
		if err := checkStatic(path); (err == nil) != c.ok || err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatAptSays(t *testing.T) {
	shown := "Package: linux-image-amd64\nDepends: linux-image-6.1.0-56-amd64 (= 6.1.192-2)\nDescription: x\n"
	if got := kernelOf(shown); got != "linux-image-6.1.0-56-amd64" {
		t.Errorf("kernel %q", got)
	}
	if got := kernelOf("Depends: linux-base\nDescription: linux-image-6.1.0-56-amd64\n"); got != "" {
		t.Errorf("kernel %q where none is", got)
	}
	sum := strings.Repeat("ab", 32)
	p, ok := debOf("'http://deb.example/pool/g.deb' grub_1%3a2.06-13_amd64.deb 123 SHA256:" + sum + "\n")
	if !ok || p.file != "grub_1%3a2.06-13_amd64.deb" || p.sha256 != sum || p.version() != "1:2.06-13" {
		t.Errorf("%+v %v, version %s", p, ok, p.version())
	}
	for _, bad := range []string{"", "'http://x' ../../x.deb 1 SHA256:" + sum, "'http://x' x.deb 1 MD5Sum:abc"} {
		if p, ok := debOf(bad); ok {
			t.Errorf("%q read as %+v", bad, p)
		}
	}
}
