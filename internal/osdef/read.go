package osdef

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"

	"ingot/internal/fault"
	"ingot/internal/unpack"
)

// Read makes a bundle of a tar stream: plain, or packed with gzip or zstd, which its first bytes tell. It reads no more than the
// limits allow, of the stream and of what comes out of it.
func Read(r io.Reader, l Limits) (*Bundle, error) {
	in := &unpack.Bounded{R: r, Left: l.Packed, Over: tooMany(l)}
	plain, end, err := unpacked(bufio.NewReader(in))
	if err != nil {
		return nil, readable(err)
	}
	defer end()
	// What a tar file has beside the content: a header and padding for each file, and names of any length before each.
	out := &unpack.Bounded{R: plain, Left: l.Bytes + int64(l.Files)*4096, Over: tooMany(l)}
	t := newTree(l)
	archive := tar.NewReader(out)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = t.entry(h, archive)
		}
		if err != nil {
			return nil, readable(err)
		}
	}
	return t.bundle()
}

// unpacked takes the packing off, if there is one.
func unpacked(r *bufio.Reader) (io.Reader, func(), error) {
	head, err := r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return unpack.Gzip(r)
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return unpack.Zstd(r, 8<<20, 64<<20)
	}
	return r, func() {}, nil
}

// entry takes one entry of a tar file in, or refuses it, and with it the whole.
func (t *tree) entry(h *tar.Header, content io.Reader) error {
	if err := t.count(); err != nil {
		return err
	}
	name, err := t.name(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return t.dir(name)
	case tar.TypeReg:
		return t.file(name, h.Mode&0o100 != 0, content)
	case tar.TypeSymlink:
		return t.link(name, h.Linkname)
	case tar.TypeLink: // its target is a path in the archive
		to, err := t.name(h.Linkname)
		if err != nil || to == "" {
			return leadsOut(name, h.Linkname)
		}
		if err := t.claim(name); err != nil {
			return err
		}
		t.links[name] = to
		return nil
	case tar.TypeXGlobalHeader: // git writes the commit there
		return nil
	}
	return notAFile(name)
}

func notAFile(name string) error {
	return fault.New(fault.Invalid, "The file %s of the OS definition is neither a file, a folder nor a link: devices, pipes and sockets cannot be in a definition.", name)
}

// readable turns what a decoder says into a sentence.
func readable(err error) error {
	if _, ours := fault.PublicOf(err); ours {
		return err
	}
	return fault.Wrap(fault.Invalid, err, "The OS definition cannot be read: it must be a whole tar file, plain or packed with gzip or zstd.")
}
