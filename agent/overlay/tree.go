package overlay

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// openTries is how often the kernel may be asked again: openat2(2) answers EAGAIN when something else in the machine was renamed meanwhile.
const openTries = 100

// tree is the mounted root of the installed system. All paths are resolved within it.
type tree struct {
	root *os.File
	left map[string]string // what could not be mounted, and why
	used map[uint64]volume // file systems that the package writes to, by their device number
}

// volume is a file system of the installed system.
type volume struct {
	free    int64  // bytes
	block   int64  // bytes: a file takes whole ones
	pool    string // what its free space is of: two subvolumes of a btrfs have one
	simple  bool   // it has no owners, modes, links and attributes, and takes letters of either case for the same: a FAT
	written *os.File
}

func newTree(root string, left map[string]string) (tree, error) {
	dir, err := os.Open(root)
	return tree{root: dir, left: left, used: map[uint64]volume{}}, err
}

func (t tree) close() {
	for _, v := range t.used {
		v.written.Close() // a folder: nothing is lost
	}
	t.root.Close()
}

// open opens a path as the installed system would see it.
func (t tree) open(name string, flags int) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC | unix.O_NONBLOCK, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	if flags&unix.O_PATH != 0 {
		how.Flags &^= unix.O_NONBLOCK // openat2(2) takes no such pair
	}
	for try := 0; ; try++ {
		fd, err := unix.Openat2(int(t.root.Fd()), name, &how)
		if errors.Is(err, unix.EAGAIN) && try < openTries {
			continue
		}
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
		return os.NewFile(uintptr(fd), name), nil
	}
}

// lstat looks at what has a path itself, in a folder that is there.
func (t tree) lstat(name string) (unix.Stat_t, error) {
	var s unix.Stat_t
	f, err := t.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return s, err
	}
	defer f.Close()
	return s, unix.Fstat(int(f.Fd()), &s)
}

// folder finds the deepest folder on a path that is there, and what is missing behind it. Where the path has something else than a
// folder it is an error.
func (t tree) folder(name string) (f *os.File, missing string, err error) {
	f, err = t.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	switch {
	case err == nil:
		return f, "", nil
	case errors.Is(err, unix.ENOTDIR):
		return nil, "", refuse("%q is a folder of it, and something else in the installed system", name)
	case errors.Is(err, unix.ELOOP):
		return nil, "", refuse("%q leads round in a circle in the installed system", name)
	case !errors.Is(err, fs.ErrNotExist) || name == ".":
		return nil, "", err
	}
	above, missing, err := t.folder(path.Dir(name))
	if err != nil {
		return nil, "", err
	}
	if _, err := t.lstat(name); err == nil {
		above.Close()
		return nil, "", refuse("%q is a link in the installed system that leads nowhere, and a folder of the package", name)
	}
	return above, path.Join(missing, path.Base(name)), nil
}

// volume notes the file system that a folder is on, and refuses one that cannot be written to.
func (t tree) volume(folder *os.File, name string) (volume, error) {
	var at unix.Stat_t
	if err := unix.Fstat(int(folder.Fd()), &at); err != nil {
		return volume{}, err
	}
	if v, ok := t.used[at.Dev]; ok {
		return v, nil
	}
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(folder.Fd()), &s); err != nil {
		return volume{}, err
	}
	if s.Flags&unix.ST_RDONLY != 0 {
		return volume{}, refuse("%q cannot be written to%s", name, t.reason(name))
	}
	fd, err := unix.FcntlInt(folder.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return volume{}, err
	}
	v := volume{free: int64(s.Bavail) * s.Bsize, block: max(s.Bsize, 1), pool: pool(folder, at.Dev, s.Type), simple: s.Type == unix.MSDOS_SUPER_MAGIC, written: os.NewFile(uintptr(fd), name)}
	t.used[at.Dev] = v
	return v, nil
}

// pool names what the free space is of that a folder's file system shows. Each subvolume of a btrfs has a device number of its own, so
// there it is the file system's own identity.
func pool(folder *os.File, device uint64, kind int64) string {
	if kind == unix.BTRFS_SUPER_MAGIC {
		// struct btrfs_ioctl_fs_info_args of linux/btrfs.h: two numbers, then fsid; 1024 bytes in all.
		var info struct {
			_    [2]uint64
			FSID [16]byte
			_    [1024 - 32]byte
		}
		const btrfsFSInfo = 0x8400941f // _IOR(0x94, 31, struct btrfs_ioctl_fs_info_args)
		if _, _, failed := unix.Syscall(unix.SYS_IOCTL, folder.Fd(), btrfsFSInfo, uintptr(unsafe.Pointer(&info))); failed == 0 {
			return string(info.FSID[:])
		}
	}
	return fmt.Sprint(device)
}

// reason says why something cannot be written to.
func (t tree) reason(name string) string {
	var why []string
	for _, at := range slices.Sorted(maps.Keys(t.left)) {
		text := fmt.Sprintf("%s of the installed system could not be mounted: %s", at, t.left[at])
		if strings.HasPrefix("/"+name+"/", at+"/") {
			return ", for " + text
		}
		why = append(why, text)
	}
	if len(why) == 0 {
		return ", for its file system is read-only"
	}
	return ", for " + strings.Join(why, "; ") // a link leads there
}
