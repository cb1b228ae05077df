package overlay

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"
)

// look holds every entry against the installed system, and writes nothing: what would stop half-way does not begin.
func (a archive) look(ctx context.Context, t tree, found verdict) error {
	err := a.each(ctx, func(e entry, _ io.Reader) error { return t.fits(e) })
	if err != nil {
		return err
	}
	var free int64
	for _, v := range t.used {
		free += v.free
	}
	if found.bytes > free {
		return refuse("its files have %d bytes, and the installed system has room for %d", found.bytes, free)
	}
	return nil
}

// fits tells whether an entry can be laid down.
func (t tree) fits(e entry) error {
	below := path.Dir(e.name)
	if e.Typeflag == tar.TypeDir {
		below = e.name
	}
	folder, err := t.folder(below)
	if err != nil {
		return err
	}
	defer folder.Close()
	if e.Typeflag == tar.TypeDir {
		if at, err := t.open(e.name, unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
			at.Close() // it stays as it is, wherever it is
			return nil
		}
	}
	v, err := t.volume(folder, e.name)
	if err != nil {
		return err
	}
	if v.simple && (e.Typeflag == tar.TypeSymlink || e.Typeflag == tar.TypeLink) {
		return refuse("%q is a link, and lies on a FAT file system, which has none", e.name)
	}
	if e.Typeflag == tar.TypeDir {
		return nil
	}
	switch there, err := t.lstat(e.name); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case there.Mode&unix.S_IFMT == unix.S_IFDIR:
		return refuse("%q is a folder in the installed system, and none in the package", e.name)
	}
	return nil
}
