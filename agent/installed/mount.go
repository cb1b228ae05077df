package installed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// kinds are the file systems that are mounted, with the options that keep a read-only mount from replaying the journal:
// that would write. Sources: ext4(5), xfs(5), btrfs(5).
var kinds = map[string]string{"ext2": "", "ext3": "noload", "ext4": "noload", "xfs": "norecovery", "btrfs": "rescue=nologreplay", "vfat": "", "f2fs": "norecovery"}

const maxWords = 100 // bytes of a stranger's text that are shown

// subvolumes are where distributions put a root on btrfs: the default one, Debian's, openSUSE's and Ubuntu's, Fedora's.
var subvolumes = []string{"", "@rootfs", "@", "root"}

// root is an installed system's root file system.
type root struct {
	device device
	subvol string
	name   string // of the distribution
}

// options of a mount. nosuid and nodev are not among them: whoever mounts a root means to change into it.
func options(kind, subvol string, rw bool) string {
	o := []string{"rw"}
	if !rw {
		o = []string{"ro"}
		if kinds[kind] != "" {
			o = append(o, kinds[kind])
		}
	}
	if subvol != "" {
		o = append(o, "subvol="+subvol)
	}
	return strings.Join(o, ",")
}

// roots looks for installed systems on every file system.
func (w work) roots(ctx context.Context, all []device) ([]root, error) {
	look, err := os.MkdirTemp("", "rescue-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(look)
	var found []root
	for _, d := range all {
		if _, ok := kinds[d.FSType]; !ok || d.FSType == "vfat" {
			continue
		}
		tries := subvolumes
		if d.FSType != "btrfs" {
			tries = tries[:1]
		}
		for _, sub := range tries {
			if _, err := w.run(ctx, "mount", "-t", d.FSType, "-o", options(d.FSType, sub, false)+",nosuid,nodev,noexec", d.Path, look); err != nil {
				if sub == "" {
					fmt.Fprintf(w.out, "%s: %v\n", d.Path, err)
				}
				continue
			}
			name, ok := system(look)
			if _, err := w.run(ctx, "umount", look); err != nil {
				return nil, err
			}
			if ok {
				found = append(found, root{d, sub, name})
				break
			}
		}
	}
	return found, nil
}

// system tells what is installed in a root file system: it has an fstab, or says what it is.
func system(at string) (name string, ok bool) {
	_, err := readBelow(at, "etc/fstab")
	name, ok = "a system without os-release", err == nil
	for _, file := range []string{"etc/os-release", "usr/lib/os-release"} {
		data, err := readBelow(at, file)
		if err != nil {
			continue
		}
		for l := range strings.Lines(data) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(l), "PRETTY_NAME="); ok {
				return printable(strings.Trim(v, `"'`)), true
			}
		}
	}
	return name, ok
}

// openBelow opens what lies in a mounted root as the system in it would see it: links lead nowhere else.
func openBelow(at, name string, flags uint64, resolve uint64) (*os.File, error) {
	dir, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	fd, err := unix.Openat2(dir, strings.TrimPrefix(name, "/"), &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: resolve | unix.RESOLVE_NO_MAGICLINKS})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(at, name), Err: err}
	}
	return os.NewFile(uintptr(fd), filepath.Join(at, name)), nil
}

func readBelow(at, name string) (string, error) {
	f, err := openBelow(at, name, unix.O_RDONLY|unix.O_NONBLOCK, unix.RESOLVE_IN_ROOT)
	if err != nil {
		return "", err
	}
	defer f.Close() // read-only: nothing is lost
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s is no file", name))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFstab))
	return string(b), err
}

// printable is a stranger's text without what a terminal would obey.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return -1
		}
		return r
	}, s)
	return strings.ToValidUTF8(s[:min(len(s), maxWords)], "")
}

// mount mounts the root, and the parts of it that its fstab names.
func (w work) mount(ctx context.Context, name string, rw bool) error {
	if mounted, err := w.mounted(ctx); err != nil {
		return err
	} else if mounted {
		return fmt.Errorf("%s is in use: \"rescue-disks umount\" first", w.at)
	}
	w.awake(ctx)
	all, err := w.devices(ctx)
	if err != nil {
		return err
	}
	if name != "" {
		real, err := filepath.EvalSymlinks(name)
		if err != nil {
			return err
		}
		all = slices.DeleteFunc(all, func(d device) bool { r, err := filepath.EvalSymlinks(d.Path); return err != nil || r != real })
	}
	found, err := w.roots(ctx, all)
	switch {
	case err != nil:
		return err
	case len(found) == 0 && name != "":
		return fmt.Errorf("%s holds no installed system; mount it yourself: mount -o ro %s %s", name, name, w.at)
	case len(found) == 0:
		return errors.New("no installed system is found; \"rescue-disks\" lists what there is")
	case len(found) > 1:
		var names []string
		for _, r := range found {
			names = append(names, fmt.Sprintf("  %s: %s", r.device.Path, r.name))
		}
		return fmt.Errorf("several systems are installed; name one:\n%s", strings.Join(names, "\n"))
	}
	r := found[0]
	if err := w.one(ctx, r.device.Path, r.device.FSType, r.subvol, w.at, rw); err != nil {
		return err
	}
	fmt.Fprintf(w.out, "%s: %s from %s, %s\n", w.at, r.name, r.device.Path, mode(rw))
	return w.below(ctx, rw)
}

func mode(rw bool) string {
	if rw {
		return "for writing"
	}
	return "read-only"
}

// one mounts a device.
func (w work) one(ctx context.Context, path, kind, subvol, at string, rw bool) error {
	if rw {
		if err := w.writable(ctx, path); err != nil {
			return err
		}
	}
	_, err := w.run(ctx, "mount", "-t", kind, "-o", options(kind, subvol, rw)+w.add, path, at)
	return err
}

// below mounts the parts of the root. One that cannot be mounted is told.
func (w work) below(ctx context.Context, rw bool) error {
	fstab, err := readBelow(w.at, "etc/fstab")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := w.devices(ctx)
	if err != nil {
		return err
	}
	for _, l := range parseFstab(fstab) {
		if err := w.part(ctx, all, l, rw); err != nil {
			fmt.Fprintf(w.out, "%s: left out: %v\n", w.at+l.at, err)
		}
	}
	return nil
}

func (w work) part(ctx context.Context, all []device, l line, rw bool) error {
	path := devicePath(l.source)
	if path == "" {
		return fmt.Errorf("%q is no disk of this machine", printable(l.source))
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(d device) bool { r, err := filepath.EvalSymlinks(d.Path); return err == nil && r == real })
	if i < 0 {
		return fmt.Errorf("%s is no block device of this machine", printable(path))
	}
	kind := all[i].FSType
	if _, ok := kinds[kind]; !ok {
		return fmt.Errorf("%s holds %q, which is not mounted here", path, printable(kind))
	}
	// No link on the way: what is mounted goes where it is said to go, in this root.
	dir, err := openBelow(w.at, l.at, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := w.one(ctx, real, kind, l.subvol, w.at+l.at, rw); err != nil {
		return err
	}
	fmt.Fprintf(w.out, "%s: %s, %s\n", w.at+l.at, real, mode(rw))
	return nil
}

func (w work) mounted(ctx context.Context) (bool, error) {
	_, err := w.run(ctx, "mountpoint", "--quiet", w.at)
	if err != nil && exitCode(err) < 0 {
		return false, err
	}
	return err == nil, nil
}

// umount takes everything away that lies at the root's place. The arrays and volumes stay.
func (w work) umount(ctx context.Context) error {
	if mounted, err := w.mounted(ctx); err != nil || !mounted {
		return errors.Join(err, errNothing(mounted, err))
	}
	if _, err := w.run(ctx, "umount", "--recursive", w.at); err != nil {
		return err
	}
	_, err := w.run(ctx, "sync")
	return err
}

func errNothing(mounted bool, err error) error {
	if mounted || err != nil {
		return nil
	}
	return errors.New("nothing is mounted")
}
