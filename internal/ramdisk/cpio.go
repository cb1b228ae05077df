package ramdisk

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"time"
)

// epoch dates everything in a ramdisk: the first second that FAT, ISO 9660 and cpio can all say.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// File types and permissions as in a cpio header: st_mode of Linux.
const (
	modeDir  = 0o040755
	modeFile = 0o100644
	modeExec = 0o100755
	modeChar = 0o020600
	modeLink = 0o120777
	modeType = 0o170000 // the bits that say what it is
)

// entry is one name in an initramfs, without a leading slash. Content comes from source, or part, else from data.
type entry struct {
	name         string
	mode         uint32
	uid, gid     uint32
	data         []byte
	source       string            // a file to copy
	part         *io.SectionReader // of a file that the caller keeps open
	major, minor uint32            // of a character device
}

// archive collects entries. Adding a file adds its folders.
type archive struct {
	entries map[string]entry
}

func (a *archive) add(e entry) {
	if a.entries == nil {
		a.entries = map[string]entry{}
	}
	for dir := path.Dir(e.name); dir != "."; dir = path.Dir(dir) {
		if _, ok := a.entries[dir]; !ok {
			a.entries[dir] = entry{name: dir, mode: modeDir}
		}
	}
	a.entries[e.name] = e
}

// write puts the entries out in newc form, sorted, so that a folder precedes what is in it. It returns
// how many bytes the content takes once unpacked. Source: kernel, Documentation/driver-api/early-userspace/buffer-format.rst.
func (a *archive) write(w io.Writer) (int64, error) {
	list := make([]entry, 0, len(a.entries))
	for _, e := range a.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(x, y entry) int { return cmp.Compare(x.name, y.name) })
	c := cpio{w: w}
	var total int64
	for i, e := range list {
		n, err := c.entry(uint32(i+1), e)
		if err != nil {
			return 0, fmt.Errorf("write %s into the initramfs: %w", e.name, err)
		}
		total += n
	}
	return total, c.header(0, entry{name: "TRAILER!!!"}, 0)
}

// cpio writes newc records.
type cpio struct {
	w   io.Writer
	off int64
}

func (c *cpio) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.off += int64(n)
	return n, err
}

func (c *cpio) entry(inode uint32, e entry) (int64, error) {
	if e.part != nil {
		if err := c.header(inode, e, e.part.Size()); err != nil {
			return 0, err
		}
		if _, err := io.Copy(c, io.NewSectionReader(e.part, 0, e.part.Size())); err != nil {
			return 0, err
		}
		return e.part.Size(), c.pad()
	}
	if e.source == "" {
		if err := c.header(inode, e, int64(len(e.data))); err != nil {
			return 0, err
		}
		if _, err := c.Write(e.data); err != nil {
			return 0, err
		}
		return int64(len(e.data)), c.pad()
	}
	f, err := os.Open(e.source)
	if err != nil {
		return 0, err
	}
	defer f.Close() // read-only: nothing is lost
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if err := c.header(inode, e, info.Size()); err != nil {
		return 0, err
	}
	if n, err := io.Copy(c, f); err != nil {
		return 0, err
	} else if n != info.Size() {
		return 0, fmt.Errorf("%s changed while it was read", e.source)
	}
	return info.Size(), c.pad()
}

// header is 13 fields of 8 hex digits after the magic number, then the name and its zero byte.
func (c *cpio) header(inode uint32, e entry, size int64) error {
	if size > 1<<32-1 {
		return fmt.Errorf("%d bytes are too many for the format", size)
	}
	links := uint32(1)
	if e.mode&modeType == modeDir&modeType {
		links = 2
	}
	fields := [13]uint32{inode, e.mode, e.uid, e.gid, links, uint32(epoch.Unix()), uint32(size), 0, 0,
		e.major, e.minor, uint32(len(e.name) + 1), 0}
	b := []byte("070701")
	for _, f := range fields {
		b = fmt.Appendf(b, "%08X", f)
	}
	b = append(append(b, e.name...), 0)
	if _, err := c.Write(b); err != nil {
		return err
	}
	return c.pad()
}

// pad aligns to four bytes.
func (c *cpio) pad() error {
	_, err := c.Write(make([]byte, -c.off&3))
	return err
}
