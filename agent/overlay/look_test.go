package overlay

import (
	"archive/tar"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/fault"
)

// Names that are different and lead to one place in the installed system are seen before the first file is written, in either order.
func TestREQ27NamesThatMeetInTheSystemAreSeenFirst(t *testing.T) {
	file := func(name string) item { return item{name: name, content: "x"} }
	folder := func(name string) item { return item{name: name, kind: tar.TypeDir} }
	link := func(name, to string) item { return item{name: name, kind: tar.TypeSymlink, link: to} }
	system := map[string]string{"usr/bin/old": "old", "bin": "->usr/bin", "sbin": "->/bin", "lib": "->usr/lib", "usr/lib/": "", "deep": "->usr/../bin/../lib/.", "usr/lib/inner": "->../bin"}
	for _, c := range []struct {
		what     string
		one, two item
		want     string // "": it is applied
	}{
		{"two files", file("bin/x"), file("usr/bin/x"), "leads to the place of"},
		{"two files by a link to a link", file("sbin/x"), file("usr/bin/x"), "leads to the place of"},
		{"a file and a link", file("bin/x"), link("usr/bin/x", "y"), "leads to the place of"},
		{"a file and a folder", file("bin/x"), folder("usr/bin/x"), "leads to the place of"},
		{"a file and what is below it", file("bin/x"), file("usr/bin/x/y/z"), "leads to the place of"},
		{"in folders that are missing", file("lib/new/x"), file("deep/new/x"), "leads to the place of"},
		{"a link that another leads through, replaced by a link", link("bin", "usr/lib"), file("sbin/x"), "leads through a link of the installed system that it replaces"},
		{"a link in a folder behind a link, replaced by a file", file("lib/inner"), file("usr/lib/inner/x"), "leads through a link of the installed system that it replaces"},
		{"two folders", folder("bin"), folder("usr/bin"), ""},
		{"two new folders", folder("lib/new"), folder("usr/lib/new"), ""},
		{"files beside each other", file("bin/x"), file("usr/bin/y"), ""},
		{"a link that nothing leads through", link("sbin", "usr/lib"), file("bin/x"), ""},
	} {
		for _, order := range [][]item{{c.one, c.two}, {c.two, c.one}} {
			if c.two.name == c.one.name+"/x" || strings.HasPrefix(order[0].name, "usr/lib/inner/") {
				continue // of its own names it is judged before
			}
			root := t.TempDir()
			put(t, root, system)
			done, err := lay(t, root, nil, append([]item{file("first")}, order...)...)
			if c.want == "" {
				if err != nil {
					t.Errorf("%s: %v", c.what, err)
				}
				continue
			}
			if said, _ := fault.PublicOf(err); !strings.Contains(said, c.want) || !strings.HasPrefix(said, "It is refused as a whole: ") {
				t.Errorf("%s, %s first: %+v, %v", c.what, order[0].name, done, err)
			}
			if _, err := os.Lstat(filepath.Join(root, "first")); err == nil {
				t.Errorf("%s, %s first: something was written", c.what, order[0].name)
			}
		}
	}
}

// As root: each file system must have room for what comes onto it, however much another has.
func TestREQ27EachFileSystemMustHaveRoom(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts")
	}
	root := t.TempDir()
	put(t, root, map[string]string{"home/": "", "srv": "->home", "etc/": ""})
	home := filepath.Join(root, "home")
	if err := unix.Mount("none", home, "tmpfs", 0, "size=128k"); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	defer unix.Unmount(home, 0)
	kib := func(name string, n int) item { return item{name: name, content: strings.Repeat("x", n<<10)} }
	var small []item
	for i := range 40 {
		small = append(small, item{name: fmt.Sprintf("home/small/%d", i), content: "x"})
	}
	for what, items := range map[string][]item{
		"one large file":                  {kib("home/u/x", 200)},
		"two that are too large together": {kib("home/x", 80), kib("srv/y", 80)},
		"many, of a whole block each":     small,
	} {
		_, err := lay(t, root, nil, append([]item{kib("etc/first", 200)}, items...)...)
		if said, _ := fault.PublicOf(err); !strings.Contains(said, `for the file system of "home/`) || !strings.Contains(said, "there is room for 131072") {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := os.Lstat(filepath.Join(root, "etc/first")); err == nil {
			t.Fatalf("%s: something was written", what)
		}
	}
	if _, err := lay(t, root, nil, kib("etc/first", 400), kib("home/x", 80)); err != nil {
		t.Errorf("where each has room: %v", err)
	}
}

// Two subvolumes of a btrfs have one room.
func TestREQ27SubvolumesShareTheirRoom(t *testing.T) {
	r := newRig(t)
	disk := r.device("btrfs", nil)
	r.mounted(disk, func(at string) {
		r.run("btrfs", "subvolume", "create", filepath.Join(at, "@home"))
		put(t, at, map[string]string{"home/": "", "etc/fstab": "UUID=" + r.uuid(disk) + " /home btrfs subvol=@home 0 0\n"})
	})
	large := strings.Repeat("x", 150<<20)
	pkg := serve(t, item{name: "srv/first", content: large}, item{name: "home/second", content: large})
	var o Overlay
	_, err := o.Apply(context.Background(), pkg, []string{disk}, nil)
	if err == nil || !strings.Contains(err.Error(), "there is room for") {
		t.Errorf("%v", err)
	}
	r.clean()
	r.mounted(disk, func(at string) {
		if _, err := os.Lstat(filepath.Join(at, "srv/first")); err == nil {
			t.Error("something was written")
		}
	})
	if _, err := o.Apply(context.Background(), serve(t, item{name: "home/second", content: large}), []string{disk}, nil); err != nil {
		t.Errorf("one of them: %v", err)
	}
}
