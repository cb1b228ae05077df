package overlay

import (
	"archive/tar"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ingot/internal/agentapi"
)

// rig makes loop devices with file systems, as root with INGOT_LAB=1.
type rig struct{ t *testing.T }

func newRig(t *testing.T) rig {
	t.Helper()
	if os.Getenv("INGOT_LAB") != "1" || os.Geteuid() != 0 {
		t.Skip("needs root and INGOT_LAB=1: it makes loop devices and mounts them")
	}
	return rig{t}
}

func (r rig) run(name string, args ...string) string {
	r.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// device is a loop device with a file system in it; kind "" leaves it empty.
func (r rig) device(kind string, files map[string]string) string {
	r.t.Helper()
	back := filepath.Join(r.t.TempDir(), "disk")
	f, err := os.Create(back)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(320 << 20); err != nil { // the least that mkfs.xfs makes is 300 MiB
		r.t.Fatal(err)
	}
	device := r.run("losetup", "--find", "--show", back)
	r.t.Cleanup(func() { r.run("losetup", "--detach", device) })
	if kind == "" {
		return device
	}
	tool, err := exec.LookPath("mkfs." + kind)
	if err != nil {
		r.t.Skipf("mkfs.%s is not installed", kind)
	}
	r.run(tool, device)
	r.mounted(device, func(at string) { put(r.t, at, files) })
	return device
}

func (r rig) mounted(device string, do func(at string)) {
	r.t.Helper()
	at := r.t.TempDir()
	r.run("mount", device, at)
	defer r.run("umount", at)
	do(at)
}

func (r rig) uuid(device string) string {
	return r.run("blkid", "--probe", "--output", "value", "--match-tag", "UUID", device)
}

// clean looks that nothing is left mounted.
func (r rig) clean() {
	r.t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		r.t.Fatal(err)
	}
	if strings.Contains(string(table), "/installed-") || copies(r.t) != 0 {
		r.t.Errorf("something is left: %d copies\n%s", copies(r.t), table)
	}
}

func serve(t *testing.T, items ...item) agentapi.OSPackage {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(gzipped(t, packed(t, items...))) }))
	t.Cleanup(srv.Close)
	return agentapi.OSPackage{URL: srv.URL + "/p.tgz"}
}

// On each kind of file system, with a part of the system on a disk of its own.
func TestREQ27AnOverlayOnDisks(t *testing.T) {
	for _, kind := range []string{"ext2", "ext3", "ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t)
			home := r.device(kind, map[string]string{"u/old": "old"})
			root := r.device(kind, map[string]string{"etc/fstab": fmt.Sprintf("UUID=x / %s defaults 0 1\nUUID=%s /home %[1]s defaults 0 2\n", kind, r.uuid(home)), "home/": "", "etc/motd": "old", "usr/lib/": "", "lib": "->usr/lib"})
			var o Overlay
			done, err := o.Apply(context.Background(), serve(t, item{name: "etc/motd", content: "hello"}, item{name: "lib/x", content: "x"}, item{name: "home/u/new", content: "new", uid: 1000},
				item{name: "home/u/old", kind: tar.TypeSymlink, link: "new"}), []string{root, home}, nil)
			if err != nil || done.Files != 4 || done.Bytes != 9 || len(done.SHA256) != 64 {
				t.Fatalf("%+v %v", done, err)
			}
			r.clean()
			r.mounted(root, func(at string) {
				if read(t, filepath.Join(at, "etc/motd")) != "hello" || read(t, filepath.Join(at, "usr/lib/x")) != "x" {
					t.Error("the root has not what it should")
				}
				if there, err := os.ReadDir(filepath.Join(at, "home")); err != nil || len(there) != 0 {
					t.Errorf("below the mount: %v %v", there, err)
				}
			})
			r.mounted(home, func(at string) {
				if read(t, filepath.Join(at, "u/old")) != "new" || stat(t, filepath.Join(at, "u/new")).Uid != 1000 {
					t.Error("the other disk has not what it should")
				}
			})
		})
	}
}

// What cannot be mounted, found or told apart is a failure that says so, and nothing is left mounted.
func TestREQ28AFileSystemThatCannotBeMountedIsAFailure(t *testing.T) {
	r := newRig(t)
	pkg := serve(t, item{name: "home/x", content: "x"})
	var o Overlay
	empty := r.device("", nil)
	other := r.device("ext4", map[string]string{"some/file": "x"})
	swap := r.device("", nil)
	r.run("mkswap", swap)
	broken := r.device("ext4", map[string]string{"etc/fstab": ""})
	// A feature that no kernel has. Source: debugfs(8), set_super_value.
	r.run("debugfs", "-w", "-R", "set_super_value feature_incompat 0x80000000", broken)
	missing := r.device("ext4", map[string]string{"etc/fstab": "/dev/mapper/gone /home zfs defaults 0 2\n", "home/": ""})
	for _, c := range []struct{ what, disk, want string }{
		{"an empty disk", empty, "no installed system"},
		{"a disk without a system", other, "no installed system"},
		{"a disk with something else", swap, "holds swap, which is not mounted here"},
		{"a file system that this kernel does not know", broken, "no installed system that can be mounted here is found on " + broken + ": "},
		{"a part that is not there", missing, "/home of the installed system could not be mounted"},
	} {
		_, err := o.Apply(context.Background(), pkg, []string{c.disk}, nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.what, err)
		}
		r.clean()
	}
	fine := serve(t, item{name: "etc/x", content: "x"})
	if _, err := o.Apply(context.Background(), fine, []string{missing}, nil); err != nil {
		t.Errorf("a package that has nothing in the missing part: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err := o.Apply(ctx, fine, []string{missing}, func(p agentapi.Progress) {
		if strings.Contains(p.What, "laying") {
			cancel()
		}
	})
	if err == nil || !strings.Contains(err.Error(), "cancelled") {
		t.Errorf("cancelled: %v", err)
	}
	r.clean()
}

// The fstab is a stranger's: a disk that the work may not write to is not mounted, whatever the fstab calls it.
func TestREQ14AnFstabNamesNoOtherDisk(t *testing.T) {
	r := newRig(t)
	other := r.device("ext4", map[string]string{"u/old": "old"})
	for _, name := range []string{"UUID=" + r.uuid(other), other} {
		root := r.device("ext4", map[string]string{"etc/fstab": name + " /home ext4 defaults 0 2\n", "home/": "", "etc/motd": "old"})
		var o Overlay
		_, err := o.Apply(context.Background(), serve(t, item{name: "etc/motd", content: "new"}, item{name: "home/u/old", content: "new"}), []string{root}, nil)
		if err == nil || !strings.Contains(err.Error(), "is on no disk that may be written to here") {
			t.Errorf("%s: %v", name, err)
		}
		r.clean()
		r.mounted(root, func(at string) {
			if read(t, filepath.Join(at, "etc/motd")) != "old" {
				t.Errorf("%s: half of it was written", name)
			}
		})
	}
	r.mounted(other, func(at string) {
		if read(t, filepath.Join(at, "u/old")) != "old" {
			t.Error("the other disk was written to")
		}
	})
}
