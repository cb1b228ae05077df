package overlay

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/fault"
)

// item is an entry of a package that a test packs.
type item struct {
	name, link, content string
	kind                byte
	mode                int64
	uid                 int
	records             map[string]string
}

var aDay = time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)

func packed(t testing.TB, items ...item) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, i := range items {
		h := &tar.Header{Name: i.name, Linkname: i.link, Typeflag: i.kind, Mode: i.mode, Uid: i.uid, Gid: i.uid, ModTime: aDay, Size: int64(len(i.content)), PAXRecords: i.records}
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if h.Uid == 0 && os.Geteuid() != 0 {
			h.Uid, h.Gid = os.Geteuid(), os.Getegid()
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, i.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t testing.TB, plain []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(plain, nil)
}

// inMemory is a package as if it were fetched.
func inMemory(t testing.TB, url string, data []byte) archive {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "package"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	return archive{file: f, url: url, limits: Limits{Bytes: 1 << 20, Entries: 50}}
}

const someURL = "http://files.example.org/p.tar.gz"

// What could lead out of the installed system, or is not what it seems, has all of the package refused before anything is written.
func TestREQ27AHostilePackageIsRefusedWhole(t *testing.T) {
	long := strings.Repeat("n", 256)
	many := make([]item, 51)
	for i := range many {
		many[i] = item{name: "f" + strings.Repeat("x", i+1)}
	}
	for _, c := range []struct {
		what  string
		items []item
		want  string
	}{
		{"an absolute path", []item{{name: "/etc/passwd"}}, "absolute path"},
		{"two dots", []item{{name: "etc/../../passwd"}}, `".."`},
		{"two dots at the end", []item{{name: "etc/..", kind: tar.TypeDir}}, `".."`},
		{"two dots that lead nowhere bad", []item{{name: "etc/../passwd"}}, `".."`},
		{"a device", []item{{name: "dev/sda", kind: tar.TypeBlock}}, "devices"},
		{"a character device", []item{{name: "dev/mem", kind: tar.TypeChar}}, "devices"},
		{"a pipe", []item{{name: "run/pipe", kind: tar.TypeFifo}}, "devices"},
		{"a link out", []item{{name: "etc/x", kind: tar.TypeSymlink, link: "../../x"}}, "leads out"},
		{"a link out, absolute", []item{{name: "etc/x", kind: tar.TypeSymlink, link: "/usr/../../x"}}, "leads out"},
		{"a link to nothing", []item{{name: "etc/x", kind: tar.TypeSymlink}}, "no target"},
		{"a file through a link", []item{{name: "etc", kind: tar.TypeSymlink, link: "/tmp"}, {name: "etc/passwd"}}, "no folder"},
		{"a link where something is in", []item{{name: "etc/passwd"}, {name: "etc", kind: tar.TypeSymlink, link: "/tmp"}}, "something is in it"},
		{"a file deep through a link", []item{{name: "a/b", kind: tar.TypeSymlink, link: "/"}, {name: "a/b/c/d/e"}}, "no folder"},
		{"a file below a file", []item{{name: "a"}, {name: "a/b"}}, "no folder"},
		{"a link, then a file of its name", []item{{name: "a", kind: tar.TypeSymlink, link: "b"}, {name: "a", content: "x"}}, "twice"},
		{"a file, then a link of its name", []item{{name: "a", content: "x"}, {name: "./a", kind: tar.TypeSymlink, link: "b"}}, "twice"},
		{"a folder, then a link of its name", []item{{name: "a/", kind: tar.TypeDir}, {name: "a", kind: tar.TypeSymlink, link: "b"}}, "twice"},
		{"a hard link out", []item{{name: "x", kind: tar.TypeLink, link: "../x"}}, `".."`},
		{"a hard link to the system's file", []item{{name: "x", kind: tar.TypeLink, link: "etc/shadow"}}, "no file that came before"},
		{"a hard link to an absolute path", []item{{name: "x", kind: tar.TypeLink, link: "/etc/shadow"}}, "absolute"},
		{"a hard link to a link", []item{{name: "l", kind: tar.TypeSymlink, link: "/etc/shadow"}, {name: "x", kind: tar.TypeLink, link: "l"}}, "no file that came before"},
		{"a hard link to itself", []item{{name: "x", kind: tar.TypeLink, link: "x"}}, "no file that came before"},
		{"the root as a file", []item{{name: "."}}, "no name of a file"},
		{"too long a name", []item{{name: "a/" + long}}, "too long"},
		{"too deep", []item{{name: strings.Repeat("d/", 70) + "x"}}, "too long"},
		{"too much", []item{{name: "a", content: strings.Repeat("a", 1<<19)}, {name: "b", content: strings.Repeat("b", 1<<19+1)}}, "more than the 1048576 bytes"},
		{"too many", many, "more than 50 entries"},
		{"an attribute of the system", []item{{name: "a", records: map[string]string{"SCHILY.xattr.trusted.overlay.opaque": "y"}}}, "trusted.overlay.opaque"},
		{"an access list as text", []item{{name: "a", records: map[string]string{"SCHILY.acl.access": "user::rwx"}}}, "--xattrs"},
		{"a link with attributes", []item{{name: "a", kind: tar.TypeSymlink, link: "b", records: map[string]string{"SCHILY.xattr.user.a": "b"}}}, "cannot have"},
	} {
		items := append([]item{{name: "fine", content: "fine"}}, c.items...)
		for _, a := range []archive{inMemory(t, someURL, gzipped(t, packed(t, items...))), inMemory(t, "https://x/p.tar.zst?a=/b.tgz", zstded(t, packed(t, items...)))} {
			_, err := a.judge(context.Background())
			if said, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Invalid || !strings.Contains(said, c.want) || !strings.HasPrefix(said, "It is refused as a whole") {
				t.Errorf("%s: %v, want %q", c.what, err, c.want)
			}
		}
	}
}

// An archive that cannot be read to its end, or has more behind it, is refused like a hostile one.
func TestREQ27ABrokenPackageIsRefusedWhole(t *testing.T) {
	good := gzipped(t, packed(t, item{name: "a", content: strings.Repeat("abc", 9999)}))
	flipped := bytes.Clone(good)
	flipped[len(flipped)-6] ^= 1 // of the checksum
	bomb := gzipped(t, append(packed(t, item{name: "a"}), make([]byte, 3<<20)...))
	sparse := sparseFile(t)
	for what, data := range map[string][]byte{
		"nothing": {}, "no gzip": []byte("hello"), "cut off": good[:len(good)/2], "a wrong checksum": flipped, "a bomb": bomb, "a sparse bomb": gzipped(t, sparse),
		"no tar": gzipped(t, bytes.Repeat([]byte("x"), 2000)), "more behind": gzipped(t, append(packed(t, item{name: "a"}), "x"...)),
		"two archives": gzipped(t, append(packed(t, item{name: "a"}), packed(t, item{name: "a", kind: tar.TypeSymlink, link: "b"})...)), "another packing": zstded(t, packed(t)),
	} {
		_, err := inMemory(t, someURL, data).judge(context.Background())
		if said, _ := fault.PublicOf(err); fault.KindOf(err) != fault.Invalid || !strings.HasPrefix(said, "It is refused as a whole") {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := inMemory(t, someURL, good).judge(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// sparseFile is a tar file with one sparse file of 8 GiB in 512 bytes. Source of the form: tar(5), "Old GNU".
func sparseFile(t *testing.T) []byte {
	data := packed(t, item{name: "big", content: strings.Repeat("x", 512)})
	h := data[:512]
	h[156] = 'S'
	copy(h[257:], "ustar  \x00")
	copy(h[386:], "00000000000\x0000000001000\x00") // 512 bytes at 0
	copy(h[483:], "77777777777\x00")
	copy(h[148:156], "        ")
	sum := 0
	for _, b := range h {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return data
}

func TestJudgeOfAGoodPackage(t *testing.T) {
	a := inMemory(t, "https://x/p.tgz", gzipped(t, packed(t,
		item{name: "./", kind: tar.TypeDir, mode: 0o700}, item{name: "./etc/", kind: tar.TypeDir}, item{name: "etc", kind: tar.TypeDir}, item{name: "etc/a", content: "abc", mode: 0o4755},
		item{name: "etc/b", kind: tar.TypeLink, link: "./etc/a"}, item{name: "etc/c", kind: tar.TypeSymlink, link: "/usr/lib/c"}, item{name: "etc/d/e", kind: tar.TypeSymlink, link: "../../x"},
		item{name: "etc/f", content: "x", records: map[string]string{"SCHILY.xattr.user.a": "b=c", "SCHILY.xattr.security.capability": "x"}})))
	v, err := a.judge(context.Background())
	if err != nil || v != (verdict{entries: 8, bytes: 4}) {
		t.Errorf("%+v %v", v, err)
	}
}

// FuzzPackage: whatever the judge lets pass stays within the root when it is laid down.
func FuzzPackage(f *testing.F) {
	f.Add(packed(f, item{name: "etc/a", content: "abc"}, item{name: "etc/b", kind: tar.TypeLink, link: "etc/a"}, item{name: "c", kind: tar.TypeSymlink, link: "etc"}))
	f.Add(packed(f, item{name: "in/x", content: "abc"}, item{name: "out/x", content: "abc"}))
	f.Add(packed(f, item{name: "a", kind: tar.TypeSymlink, link: "../x"}, item{name: "a/x"}))
	f.Fuzz(func(t *testing.T, plain []byte) {
		if len(plain) > 1<<16 {
			t.Skip()
		}
		top := t.TempDir()
		root := filepath.Join(top, "root")
		for _, dir := range []string{root, filepath.Join(root, "in")} {
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink("../..", filepath.Join(root, "out")); err != nil {
			t.Fatal(err)
		}
		a := inMemory(t, someURL, gzipped(t, plain))
		v, err := a.judge(context.Background())
		if err != nil {
			return
		}
		_, _ = a.lay(context.Background(), root, nil, v, noProgress) // most of it fails without root, and may
		there, err := os.ReadDir(top)
		if err != nil || len(there) != 1 {
			t.Fatalf("it left the root: %v %v", there, err)
		}
	})
}
