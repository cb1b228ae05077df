package osdef

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/fault"
)

// file, folder, soft and hard are headers for tarOf.
func file(name, content string) tar.Header {
	mode := int64(0o644)
	if executable(name[strings.LastIndex(name, "/")+1:]) {
		mode = 0o755
	}
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, PAXRecords: map[string]string{"content": content}}
}

func folder(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}

func soft(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}
}

func hard(name, target string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}
}

// packedLike is like as tar files would have it, below a prefix.
func packedLike(prefix string, backwards bool) (out []tar.Header) {
	files := like()
	names := slices.Sorted(maps.Keys(files))
	if backwards {
		slices.Reverse(names)
	}
	for _, name := range names {
		out = append(out, file(prefix+name, files[name]))
	}
	return out
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zstded(t testing.TB, b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(b, nil)
}

func TestTheSameFilesHaveTheSameDigest(t *testing.T) {
	want := bundle(t, like())
	plain := tarOf(t, packedLike("", false)...)
	for what, packed := range map[string][]byte{
		"plain":            plain,
		"gzip":             gzipped(plain),
		"zstd":             zstded(t, plain),
		"in another order": tarOf(t, packedLike("", true)...),
		"below a dot":      tarOf(t, append([]tar.Header{folder("./")}, packedLike("./", false)...)...),
		"below a folder":   tarOf(t, append([]tar.Header{folder("debootstrap/")}, packedLike("debootstrap/", true)...)...),
		"canonical":        want.Tar(),
		"with git's note":  tarOf(t, append([]tar.Header{{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "a commit"}}}, packedLike("", false)...)...),
	} {
		got, err := Read(bytes.NewReader(packed), Usual)
		if err != nil || got.Digest() != want.Digest() {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	changed := like()
	changed["common.sh"] += "\n"
	if bundle(t, changed).Digest() == want.Digest() {
		t.Error("another content has the same digest")
	}
	files := mapFS(like())
	files["common.sh"].Mode = 0o755
	if b, err := FromFS(files, Usual, nil); err != nil || b.Digest() == want.Digest() {
		t.Errorf("another mode has the same digest, %v", err)
	}
}

// The canonical form is written down for ever: trust that was given to a digest must not be lost by a new version of ours.
func TestTheCanonicalFormStays(t *testing.T) {
	b := bundle(t, map[string]string{"create": "#!/bin/sh\n", "a/b": "content"})
	if want := "sha256:57da0ad657841b2ba98ea1de95c7702b1e7ba610f4855c762ba134bdb25ebaa8"; b.Digest() != want {
		t.Errorf("got %s, want %s", b.Digest(), want)
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(b.Tar())); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || h.Typeflag != tar.TypeReg || h.Uid != 0 || h.Gid != 0 || h.Uname != "" || h.ModTime.Unix() != 0 {
			t.Fatalf("%+v, %v", h, err)
		}
		names = append(names, h.Name)
	}
	if !slices.Equal(names, []string{"a/b", "create"}) {
		t.Errorf("got %v", names)
	}
}

func TestREQ01HostileArchivesAreRefusedWhole(t *testing.T) {
	small := Limits{Packed: 64 << 10, Bytes: 64 << 10, Files: 20, Depth: 3}
	var many []tar.Header
	for i := range 21 {
		many = append(many, file("f"+strings.Repeat("x", i), ""))
	}
	zeros := tarOf(t, file("zeros", strings.Repeat("\x00", 1<<20)))
	noise := make([]byte, 70<<10) // does not shrink
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, c := range []struct {
		what   string
		packed []byte
		kind   fault.Kind
		says   string
	}{
		{"above the root", tarOf(t, file("../../etc/passwd", "x")), fault.Invalid, "'..'"},
		{"above the root on the way", tarOf(t, file("a/../../b", "x")), fault.Invalid, "'..'"},
		{"absolute", tarOf(t, file("/etc/passwd", "x")), fault.Invalid, "relative"},
		{"a backslash", tarOf(t, file(`a\..\b`, "x")), fault.Invalid, "printable"},
		{"a control character", tarOf(t, file("a\x1b[2Jb", "x")), fault.Invalid, "printable"},
		{"not ASCII", tarOf(t, file("é", "x")), fault.Invalid, "printable"},
		{"a long path", tarOf(t, file(strings.Repeat("abcdefghi/", 3)+strings.Repeat("a", 130), "x")), fault.Invalid, "characters"},
		{"a long name", tarOf(t, file(strings.Repeat("a", 101), "x")), fault.Invalid, "characters"},
		{"deep", tarOf(t, file("a/b/c/d/e", "x")), fault.Invalid, "folders deep"},
		{"a device", tarOf(t, tar.Header{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 8}), fault.Invalid, "sda"},
		{"a character device", tarOf(t, tar.Header{Typeflag: tar.TypeChar, Name: "mem", Devmajor: 1, Devminor: 1}), fault.Invalid, "mem"},
		{"a pipe", tarOf(t, tar.Header{Typeflag: tar.TypeFifo, Name: "pipe"}), fault.Invalid, "pipe"},
		{"twice", tarOf(t, file("a", "1"), file("./a", "2")), fault.Invalid, "twice"},
		{"a link in the place of a file", tarOf(t, file("a", "1"), soft("a", "b")), fault.Invalid, "twice"},
		{"below a file", tarOf(t, file("a", "1"), file("a/b", "2")), fault.Invalid, "no folder"},
		{"below a link", tarOf(t, soft("a", "b"), file("a/b", "2")), fault.Invalid, "no folder"},
		{"a file above", tarOf(t, file("a/b", "2"), file("a", "1")), fault.Invalid, "twice"},
		{"a link that is absolute", tarOf(t, soft("a", "/etc/shadow")), fault.Invalid, "/etc/shadow"},
		{"a link that leads out", tarOf(t, soft("a/b", "../../etc/shadow")), fault.Invalid, "leads out"},
		{"a link that leads out and back", tarOf(t, soft("a", "../x/b"), file("b", "1")), fault.Invalid, "leads out"},
		{"a hard link that leads out", tarOf(t, hard("a", "../b")), fault.Invalid, "leads out"},
		{"a link to nothing", tarOf(t, soft("a", "b")), fault.Invalid, "not there"},
		{"a link to a folder", tarOf(t, file("d/x", "1"), soft("a", "d")), fault.Invalid, "folder"},
		{"links in a circle", tarOf(t, soft("a", "b"), soft("b", "a")), fault.Invalid, "more than"},
		{"a link to itself", tarOf(t, soft("a", "a")), fault.Invalid, "more than"},
		{"empty", tarOf(t), fault.Invalid, "no files"},
		{"nothing", nil, fault.Invalid, "no files"},
		{"folders alone", tarOf(t, folder("a"), folder("a/b")), fault.Invalid, "no files"},
		{"git's note alone", tarOf(t, tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": "a commit"}}), fault.Invalid, "no files"},
		{"many files", tarOf(t, many...), fault.TooLarge, "too large"},
		{"a bomb of gzip", gzipped(zeros), fault.TooLarge, "too large"},
		{"a bomb of zstd", zstded(t, zeros), fault.TooLarge, "too large"},
		{"large as it comes", noise, fault.Invalid, "tar file"},
		{"large as it comes, packed", gzipped(tarOf(t, file("noise", string(noise)))), fault.TooLarge, "too large"},
		{"links to one large file", tarOf(t, file("a", strings.Repeat("x", 40<<10)), soft("b", "a")), fault.TooLarge, "too large"},
		{"cut off", gzipped(tarOf(t, file("a", strings.Repeat("ab c", 500))))[:80], fault.Invalid, "whole tar file"},
		{"cut off, plain", tarOf(t, file("a", strings.Repeat("x", 4000)))[:1500], fault.Invalid, "whole tar file"},
		{"no tar file", []byte("<html>no such definition</html>" + strings.Repeat(" ", 600)), fault.Invalid, "tar file"},
	} {
		t.Run(c.what, func(t *testing.T) {
			b, err := Read(bytes.NewReader(c.packed), small)
			if b != nil || err == nil || fault.KindOf(err) != c.kind || !strings.Contains(public(err), c.says) {
				t.Errorf("got %v, want %v with %q", err, c.kind, c.says)
			}
		})
	}
}

func TestSparseFilesAreBounded(t *testing.T) {
	// 1 TiB of holes, in the form of PAX 1.0 (GNU tar, "Storing Sparse Files"): a few bytes that say they are many.
	content := "0\n" + strings.Repeat("\x00", 510)
	grown := pax(t, map[string]string{"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "a", "GNU.sparse.realsize": "1099511627776"}, content)
	if _, err := Read(bytes.NewReader(grown), Usual); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("got %v", err)
	}
}

func TestLinksInsideAreFollowed(t *testing.T) {
	headers := append(packedLike("", false), soft("untrusted/create", "../create"), hard("copy", "untrusted/create"), soft("sh/common", "./../common.sh"))
	b, err := Read(bytes.NewReader(tarOf(t, headers...)), Usual)
	if err != nil {
		t.Fatal(err)
	}
	create, _ := b.File("create")
	for _, name := range []string{"untrusted/create", "copy"} {
		f, found := b.File(name)
		if !found || !f.Executable || !bytes.Equal(f.Content, create.Content) {
			t.Errorf("%s: %v, %+v", name, found, f)
		}
	}
	if f, found := b.File("sh/common"); !found || f.Executable {
		t.Errorf("sh/common: %v, %+v", found, f)
	}
}

func TestREQ01LinksOfAFolder(t *testing.T) {
	dir, etc := t.TempDir(), t.TempDir()
	for name, content := range like() {
		if name == "variants.list" {
			continue
		}
		mode := fs.FileMode(0o644)
		if executable(name) {
			mode = 0o755
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(etc, "variants.list"), []byte("default\n"), 0o644))
	must(os.Mkdir(filepath.Join(dir, ".git"), 0o755))
	must(os.WriteFile(filepath.Join(dir, ".git", "HEAD"), []byte("ref\n"), 0o644))
	must(os.Symlink(filepath.Join(etc, "variants.list"), filepath.Join(dir, "variants.list"))) // as Debian's package has it
	root, err := os.OpenRoot(dir)
	must(err)
	defer root.Close()

	if _, err := FromFS(root.FS(), Usual, nil); err == nil || !strings.Contains(public(err), "variants.list") || !strings.Contains(public(err), "leads out") {
		t.Errorf("got %v", err)
	}
	b, err := FromFS(root.FS(), Usual, func(link, target string) (io.ReadCloser, bool, error) {
		if link != "variants.list" {
			t.Errorf("asked for %s", link)
		}
		f, err := os.Open(target)
		return f, false, err
	})
	must(err)
	if want := bundle(t, like()); b.Digest() != want.Digest() {
		t.Errorf("the digest is not that of the same files: %v", b.Files())
	}
	must(os.Remove(filepath.Join(dir, "variants.list")))
	must(os.Symlink("common.sh", filepath.Join(dir, "variants.list")))
	b, err = FromFS(root.FS(), Usual, nil)
	must(err)
	if f, _ := b.File("variants.list"); string(f.Content) != like()["common.sh"] {
		t.Errorf("got %q", f.Content)
	}
}

func TestREQ01FoldersHoldFilesOnly(t *testing.T) {
	for what, mode := range map[string]fs.FileMode{"a pipe": fs.ModeNamedPipe, "a device": fs.ModeDevice, "a socket": fs.ModeSocket, "a terminal": fs.ModeDevice | fs.ModeCharDevice} {
		files := mapFS(like())
		files["strange"] = &fstest.MapFile{Mode: mode | 0o644}
		if _, err := FromFS(files, Usual, nil); err == nil || !strings.Contains(public(err), "The file strange ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// pax is a tar file of one file with records that the standard library does not write.
func pax(t *testing.T, records map[string]string, content string) []byte {
	t.Helper()
	var body strings.Builder
	for _, k := range slices.Sorted(maps.Keys(records)) {
		line := " " + k + "=" + records[k] + "\n"
		n := len(line) + 2
		if n > 99 {
			t.Fatal("too long for this helper")
		}
		body.WriteString(string(rune('0'+n/10)) + string(rune('0'+n%10)) + line)
	}
	extended := tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "PaxHeaders/a", PAXRecords: map[string]string{"content": body.String()}})
	extended[156] = 'x'
	sum := 0
	for i := range 512 {
		if i >= 148 && i < 156 {
			sum += ' '
		} else {
			sum += int(extended[i])
		}
	}
	copy(extended[148:], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
	end := 512 + (body.Len()+511)/512*512
	return append(extended[:end:end], tarOf(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", PAXRecords: map[string]string{"content": content}})...)
}

func FuzzRead(f *testing.F) {
	plain := tarOf(f, packedLike("debootstrap/", false)...)
	f.Add(plain)
	f.Add(gzipped(plain))
	f.Add(zstded(f, plain))
	f.Add(tarOf(f, soft("a", "b"), hard("b", "c"), file("c", "1"), folder("d")))
	small := Limits{Packed: 64 << 10, Bytes: 64 << 10, Files: 50, Depth: 4}
	f.Fuzz(func(t *testing.T, packed []byte) {
		b, err := Read(bytes.NewReader(packed), small)
		if err != nil {
			if _, ours := fault.PublicOf(err); !ours {
				t.Errorf("no sentence for people: %v", err)
			}
			return
		}
		if int64(len(b.Tar())) > small.Bytes {
			t.Errorf("%d bytes are kept", len(b.Tar()))
		}
		again, err := Read(bytes.NewReader(b.Tar()), small)
		if err != nil || again.Digest() != b.Digest() {
			t.Errorf("the canonical form is not canonical: %v", err)
		}
		if d, err := b.Definition(); err == nil && (d.Version == 0 || len(d.Scripts) == 0) {
			t.Errorf("got %+v", d)
		}
	})
}

func FuzzLists(f *testing.F) {
	f.Add("20\n15\n", "default\n", "filesystem of the root\n")
	f.Add("# none\n", " a \n\n", "a-b x\na_b y")
	f.Fuzz(func(t *testing.T, versions, variants, parameters string) {
		files := with(map[string]string{"ganeti_api_version": versions, "variants.list": variants, "parameters.list": parameters})
		b, err := FromFS(mapFS(files), Usual, nil)
		if err != nil {
			return
		}
		d, err := b.Definition()
		if err != nil {
			return
		}
		var c Classes
		c.Public = map[string]string{}
		for _, p := range d.Parameters {
			c.Public[p.Name] = "x"
		}
		if err := c.Check(d); err != nil && len(d.Parameters) <= maxCount {
			t.Errorf("what a definition declares cannot be given: %v", err)
		}
		for _, v := range d.Variants {
			if _, again, err := Split("name+" + v); err != nil || again != v {
				t.Errorf("variant %q cannot be named: %v", v, err)
			}
		}
	})
}
