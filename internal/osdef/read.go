package osdef

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/fault"
)

// Read makes a bundle of a tar stream: plain, or packed with gzip or zstd, which its first bytes tell. It reads no more than the
// limits allow, of the stream and of what comes out of it.
func Read(r io.Reader, l Limits) (*Bundle, error) {
	in := &bounded{r: r, left: l.Packed, over: tooMany(l)}
	plain, end, err := unpacked(bufio.NewReader(in))
	if err != nil {
		return nil, readable(err)
	}
	defer end()
	// What a tar file has beside the content: a header and padding for each file, and names of any length before each.
	out := &bounded{r: plain, left: l.Bytes + int64(l.Files)*4096, over: tooMany(l)}
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
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	case bytes.Equal(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
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

// bounded reads no more than left bytes, and says over when there are more.
type bounded struct {
	r    io.Reader
	left int64
	over error
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, b.over
	}
	return n, err
}
