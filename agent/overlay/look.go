package overlay

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// looked is what is known of the installed system while entries are held against it. Nothing is written meanwhile.
type looked struct {
	tree
	spots  map[string]spot   // by folders of the package
	kinds  map[string]byte   // what entries are, by the place that they lead to
	above  map[string]bool   // places that entries are in
	names  map[string]string // of entries, by their place
	passed map[string]string // links of the installed system that entries lead through, with the name of one
	needs  map[string]int64  // bytes, by pool
	rooms  []room
}

// room is a file system that files of the package come onto, with the name of one.
type room struct {
	volume
	name string
}

// spot is where a folder of the package is in the installed system.
type spot struct {
	place string // device and inode of the deepest folder that is there, and behind it what is missing: without any link
	volume
	err error // why it cannot be written to
}

// look holds every entry against the installed system, and writes nothing: what would stop half-way does not begin.
func (a archive) look(ctx context.Context, t tree) error {
	l := &looked{tree: t, spots: map[string]spot{}, kinds: map[string]byte{}, above: map[string]bool{}, names: map[string]string{}, passed: map[string]string{}, needs: map[string]int64{}}
	if err := a.each(ctx, func(e entry, _ io.Reader) error { return l.fits(e) }); err != nil {
		return err
	}
	for link, name := range l.passed {
		if kind, replaced := l.kinds[link]; replaced && kind != tar.TypeDir {
			return refuse("%q leads through a link of the installed system that it replaces by %q", name, l.names[link])
		}
	}
	for _, r := range l.rooms {
		if need := l.needs[r.pool]; need > r.free {
			return refuse("what it has for the file system of %q needs %d bytes, and there is room for %d", r.name, need, r.free)
		}
	}
	return nil
}

// fits tells whether an entry can be laid down.
func (l *looked) fits(e entry) error {
	below := path.Dir(e.name)
	if e.Typeflag == tar.TypeDir {
		below = e.name
	}
	s, err := l.spot(below, e.name)
	if err != nil {
		return err
	}
	if err := l.meets(e, s); err != nil {
		return err
	}
	if e.Typeflag == tar.TypeDir {
		if at, err := l.open(e.name, unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
			at.Close() // it stays as it is, wherever it is
			return nil
		}
	}
	if s.err != nil {
		return s.err
	}
	if s.simple && (e.Typeflag == tar.TypeSymlink || e.Typeflag == tar.TypeLink) {
		return refuse("%q is a link, and lies on a FAT file system, which has none", e.name)
	}
	switch e.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg:
		if _, known := l.needs[s.pool]; !known {
			l.rooms = append(l.rooms, room{s.volume, e.name})
		}
		l.needs[s.pool] += (e.Size + s.block - 1) / s.block * s.block
	}
	switch there, err := l.lstat(e.name); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case there.Mode&unix.S_IFMT == unix.S_IFDIR:
		return refuse("%q is a folder in the installed system, and none in the package", e.name)
	}
	return nil
}

// spot finds a folder of the package; name is of the entry that it is for.
func (l *looked) spot(dir, name string) (spot, error) {
	if s, known := l.spots[dir]; known {
		return s, nil
	}
	folder, missing, err := l.folder(dir)
	if err != nil {
		return spot{}, err
	}
	defer folder.Close()
	var at unix.Stat_t
	if err := unix.Fstat(int(folder.Fd()), &at); err != nil {
		return spot{}, err
	}
	s := spot{place: path.Join(inode(at), missing)}
	s.volume, s.err = l.volume(folder, name)
	l.spots[dir] = s
	return s, l.links(dir, func(link string) { l.passed[link] = name })
}

func inode(s unix.Stat_t) string { return fmt.Sprintf("%d:%d", s.Dev, s.Ino) }

// meets notes which place an entry leads to, and refuses one that contradicts another there: judge has seen only what their names say.
func (l *looked) meets(e entry, s spot) error {
	place := s.place
	if e.Typeflag != tar.TypeDir {
		place = path.Join(place, path.Base(e.name))
	}
	if s.simple {
		place = strings.ToLower(place)
	}
	if claim(entry{Header: e.Header, name: place}, l.kinds, l.above) != nil {
		other := "something else of it"
		if name := l.names[place]; name != "" {
			other = fmt.Sprintf("%q", name)
		}
		return refuse("in the installed system %q leads to the place of %s", e.name, other)
	}
	l.names[place] = e.name
	return nil
}

// maxLinks is how many links a path may lead through. Source: MAXSYMLINKS of Linux.
const maxLinks = 40

// links tells each link that a path leads through, by its place. What is missing at the path's end has none; that it leads somewhere
// folder has seen.
func (t tree) links(name string, through func(place string)) error {
	at, left, passed := ".", strings.Split(name, "/"), 0 // at has no link in it
	for len(left) > 0 {
		part := left[0]
		left = left[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		target, err := t.linkAt(path.Join(at, part))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case target == "":
			at = path.Join(at, part)
			continue
		}
		if passed++; passed > maxLinks {
			return refuse("%q leads through too many links in the installed system", name)
		}
		in, err := t.lstat(at)
		if err != nil {
			return err
		}
		through(path.Join(inode(in), part))
		if target[0] == '/' {
			at = "."
		}
		left = append(strings.Split(target, "/"), left...)
	}
	return nil
}

// linkAt is where a link leads; "" for what is none.
func (t tree) linkAt(name string) (string, error) {
	f, err := t.open(name, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return "", err
	}
	defer f.Close()
	var s unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &s); err != nil || s.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", err
	}
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", target)
	return string(target[:max(n, 0)]), err
}
