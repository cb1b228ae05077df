// Command laid takes the agent's place in the Debian ramdisk: it makes systems on volumes, arrays and FAT file systems, lays personalization
// packages over them as the agent does, and tells the serial console what became of them.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"ingot/agent/overlay"
	"ingot/internal/agentapi"
)

// first and second are the machine's two disks.
const first, second = "/dev/vda", "/dev/vdb"

var say = func(format string, args ...any) {}

func main() {
	out, err := os.OpenFile("/dev/ttyS0", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		panic(err)
	}
	say = func(format string, args ...any) { fmt.Fprintf(out, "probe: "+format+"\r\n", args...) }
	_ = exec.Command("udevadm", "settle").Run()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	url = "http://" + l.Addr().String()
	go func() { // as long as the machine runs
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(served) })) //nolint:gosec // G114: nobody else asks
	}()
	volumes()
	arrays()
	say("done")
	_ = exec.Command("systemctl", "poweroff").Run()
	select {}
}

// volumes: the root and /home are on volumes of a group, beside an EFI system partition.
func volumes() {
	ok := run("", "wipefs", "--all", first) && run("label: gpt\nsize=64MiB, type=uefi\ntype=lvm\n", "sfdisk", first) && run("", "udevadm", "settle") &&
		run("", "mkfs.vfat", "-F", "32", "-i", "12345678", first+"1") && run("", "pvcreate", first+"2") && run("", "vgcreate", "sys", first+"2") &&
		run("", "lvcreate", "-y", "-L", "64M", "-n", "root", "sys") && run("", "lvcreate", "-y", "-L", "32M", "-n", "home", "sys") && run("", "vgchange", "-ay", "sys") && run("", "udevadm", "settle") &&
		run("", "mke2fs", "-q", "-t", "ext4", "/dev/sys/root") && run("", "mke2fs", "-q", "-t", "ext4", "/dev/sys/home")
	within("/dev/sys/root", func(at string) {
		fill(at, "etc/os-release", "ID=volumes\n")
		fill(at, "etc/fstab", "/dev/mapper/sys-root / ext4 defaults 0 1\n/dev/sys/home /home ext4 defaults 0 2\nUUID=1234-5678 /boot/efi vfat umask=0077 0 1\n")
		fill(at, "home/here", "below the mount")
		fill(at, "boot/efi/here", "below the mount")
	})
	ok = ok && run("", "vgchange", "-an", "sys")
	say("volumes made: %v", ok)
	disks := []string{first}
	const fat = "boot/efi/EFI/site.cfg"
	lay("a link on a FAT", disks, file{"etc/none", "x", 0}, file{"boot/efi/EFI/link", "->x", 0})
	lay("two names on a FAT", disks, file{"etc/none", "x", 0}, file{"boot/efi/EFI/Name", "x", 0}, file{"boot/efi/efi/NAME", "y", 0})
	lay("too much for a FAT", disks, file{"etc/none", "x", 0}, file{"boot/efi/large", strings.Repeat("x", 70<<20), 0})
	lay("too much for a volume", disks, file{"etc/none", "x", 0}, file{"home/large", strings.Repeat("x", 40<<20), 0})
	lay("volumes", disks, file{"etc/motd", "by the package", 0}, file{"home/u/x", "of a user", 1000}, file{fat, "on the FAT", 1000})
	run("", "vgchange", "-ay", "sys")
	run("", "udevadm", "settle")
	within("/dev/sys/root", func(at string) { show("root", at, "etc/none", "etc/motd", "home/u/x", fat) })
	within("/dev/sys/home", func(at string) { show("home", at, "u/x", "large") })
	within(first+"1", func(at string) { show("esp", at, "EFI/site.cfg", "EFI/Name", "EFI/link", "large") })
	say("volumes put away: %v", run("", "vgchange", "-an", "sys") && run("", "wipefs", "--all", "--force", first+"2", first+"1", first))
}

// arrays: the root is on a mirror of both disks.
func arrays() {
	table := "label: gpt\ntype=raid\n"
	ok := run(table, "sfdisk", "--wipe", "always", first) && run(table, "sfdisk", "--wipe", "always", second) && run("", "udevadm", "settle") &&
		run("", "mdadm", "--create", "/dev/md0", "--run", "--assume-clean", "--level=1", "--metadata=1.2", "--raid-devices=2", first+"1", second+"1") && run("", "mke2fs", "-q", "-t", "ext4", "/dev/md0")
	within("/dev/md0", func(at string) {
		fill(at, "etc/os-release", "ID=mirror\n")
		fill(at, "etc/fstab", "/dev/md0 / ext4 defaults 0 1\n")
	})
	ok = ok && run("", "mdadm", "--wait-clean", "/dev/md0") && run("", "mdadm", "--stop", "/dev/md0")
	say("arrays made: %v", ok)
	lay("half of a mirror", []string{first}, file{"etc/motd", "by the package", 0})
	lay("a mirror", []string{first, second}, file{"etc/motd", "by the package", 0}, file{"srv/large", strings.Repeat("x", 8<<20), 0})
	mounted, _ := os.ReadFile("/proc/self/mounts")
	say("left mounted: %d", strings.Count(string(mounted), "/installed-"))
	run("", "mdadm", "--stop", "--scan")
	// Each half by itself has what was written: the package went through the array.
	for _, half := range []string{first + "1", second + "1"} {
		run("", "mdadm", "--assemble", "--run", "--readonly", "/dev/md9", half)
		within("/dev/md9", func(at string) { show("half "+filepath.Base(half), at, "etc/motd", "srv/large") })
		run("", "mdadm", "--stop", "/dev/md9")
	}
}

// file is one entry of a package; content that begins with -> makes it a link.
type file struct {
	name, content string
	owner         int
}

var (
	url    string
	served []byte
)

// lay applies a package.
func lay(what string, disks []string, files ...file) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: tar.TypeReg, Mode: 0o640, Uid: f.owner, Gid: f.owner, Size: int64(len(f.content))}
		if to, is := strings.CutPrefix(f.content, "->"); is {
			h.Typeflag, h.Linkname, h.Size, f.content = tar.TypeSymlink, to, 0, ""
		}
		_ = w.WriteHeader(h) // into memory
		_, _ = w.Write([]byte(f.content))
	}
	_, _ = w.Close(), z.Close()
	served = b.Bytes()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	done, err := (&overlay.Overlay{}).Apply(ctx, agentapi.OSPackage{URL: url + "/p.tar.gz"}, disks, nil)
	say("%s: files=%d err=%v", what, done.Files, err)
}

// run runs a program with an input, and tells whether it succeeded.
func run(in, name string, args ...string) bool {
	c := exec.Command(name, args...)
	c.Stdin = strings.NewReader(in)
	out, err := c.CombinedOutput()
	if err != nil {
		say("%s %v: %v %s", name, args, err, bytes.ReplaceAll(out, []byte("\n"), []byte("|")))
	}
	return err == nil
}

// within mounts a device while something is done.
func within(device string, do func(at string)) {
	at, err := os.MkdirTemp("", "looked-")
	if err == nil && run("", "mount", device, at) {
		do(at)
		run("", "umount", at)
	}
}

func fill(at, name, content string) {
	full := filepath.Join(at, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(content), 0o644)); err != nil {
		say("%v", err)
	}
}

// show tells what some names are.
func show(where, at string, names ...string) {
	for _, name := range names {
		full := filepath.Join(at, name)
		info, err := os.Lstat(full)
		if err != nil {
			say("%s has no %s", where, name)
			continue
		}
		content, _ := os.ReadFile(full)
		owner := info.Sys().(*syscall.Stat_t)
		say("%s has %s: %d:%d %o %d bytes %.20q", where, name, owner.Uid, owner.Gid, info.Mode().Perm(), len(content), content)
	}
}
