package ramdisk

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
)

// maxSystem is how large the files of a Debian system may be together, in bytes: they lie in the machine's memory.
const maxSystem = 2 << 30

// leave is what of an installed system does not go into the ramdisk. A pattern that ends with a slash means what is in a
// folder, not the folder; others are of path.Match, and mean what is below too.
type leave struct {
	pattern string
	why     string
}

var left = []leave{
	// The builder's, and what each machine makes for itself.
	{"etc/apt/sources.list", "the builder's"},
	{"etc/apt/sources.list.d/", "the builder's"},
	{"etc/apt/apt.conf.d/99mmdebstrap", "the builder's"},
	{"etc/hostname", "the builder's; ours is laid over"},
	{"etc/hosts", "the builder's; ours is laid over"},
	{"etc/resolv.conf", "the builder's; the agent writes one"},
	{"etc/machine-id", "each boot's own"},
	{"var/lib/dbus/machine-id", "each boot's own"},
	{"etc/ssh/ssh_host_*", "each boot's own"},
	{"etc/nvme/host*", "each boot's own"},
	{"var/lib/systemd/random-seed", "a seed that two machines share is none"},

	// What nothing reads.
	{"dev/", "the kernel makes it"},
	{"proc/", "the kernel makes it"},
	{"sys/", "the kernel makes it"},
	{"run/", "made at boot"},
	{"tmp/", "made at boot"},
	{"boot/", "the kernel is beside the initramfs"},
	{"var/cache/", "caches"},
	{"var/log/", "logs of the installation"},
	{"var/backups/", "copies"},
	{"var/lib/apt/lists/", "lists of the build's day"},
	{"var/lib/dpkg/*-old", "copies"},
	{"etc/*-", "copies of passwd and its like"},
	{"etc/.pwd.lock", "a lock"},
	{"usr/lib/udev/hwdb.d/", "names of devices for desktops; lspci has its own"},
	{"usr/lib/udev/hwdb.bin", "the same, 13 MB"},
	{"usr/lib/x86_64-linux-gnu/gconv/", "old character sets"},
	{"etc/update-motd.d/", "our motd says what is to be said"},

	// What a machine in rescue must not start: all that packages enable. Ours are laid over.
	{"etc/systemd/system/", "enabled by packages"},
	{"etc/rc?.d/", "enabled by packages"},

	// Half of the memory that tools would take, for one program that nobody calls in a rescue.
	{"usr/lib/python3*", "only xfs_scrub_all needs Python"},
	{"usr/bin/python3*", "only xfs_scrub_all needs Python"},
	{"usr/bin/py3*", "only xfs_scrub_all needs Python"},
	{"usr/share/python3", "only xfs_scrub_all needs Python"},
	{"usr/share/perl/", "only the package usrmerge needs more than perl-base, which stays"},
	{"usr/lib/x86_64-linux-gnu/perl/", "the same"},
	{"usr/lib/x86_64-linux-gnu/libperl.so*", "the same"},
	{"usr/bin/perl5*-linux-gnu", "the same"},
	{"usr/sbin/xfs_scrub*", "only it needs libicu, 37 MB"},
	{"usr/lib/x86_64-linux-gnu/libicu*", "only xfs_scrub needs it"},
}

// kept are there all the same: mtools knows no names of files without what FAT's are written in.
var kept = []string{
	"usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache", "usr/lib/x86_64-linux-gnu/gconv/IBM437.so", "usr/lib/x86_64-linux-gnu/gconv/IBM850.so",
}

// leaves tells whether a name is left out.
func leaves(name string) bool {
	if slices.Contains(kept, name) {
		return false
	}
	for _, l := range left {
		if dir, inside := strings.CutSuffix(l.pattern, "/"); inside {
			// What is in the folder: some part of the name matches, and there is more behind it.
			n := strings.Count(dir, "/") + 1
			if parts := strings.SplitN(name, "/", n+1); len(parts) > n && match(dir, strings.Join(parts[:n], "/")) {
				return true
			}
			continue
		}
		n := strings.Count(l.pattern, "/") + 1
		if parts := strings.SplitN(name, "/", n+1); len(parts) >= n && match(l.pattern, strings.Join(parts[:n], "/")) {
			return true
		}
	}
	return false
}

func match(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// addSystem puts the files of a system's tar into the archive, without what is left out. f stays open until the archive
// is written.
func addSystem(a *archive, f *os.File) error {
	r := tar.NewReader(f)
	var total int64
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the system's tar: %w", err)
		}
		name := path.Clean(strings.TrimPrefix(h.Name, "./"))
		if name == "." || leaves(name) {
			continue
		}
		if path.IsAbs(name) || strings.HasPrefix(name, "..") {
			return fmt.Errorf("read the system's tar: it has a file %q", h.Name)
		}
		e := entry{name: name, mode: uint32(h.Mode & 0o7777), uid: uint32(h.Uid), gid: uint32(h.Gid)}
		switch h.Typeflag {
		case tar.TypeDir:
			e.mode |= modeDir & modeType
		case tar.TypeSymlink:
			e.mode, e.data = modeLink, []byte(h.Linkname)
		case tar.TypeReg:
			// The reader takes no byte beyond what it was asked for: the file stands where the content begins.
			at, err := f.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			e.mode, e.part = e.mode|modeFile&modeType, io.NewSectionReader(f, at, h.Size)
			if total += h.Size; total > maxSystem {
				return fmt.Errorf("read the system's tar: it is larger than %d bytes", int64(maxSystem))
			}
		case tar.TypeLink:
			was, ok := a.entries[path.Clean(strings.TrimPrefix(h.Linkname, "./"))]
			if !ok {
				continue // of what was left out
			}
			e.mode, e.part, e.data = was.mode, was.part, was.data
		default:
			return fmt.Errorf("read the system's tar: %q is neither file nor folder nor link", h.Name)
		}
		a.add(e)
	}
}
