package image_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"

	"ingot/internal/fault"
	"ingot/internal/image"
)

// ext4Of makes a file system of what is in dir.
func ext4Of(t testing.TB, dir, size string, options ...string) []byte {
	t.Helper()
	tool, err := exec.LookPath("mke2fs")
	if err != nil {
		tool = "/sbin/mke2fs"
	}
	if _, err := os.Stat(tool); err != nil {
		t.Skip("there is no mke2fs here")
	}
	path := filepath.Join(t.TempDir(), "fs")
	args := append([]string{"-q", "-F", "-t", "ext4", "-L", "root", "-U", "0d9ecdb0-8fa2-5fbb-adcb-a29f61692696", "-d", dir}, options...)
	if out, err := exec.Command(tool, append(args, path, size)...).CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, dir, name string, content []byte) {
	t.Helper()
	name = filepath.Join(dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, content, 0o644)); err != nil {
		t.Fatal(err)
	}
}

// tree has what a reader can meet: large and small files, holes, links, and a folder with an index.
func tree(t testing.TB, many int) (dir string, large []byte) {
	dir = t.TempDir()
	large = make([]byte, 3<<20)
	rand.New(rand.NewSource(1)).Read(large[:1<<20])
	rand.New(rand.NewSource(2)).Read(large[2<<20+5000:])
	if many == 0 {
		large = large[:10000]
	}
	write(t, dir, "usr/lib/large", large)
	write(t, dir, "usr/lib/empty", nil)
	write(t, dir, "etc/fstab", []byte("none\n"))
	for i := range many {
		write(t, dir, "many/file-with-a-long-name-"+strconv.Itoa(i), []byte(strconv.Itoa(i)))
	}
	for name, target := range map[string]string{"lib": "usr/lib", "etc/far": "../usr/../lib/large", "abs": "/lib/large", "loop": "loop",
		"nowhere": "none", "long": "/" + string(bytes.Repeat([]byte("./"), 60)) + "lib/large"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, large
}

func TestExt4(t *testing.T) {
	dir, large := tree(t, 1500)
	for _, options := range [][]string{{"-b", "4096"}, {"-b", "1024"}, {"-b", "1024", "-O", "^64bit,^metadata_csum,^dir_index", "-I", "128"}, {"-b", "2048", "-O", "^flex_bg"}} {
		b := ext4Of(t, dir, "16M", options...)
		e, err := image.OpenExt4(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%v: %v", options, err)
		}
		if f := e.FileSystem(); f.UUID != "0d9ecdb0-8fa2-5fbb-adcb-a29f61692696" || f.Label != "root" || f.Size != 16<<20 {
			t.Errorf("%v: %+v", options, f)
		}
		for _, name := range []string{"/usr/lib/large", "lib/large", "/etc/far", "/abs", "/long", "/../usr//./lib/large"} {
			if got, err := e.ReadFile(name, 4<<20); err != nil || !bytes.Equal(got, large) {
				t.Errorf("%v: %s: %d bytes, %v", options, name, len(got), err)
			}
		}
		if got, err := e.ReadFile("/usr/lib/empty", 0); err != nil || len(got) != 0 {
			t.Errorf("%v: an empty file: %d bytes, %v", options, len(got), err)
		}
		if got, err := e.ReadFile("/many/file-with-a-long-name-1499", 10); err != nil || string(got) != "1499" {
			t.Errorf("%v: one of many: %q, %v", options, got, err)
		}
		names, err := e.Names("/many")
		if err != nil || len(names) != 1500 || !slices.Contains(names, "file-with-a-long-name-7") {
			t.Errorf("%v: %d names, %v", options, len(names), err)
		}
		for _, c := range []struct {
			name string
			want error // nil for any
		}{{"/none", fs.ErrNotExist}, {"/nowhere", fs.ErrNotExist}, {"/etc/fstab/x", fs.ErrNotExist}, {"/usr", image.ErrNotAFile}, {"/loop", nil}} {
			if got, err := e.ReadFile(c.name, 1<<20); err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v: %s: %d bytes, %v", options, c.name, len(got), err)
			}
		}
		if _, err := e.ReadFile("/abs", int64(len(large)-1)); err == nil {
			t.Errorf("%v: a file over the limit is read", options)
		}
	}
}

func TestInspectPartition(t *testing.T) {
	dir, _ := tree(t, 0)
	good := ext4Of(t, dir, "1M", "-b", "1024", "-O", "^has_journal")
	change := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[1024+at] |= v
		return b
	}
	for _, c := range []struct {
		name, declared string
		head           []byte
		says           string // "" for accepted
	}{
		{"good", "raw", good, ""}, {"undeclared", "", good, ""}, {"declared gpt", "gpt", good, "declared"}, {"declared qcow2", "qcow2", good, "declared"},
		{"a whole disk", "", gptDisk(512), "whole-disk"}, {"nothing", "", make([]byte, 1<<20), "no known file system"},
		{"xfs", "", at(1<<20, 0, "XFSB"), "ext4 only"}, {"cut", "", good[:2000], "ext4"}, {"a web page", "", []byte("<html>"), "web page"},
		{"journal to play", "", change(96, 4), "journal"}, {"unknown feature", "", change(98, 1), "features"},
		{"huge blocks", "", change(24, 0x40), "damaged"},
	} {
		info, err := image.Inspect(c.head, image.Options{Declared: c.declared, Partition: true})
		if (err == nil) != (c.says == "") || err != nil && (fault.KindOf(err) != fault.Invalid || !bytes.Contains([]byte(err.Error()), []byte(c.says))) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
		if end, _ := info.Root, err; err == nil && (end == nil || end.Size != 1<<20) {
			t.Errorf("%s: %+v", c.name, info)
		}
	}
}

func FuzzExt4(f *testing.F) {
	dir, _ := tree(f, 0)
	f.Add(ext4Of(f, dir, "96k", "-b", "1024", "-N", "32", "-O", "^has_journal,^resize_inode"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := image.OpenExt4(bytes.NewReader(b))
		if err != nil {
			return
		}
		for _, name := range []string{"/usr/lib/large", "/etc/far", "/long"} {
			if got, err := e.ReadFile(name, 1<<20); err == nil && len(got) > 1<<20 {
				t.Errorf("%s: %d bytes, over the limit", name, len(got))
			}
		}
		if names, err := e.Names("/"); err == nil && len(names) > len(b) && e.FileSystem().Size <= int64(len(b)) {
			t.Errorf("%d names of %d bytes", len(names), len(b))
		}
	})
}
