package overlay

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
)

func noProgress(agentapi.Progress) {}

// put makes files, folders (a name that ends in a slash) and links (content that begins with ->) of an installed system.
func put(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(content, "->"); ok {
			err = os.Symlink(to, at)
		} else if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(at, 0o755)
		} else {
			err = os.WriteFile(at, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func lay(t *testing.T, root string, left map[string]string, items ...item) (agentapi.OSOverlay, error) {
	t.Helper()
	a := inMemory(t, someURL, gzipped(t, packed(t, items...)))
	v, err := a.judge(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return a.lay(context.Background(), root, left, v, noProgress)
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// Files are overwritten, and have mode, owner, times and attributes of the package.
func TestREQ27AnOverlayKeepsWhatThePackageSays(t *testing.T) {
	root := t.TempDir()
	put(t, root, map[string]string{"usr/lib/old": "old", "lib": "->usr/lib", "etc/motd": "old", "etc/resolv.conf": "->../run/stub", "etc/ssl/": "", "run/stub": "stub"})
	if err := os.Chmod(filepath.Join(root, "etc/ssl"), 0o710); err != nil {
		t.Fatal(err)
	}
	xattr := map[string]string{"SCHILY.xattr.user.note": "a\x00=b"}
	done, err := lay(t, root, nil, item{name: "./", kind: tar.TypeDir, mode: 0o700}, item{name: "lib/new", content: "new", mode: 0o4755}, item{name: "etc/motd", content: "hello", mode: 0o640, records: xattr},
		item{name: "etc/resolv.conf", content: "nameserver"}, item{name: "etc/same", kind: tar.TypeLink, link: "etc/motd"}, item{name: "etc/ssl/", kind: tar.TypeDir, mode: 0o777},
		item{name: "srv/deep/", kind: tar.TypeDir, mode: 0o2750}, item{name: "srv/deep/f", content: "f"}, item{name: "opt/l", kind: tar.TypeSymlink, link: "/lib/new"})
	if err != nil || done != (agentapi.OSOverlay{Files: 6, Bytes: 19}) {
		t.Fatalf("%+v %v", done, err)
	}
	for name, want := range map[string]string{"usr/lib/new": "new", "etc/motd": "hello", "etc/resolv.conf": "nameserver", "run/stub": "stub", "usr/lib/old": "old", "etc/same": "hello", "srv/deep/f": "f"} {
		if got := read(t, filepath.Join(root, name)); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]os.FileMode{"usr/lib/new": 0o755 | os.ModeSetuid, "etc/motd": 0o640, "etc/ssl": 0o710 | os.ModeDir, "srv/deep": 0o750 | os.ModeSetgid | os.ModeDir, "srv": 0o755 | os.ModeDir, "lib": 0o777 | os.ModeSymlink} {
		if info, err := os.Lstat(filepath.Join(root, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v %v, want %v", name, info.Mode(), err, want)
		}
	}
	for _, name := range []string{"etc/motd", "srv/deep", "opt/l"} {
		if info, err := os.Lstat(filepath.Join(root, name)); err != nil || !info.ModTime().Equal(aDay) {
			t.Errorf("%s: %v %v", name, info.ModTime(), err)
		}
	}
	value := make([]byte, 99)
	if n, err := unix.Lgetxattr(filepath.Join(root, "etc/motd"), "user.note", value); err != nil || string(value[:n]) != "a\x00=b" {
		t.Errorf("attribute %q %v", value[:max(n, 0)], err)
	}
	if to, err := os.Readlink(filepath.Join(root, "opt/l")); err != nil || to != "/lib/new" {
		t.Errorf("link to %q %v", to, err)
	}
	one, other := stat(t, filepath.Join(root, "etc/motd")), stat(t, filepath.Join(root, "etc/same"))
	if one.Ino != other.Ino {
		t.Error("the hard link is a copy")
	}
	if _, err := os.Lstat(filepath.Join(root, "etc", temporary)); err == nil {
		t.Error("a temporary file is left")
	}
}

// As root: owners, capabilities, and labels of what is replaced.
func TestREQ27AnOverlayKeepsOwnersAndCapabilities(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: only root gives files away")
	}
	root := t.TempDir()
	put(t, root, map[string]string{"etc/a": "old", "etc/b": "old"})
	labelled := unix.Lsetxattr(filepath.Join(root, "etc/a"), selinux, []byte("system_u:object_r:etc_t:s0\x00"), 0) == nil
	// cap_net_raw, effective. Source: struct vfs_cap_data of linux/capability.h.
	capability := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	for _, n := range []uint32{1 << unix.CAP_NET_RAW, 0, 0, 0} {
		capability = binary.LittleEndian.AppendUint32(capability, n)
	}
	_, err := lay(t, root, nil, item{name: "etc/a", content: "new", uid: 1234}, item{name: "bin/ping", uid: 7, mode: 0o6755, records: map[string]string{"SCHILY.xattr.security.capability": string(capability)}},
		item{name: "home/u/", kind: tar.TypeDir, uid: 70000}, item{name: "home/u/l", kind: tar.TypeSymlink, link: "x", uid: 70000})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint32{"etc/a": 1234, "bin/ping": 7, "home/u": 70000, "home/u/l": 70000, "home": 0, "etc": 0} {
		if s := stat(t, filepath.Join(root, name)); s.Uid != want || s.Gid != want {
			t.Errorf("%s: %d:%d", name, s.Uid, s.Gid)
		}
	}
	if s := stat(t, filepath.Join(root, "bin/ping")); s.Mode&0o7777 != 0o6755 {
		t.Errorf("mode %o", s.Mode)
	}
	value := make([]byte, 99)
	if n, err := unix.Lgetxattr(filepath.Join(root, "bin/ping"), "security.capability", value); err != nil || !bytes.Equal(value[:n], capability) {
		t.Errorf("%x %v", value[:max(n, 0)], err)
	}
	if n, err := unix.Lgetxattr(filepath.Join(root, "etc/a"), selinux, value); labelled && (err != nil || !strings.Contains(string(value[:max(n, 0)]), "etc_t")) {
		t.Errorf("label %q %v", value[:max(n, 0)], err)
	}
}

func stat(t *testing.T, name string) *syscall.Stat_t {
	t.Helper()
	info, err := os.Lstat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t)
}

// Links of the installed system lead where they lead in it, never out of it.
func TestREQ27LinksOfTheSystemLeadNowhereElse(t *testing.T) {
	top := t.TempDir()
	root := filepath.Join(top, "root")
	outside := filepath.Join(top, "outside")
	put(t, top, map[string]string{"outside/keep": "keep", "root/a": "->" + outside, "root/b": "->../outside", "root" + outside + "/": "", "root/outside/": ""})
	if _, err := lay(t, root, nil, item{name: "a/x", content: "x"}, item{name: "b/y", content: "y"}); err != nil {
		t.Fatal(err)
	}
	if there, err := os.ReadDir(outside); err != nil || len(there) != 1 {
		t.Errorf("outside: %v %v", there, err)
	}
	if read(t, filepath.Join(root, outside, "x")) != "x" || read(t, filepath.Join(root, "outside/y")) != "y" {
		t.Error("the links are not followed within the root")
	}
}

// What does not fit onto the installed system is said before the first file is written.
func TestREQ27NothingIsWrittenOfWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		what string
		last item
		want string
	}{
		{"a file over a folder", item{name: "etc", content: "x"}, "is a folder in the installed system"},
		{"a link over a folder", item{name: "etc", kind: tar.TypeSymlink, link: "x"}, "is a folder in the installed system"},
		{"a folder over a file", item{name: "file", kind: tar.TypeDir}, "something else in the installed system"},
		{"below a file", item{name: "file/a/b", content: "x"}, "something else in the installed system"},
		{"below a link to nothing", item{name: "nowhere/a", content: "x"}, "leads nowhere"},
		{"below a circle", item{name: "circle/a/b", content: "x"}, "circle"},
	} {
		root := t.TempDir()
		put(t, root, map[string]string{"etc/motd": "old", "file": "old", "nowhere": "->gone/away", "circle": "->circle"})
		_, err := lay(t, root, nil, item{name: "first", content: "x"}, c.last)
		if said, _ := fault.PublicOf(err); !strings.Contains(said, c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
		if _, err := os.Lstat(filepath.Join(root, "first")); err == nil {
			t.Errorf("%s: something was written", c.what)
		}
	}
}

// A part of the system that could not be mounted here is covered, and what belongs there is not put elsewhere.
func TestREQ28WhatIsNotMountedIsNotWritten(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: it mounts")
	}
	root := t.TempDir()
	put(t, root, map[string]string{"home/": "", "people": "->home", "etc/": ""})
	if err := unix.Mount("none", filepath.Join(root, "home"), "tmpfs", unix.MS_RDONLY, "size=4k"); err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	defer unix.Unmount(filepath.Join(root, "home"), 0)
	left := map[string]string{"/home": "/dev/sdb1 holds \"zfs_member\", which is not mounted here"}
	for _, name := range []string{"home/u/x", "people/y"} {
		_, err := lay(t, root, left, item{name: "etc/first", content: "x"}, item{name: name, content: "x"})
		if said, _ := fault.PublicOf(err); !strings.Contains(said, "zfs_member") || !strings.Contains(said, "/home of the installed system could not be mounted") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, "etc/first")); err == nil {
		t.Error("something was written")
	}
	if _, err := lay(t, root, left, item{name: "home/", kind: tar.TypeDir}, item{name: "etc/second", content: "x"}); err != nil {
		t.Errorf("a package that has nothing there: %v", err)
	}
}
