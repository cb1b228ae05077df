package overlay

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"ingot/internal/agentapi"
)

// temporary is the name that a file has until it is whole: it is put in the place of the old one then.
const temporary = ".ingot-overlay.tmp"

const maxLabel = 1 << 10 // bytes of an SELinux label; they have some fifty

// writer lays a judged package down.
type writer struct {
	tree
	told    *teller
	made    map[string]bool // folders that were missing; what a package says of others is not taken
	late    []entry         // folders whose times are set at the end: each file that is put into one changes it
	current *os.File        // the folder of the last entry, which mostly is that of the next, too
	at      string
}

// write lays the package down.
func (a archive) write(ctx context.Context, t tree, found verdict, progress func(agentapi.Progress)) (done agentapi.OSOverlay, err error) {
	w := &writer{tree: t, made: map[string]bool{}, told: &teller{tell: progress, what: "laying the personalization package over the installed system", total: found.bytes}}
	defer func() {
		if w.current != nil {
			w.current.Close()
		}
	}()
	err = a.each(ctx, func(e entry, content io.Reader) error {
		if err := w.entry(ctx, e, content); err != nil {
			return fmt.Errorf("%q could not be written: %w", e.name, err)
		}
		if e.Typeflag != tar.TypeDir {
			done.Files++
		}
		return nil
	})
	for i := 0; i < len(w.late) && err == nil; i++ {
		err = w.folderTimes(w.late[i])
	}
	for _, v := range t.used {
		if failed := unix.Syncfs(int(v.written.Fd())); failed != nil {
			err = errors.Join(err, fmt.Errorf("what was written did not reach the disk: %w", failed))
		}
	}
	done.Bytes = found.bytes
	return done, err
}

func (w *writer) entry(ctx context.Context, e entry, content io.Reader) error {
	if e.Typeflag == tar.TypeDir {
		return w.folderEntry(e)
	}
	dir, err := w.into(path.Dir(e.name))
	if err != nil {
		return err
	}
	v, err := w.volume(dir, e.name)
	if err != nil {
		return err
	}
	fd, name := int(dir.Fd()), path.Base(e.name)
	if err := unix.Unlinkat(fd, temporary, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	switch e.Typeflag {
	case tar.TypeReg:
		err = w.file(ctx, dir, v, e, content)
	case tar.TypeSymlink:
		err = w.symlink(dir, e)
	case tar.TypeLink:
		err = w.hardLink(dir, e)
	}
	if err == nil {
		err = unix.Renameat(fd, temporary, fd, name)
	}
	if err != nil {
		_ = unix.Unlinkat(fd, temporary, 0) // the first error is the one to tell
	}
	return err
}

// file writes a file's content, and gives it what the package says of it.
func (w *writer) file(ctx context.Context, dir *os.File, v volume, e entry, content io.Reader) (err error) {
	fd, err := unix.Openat(int(dir.Fd()), temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), e.name)
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(io.MultiWriter(f, w.told), interruptible{ctx, content}); err != nil {
		return err
	}
	if !v.simple {
		if err := dress(f, e, label(dir, path.Base(e.name))); err != nil {
			return err
		}
	}
	return setTimes(dir, temporary, e)
}

func (w *writer) symlink(dir *os.File, e entry) error {
	if err := unix.Symlinkat(e.Linkname, int(dir.Fd()), temporary); err != nil {
		return err
	}
	if err := unix.Fchownat(int(dir.Fd()), temporary, e.Uid, e.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	context := e.xattrs[selinux]
	if context == "" {
		context = label(dir, path.Base(e.name))
	}
	if context != "" {
		if err := unix.Lsetxattr(below(dir, temporary), selinux, []byte(context), 0); err != nil {
			return fmt.Errorf("extended attribute %s: %w", selinux, err)
		}
	}
	return setTimes(dir, temporary, e)
}

// hardLink links to a file of the package, which is there already.
func (w *writer) hardLink(dir *os.File, e entry) error {
	from, err := w.open(path.Dir(e.link()), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer from.Close()
	return unix.Linkat(int(from.Fd()), path.Base(e.link()), int(dir.Fd()), temporary, 0)
}

// into opens the folder that something is put into, and makes what is missing of it.
func (w *writer) into(name string) (*os.File, error) {
	if w.current != nil && w.at == name {
		return w.current, nil
	}
	f, err := w.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		f, err = w.makeFolder(name)
	}
	if err != nil {
		return nil, err
	}
	if w.current != nil {
		w.current.Close()
	}
	w.current, w.at = f, name
	return f, nil
}

// makeFolder makes a folder, root's and open to all until an entry says otherwise.
func (w *writer) makeFolder(name string) (*os.File, error) {
	above, err := w.into(path.Dir(name))
	if err != nil {
		return nil, err
	}
	context := label(above, path.Base(name))
	if err := unix.Mkdirat(int(above.Fd()), path.Base(name), 0o755); err != nil {
		return nil, err
	}
	w.made[name] = true
	f, err := w.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	err = unix.Fchmod(int(f.Fd()), 0o755) // whatever the umask is
	if err == nil && context != "" {
		err = unix.Fsetxattr(int(f.Fd()), selinux, []byte(context), 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// folderEntry makes a folder as the package says. One that was there before stays as it is: whoever packs a tree as an ordinary user
// would otherwise own the system's folders.
func (w *writer) folderEntry(e entry) error {
	f, err := w.into(e.name)
	if err != nil || !w.made[e.name] {
		return err
	}
	v, err := w.volume(f, e.name)
	if err != nil || v.simple {
		return err
	}
	w.late = append(w.late, e)
	return dress(f, e, "")
}

func (w *writer) folderTimes(e entry) error {
	dir, err := w.into(path.Dir(e.name))
	if err != nil {
		return err
	}
	return setTimes(dir, path.Base(e.name), e)
}

// dress gives a file or folder owner, mode and extended attributes. In this order: changing the owner takes set-uid bits and
// capabilities away. context is its SELinux label if the package says none.
func dress(f *os.File, e entry, context string) error {
	fd := int(f.Fd())
	if err := unix.Fchown(fd, e.Uid, e.Gid); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, uint32(e.Mode)&0o7777); err != nil {
		return err
	}
	if context != "" && e.xattrs[selinux] == "" {
		if err := unix.Fsetxattr(fd, selinux, []byte(context), 0); err != nil {
			return fmt.Errorf("extended attribute %s: %w", selinux, err)
		}
	}
	for name, value := range e.xattrs {
		if err := unix.Fsetxattr(fd, name, []byte(value), 0); err != nil {
			return fmt.Errorf("extended attribute %s: %w", name, err)
		}
	}
	return nil
}

// label is the SELinux label of what has a name in a folder, or of the folder: the kernel of the installed system would do so for
// what is made in it. "" where there are no labels.
func label(dir *os.File, name string) string {
	for _, at := range []string{below(dir, name), below(dir, "")} {
		value := make([]byte, maxLabel)
		if n, err := unix.Lgetxattr(at, selinux, value); err == nil && n > 0 {
			return strings.Clone(string(value[:n]))
		}
	}
	return ""
}

// below is a path to what is in an open folder itself.
func below(dir *os.File, name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), name)
}

func setTimes(dir *os.File, name string, e entry) error {
	at, err := unix.TimeToTimespec(e.ModTime)
	if err != nil {
		return nil // no date that a disk can hold
	}
	return unix.UtimesNanoAt(int(dir.Fd()), name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}
