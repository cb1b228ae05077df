package overlay

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"ingot/internal/fault"
	"ingot/internal/image"
	"ingot/internal/unpack"
)

// archive is a package in memory. It is read several times, each time from its start.
type archive struct {
	file   *os.File
	url    string // its end says how it is packed
	limits Limits
}

// entry is one entry, judged by itself. Its name is relative and clean; "." is the root.
type entry struct {
	*tar.Header
	name   string
	xattrs map[string]string
}

// each reads the package and calls do for each entry with its content. Nothing may come after the end.
func (a archive) each(ctx context.Context, do func(e entry, content io.Reader) error) error {
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	plain, end, err := a.unpacked(ctx)
	if err != nil {
		return readable(err)
	}
	defer end()
	// Beside the content there are a header and padding for each entry, and records of any length, which package tar bounds.
	out := &unpack.Bounded{R: plain, Left: a.limits.Bytes + int64(a.limits.Entries)*4096, Over: a.tooMuch(), Says: readable}
	t := tar.NewReader(out)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nothingMore(out)
		}
		if err != nil {
			return readable(err)
		}
		if h.Typeflag == tar.TypeXGlobalHeader { // git writes the commit there
			continue
		}
		e, err := newEntry(h)
		if err != nil {
			return err
		}
		if err := do(e, t); err != nil {
			return err
		}
	}
}

// unpacked takes the packing off.
func (a archive) unpacked(ctx context.Context) (io.Reader, func(), error) {
	in := interruptible{ctx: ctx, r: a.file}
	if strings.HasSuffix(path.Base(pathOf(a.url)), ".tar.zst") {
		return unpack.Zstd(in, image.MaxWindow, 1<<62)
	}
	return unpack.Gzip(in)
}

// pathOf is the path of a URL, without what may follow.
func pathOf(url string) string {
	url, _, _ = strings.Cut(url, "#")
	url, _, _ = strings.Cut(url, "?")
	return url
}

// nothingMore reads what tar pads its end with.
func nothingMore(r io.Reader) error {
	page := make([]byte, 32<<10)
	for {
		n, err := r.Read(page)
		for _, b := range page[:n] {
			if b != 0 {
				return refuse("something follows its end")
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// refuse is the sentence of a package that is not applied, none of it.
func refuse(format string, args ...any) error {
	f := fault.New(fault.Invalid, format, args...)
	f.Public = "It is refused as a whole: " + f.Public + "."
	return f
}

func (a archive) tooMuch() error {
	return refuse("unpacked it has more than the %d bytes that a package may have", a.limits.Bytes)
}

// readable turns what a decoder says into a sentence.
func readable(err error) error {
	var stopped errStopped
	if _, ours := fault.PublicOf(err); err == nil || ours || errors.As(err, &stopped) {
		return err
	}
	return fault.Wrap(fault.Invalid, err, "It is refused as a whole: it cannot be read to its end. It must be a tar file, packed as the end of its URL says.")
}

// errStopped is the end of the context.
type errStopped struct{ error }

// Unwrap gives the cause.
func (e errStopped) Unwrap() error { return e.error }

// interruptible ends with ctx.
type interruptible struct {
	ctx context.Context // kept because Read has none: it lives within one call
	r   io.Reader
}

// Read reads.
func (i interruptible) Read(p []byte) (int, error) {
	if err := context.Cause(i.ctx); err != nil {
		return 0, errStopped{err}
	}
	return i.r.Read(p)
}
