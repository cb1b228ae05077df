package image

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
)

// FileSystem is what the superblock of a partition image says of itself.
type FileSystem struct {
	UUID  string // as /dev/disk/by-uuid has it
	Label string
	Size  int64 // bytes
	Block int64 // bytes in a block
}

// Places and marks of an ext4. Source: kernel, Documentation/filesystems/ext4, as of Linux 6.1.
const (
	extSuper    = 1024 // where the superblock begins
	extMagic    = 0xef53
	extRoot     = 2 // inode of the root folder
	extNodeType = 0xf000

	incompatRecover = 0x4
	incompat64      = 0x80
	// incompatRead is what the reader knows: file types, extents, 64 bits, MMP, flexible groups, attributes in
	// inodes, the checksum seed, large folders and, refused where they occur, data in inodes.
	incompatRead = 0x2 | 0x40 | incompat64 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000

	flagEncrypt = 0x800
	flagExtents = 0x80000
	flagInline  = 0x10000000
)

// Bounds on what a stranger's file system may make us do.
const (
	maxFolder   = 8 << 20 // bytes of one folder
	maxNodes    = 1 << 12 // blocks of one file's extent tree
	maxExtents  = 1 << 17 // of one file
	maxSymlinks = 16      // on one path
	maxParts    = 256     // of one path, those of its symbolic links included
	maxDepth    = 5       // of an extent tree
)

// ErrNotAFile is for a folder, a device and the like, where a file was wanted.
var ErrNotAFile = errors.New("it is not a regular file")

// ParseExt4 reads the superblock in the first bytes of a file system. The error is a plain sentence about what is
// wrong with it.
func ParseExt4(head []byte) (*FileSystem, error) {
	s, err := parseSuper(head)
	if err != nil {
		return nil, err
	}
	return &s.fs, nil
}

type super struct {
	fs        FileSystem
	groups    int64 // bytes from the start to the group descriptors
	descSize  int64
	perGroup  uint32 // inodes
	inodes    uint32
	inodeSize int64
	wide      bool // descriptors have upper halves
}

func parseSuper(head []byte) (super, error) {
	le := binary.LittleEndian
	if len(head) < extSuper+1024 || le.Uint16(head[extSuper+56:]) != extMagic {
		return super{}, errors.New("it does not hold an ext4")
	}
	b := head[extSuper : extSuper+1024]
	features := le.Uint32(b[96:])
	switch {
	case features&incompatRecover != 0:
		return super{}, errors.New("its journal was not played back: unmount it, or run e2fsck on it, before it is made an image")
	case features&^incompatRead != 0:
		return super{}, fmt.Errorf("its ext4 has features that are not read here (%#x): make it without them", features&^incompatRead)
	case le.Uint32(b[24:]) > 6:
		return super{}, errors.New("its superblock is damaged")
	}
	block := int64(1024) << le.Uint32(b[24:])
	blocks := uint64(le.Uint32(b[4:]))
	s := super{perGroup: le.Uint32(b[40:]), inodes: le.Uint32(b[0:]), inodeSize: 128, descSize: 32}
	if le.Uint32(b[76:]) > 0 {
		s.inodeSize = int64(le.Uint16(b[88:]))
	}
	if features&incompat64 != 0 {
		s.wide, s.descSize = true, int64(le.Uint16(b[254:]))
		blocks |= uint64(le.Uint32(b[336:])) << 32
	}
	first := int64(le.Uint32(b[20:]))
	if blocks == 0 || blocks > math.MaxInt64/uint64(block)/2 || s.perGroup == 0 || s.inodeSize < 128 || s.inodeSize > block ||
		s.descSize < 32 || s.descSize > block || (s.wide && s.descSize < 64) || first > 1 {
		return super{}, errors.New("its superblock is damaged")
	}
	s.groups = (first + 1) * block
	u := b[104:120]
	s.fs = FileSystem{UUID: fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16]),
		Label: strings.TrimRight(string(b[120:136]), "\x00"), Size: int64(blocks) * block, Block: block}
	return s, nil
}

// Ext4 reads files of an ext4 by name, without mounting it. It trusts nothing that it reads: whatever does not add
// up is an error, and no file takes more memory than its reader allows.
type Ext4 struct {
	super
	r io.ReaderAt
}

// OpenExt4 reads the superblock.
func OpenExt4(r io.ReaderAt) (*Ext4, error) {
	head := make([]byte, extSuper+1024)
	if _, err := r.ReadAt(head, 0); err != nil {
		return nil, err
	}
	s, err := parseSuper(head)
	return &Ext4{s, r}, err
}

// FileSystem is what the superblock says.
func (e *Ext4) FileSystem() FileSystem { return e.fs }

// ReadFile gives a file of at most limit bytes. Symbolic links are followed, within the file system. A name that is
// not there is fs.ErrNotExist.
func (e *Ext4) ReadFile(name string, limit int64) ([]byte, error) {
	n, err := e.find(name)
	if err == nil && n.kind() != 0x8000 {
		err = ErrNotAFile
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b, err := e.content(n, limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// Names lists a folder, without "." and "..", in its own order.
func (e *Ext4) Names(name string) ([]string, error) {
	n, err := e.find(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	var out []string
	err = e.entries(n, func(entry string, _ uint32) bool {
		if entry != "." && entry != ".." {
			out = append(out, entry)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return out, nil
}

// inode is the part of an inode that a reader needs.
type inode struct {
	mode  uint16
	flags uint32
	size  uint64
	block [60]byte
}

func (n inode) kind() uint16 { return n.mode & extNodeType }

func (e *Ext4) inode(number uint32) (n inode, err error) {
	le := binary.LittleEndian
	if number == 0 || number > e.inodes {
		return n, fmt.Errorf("inode %d is none of the file system", number)
	}
	desc := make([]byte, e.descSize)
	if err := e.read(desc, e.groups+int64((number-1)/e.perGroup)*e.descSize); err != nil {
		return n, err
	}
	table := uint64(le.Uint32(desc[8:]))
	if e.wide {
		table |= uint64(le.Uint32(desc[40:])) << 32
	}
	if table > uint64(e.fs.Size/e.fs.Block) {
		return n, errors.New("an inode table is outside the file system")
	}
	raw := make([]byte, 128)
	if err := e.read(raw, int64(table)*e.fs.Block+int64((number-1)%e.perGroup)*e.inodeSize); err != nil {
		return n, err
	}
	n = inode{mode: le.Uint16(raw), flags: le.Uint32(raw[32:]), size: uint64(le.Uint32(raw[4:])) | uint64(le.Uint32(raw[108:]))<<32}
	copy(n.block[:], raw[40:100])
	return n, nil
}

func (e *Ext4) read(p []byte, off int64) error {
	if off < 0 || off > e.fs.Size-int64(len(p)) {
		return errors.New("it points outside the file system")
	}
	_, err := e.r.ReadAt(p, off)
	return err
}

// find walks a path from the root folder.
func (e *Ext4) find(name string) (inode, error) {
	todo := strings.Split(name, "/")
	root, err := e.inode(extRoot)
	if err != nil {
		return root, err
	}
	trail := []inode{root} // the folders above, for ".."
	links, parts := 0, 0
	for len(todo) > 0 {
		if parts++; parts > maxParts {
			return root, errors.New("the path is too long")
		}
		part := todo[0]
		todo = todo[1:]
		here := trail[len(trail)-1]
		switch part {
		case "", ".":
			continue
		case "..":
			trail = trail[:max(1, len(trail)-1)]
			continue
		}
		next, err := e.child(here, part)
		if err != nil {
			return next, err
		}
		if next.kind() != 0xa000 {
			trail = append(trail, next)
			continue
		}
		if links++; links > maxSymlinks {
			return next, errors.New("too many symbolic links")
		}
		target, err := e.link(next)
		if err != nil {
			return next, err
		}
		if strings.HasPrefix(target, "/") {
			trail = trail[:1]
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return trail[len(trail)-1], nil
}

func (e *Ext4) child(folder inode, name string) (inode, error) {
	number := uint32(0)
	err := e.entries(folder, func(entry string, n uint32) bool {
		if entry == name {
			number = n
		}
		return number == 0
	})
	if err == nil && number == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return inode{}, err
	}
	return e.inode(number)
}

func (e *Ext4) link(n inode) (string, error) {
	if n.flags&flagExtents == 0 && n.size < uint64(len(n.block)) {
		return string(n.block[:n.size]), nil
	}
	b, err := e.content(n, 4096)
	return string(b), err
}

// entries calls f for each entry of a folder until it has had enough. The blocks of an index look like empty entries.
func (e *Ext4) entries(folder inode, f func(name string, number uint32) bool) error {
	if folder.kind() != 0x4000 {
		return fs.ErrNotExist
	}
	b, err := e.content(folder, maxFolder)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	for at := 0; at+8 <= len(b); {
		number, size, length := le.Uint32(b[at:]), int(le.Uint16(b[at+4:])), int(b[at+6])
		if size == 65535 || size == 0 && e.fs.Block == 1<<16 {
			size = 1 << 16
		}
		if size < 8 || at+size > len(b) || 8+length > size {
			return errors.New("a folder is damaged")
		}
		if number != 0 && length > 0 && !f(string(b[at+8:at+8+length]), number) {
			return nil
		}
		at += size
	}
	return nil
}

// content reads a whole file. Holes are zeros.
func (e *Ext4) content(n inode, limit int64) ([]byte, error) {
	switch {
	case n.flags&(flagEncrypt|flagInline) != 0:
		return nil, errors.New("it is encrypted or kept inside its inode, which is not read here")
	case n.size > uint64(limit):
		return nil, fmt.Errorf("it has %d bytes, more than the %d that are read here", n.size, limit)
	case n.flags&flagExtents == 0 && n.size > 0:
		return nil, errors.New("it is stored as ext2 and ext3 did, which is not read here: make the file system an ext4 with extents")
	}
	x := &extents{e: e, out: make([]byte, n.size)}
	if n.size == 0 {
		return x.out, nil
	}
	return x.out, x.node(n.block[:], maxDepth)
}

// extents gathers one file.
type extents struct {
	e     *Ext4
	out   []byte
	nodes int
	runs  int
	bytes int64
}

// node reads one node of the tree: a header, then entries of 12 bytes.
func (x *extents) node(b []byte, above int) error {
	le := binary.LittleEndian
	count, depth := int(le.Uint16(b[2:])), int(le.Uint16(b[6:]))
	if le.Uint16(b) != 0xf30a || 12+12*count > len(b) || depth > above {
		return errors.New("its extents are damaged")
	}
	if x.nodes, x.runs = x.nodes+1, x.runs+count; x.nodes > maxNodes || x.runs > maxExtents {
		return errors.New("it is in too many pieces")
	}
	for i := range count {
		entry := b[12+12*i : 24+12*i]
		if depth == 0 {
			if err := x.run(int64(le.Uint32(entry)), int64(le.Uint16(entry[4:])), int64(le.Uint16(entry[6:]))<<32|int64(le.Uint32(entry[8:]))); err != nil {
				return err
			}
			continue
		}
		below := make([]byte, x.e.fs.Block)
		if err := x.e.read(below, (int64(le.Uint32(entry[4:]))|int64(le.Uint16(entry[8:]))<<32)*x.e.fs.Block); err != nil {
			return err
		}
		if err := x.node(below, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// run reads n blocks of the file from its block first on. More than 32768 says that they were never written.
func (x *extents) run(first, n, from int64) error {
	block := x.e.fs.Block
	at, end := first*block, min((first+n)*block, int64(len(x.out)))
	if n > 1<<15 || at >= end {
		return nil
	}
	if x.bytes += end - at; x.bytes > int64(len(x.out)) || from > x.e.fs.Size/block {
		return errors.New("its extents are damaged")
	}
	return x.e.read(x.out[at:end], from*block)
}
