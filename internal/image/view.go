package image

import (
	"errors"
	"fmt"
	"io"
)

// viewBudget is how many bytes of a file its check may read in all, whatever the file says of itself: it bounds the time.
const viewBudget = 16 << 20

// view reads a file at any place, in small pieces. It is for one goroutine.
type view struct {
	r    io.ReaderAt
	size int64 // of the file
	// cut says that only the first size bytes are at hand, and that the file is longer.
	cut  bool
	left int64
}

func newView(r io.ReaderAt, size int64) *view { return &view{r: r, size: size, left: viewBudget} }

// headView sees the first bytes of a file only.
func headView(head []byte) *view {
	return &view{r: readerOf(head), size: int64(len(head)), cut: len(head) >= HeadSize, left: viewBudget}
}

// errUnseen is that what was asked for lies where a view that is cut cannot look.
var errUnseen = errors.New("the part that would tell is not at hand")

// broken is a failure of the reader below, which is not the image's fault.
type broken struct{ error }

// Unwrap gives the reader's own error.
func (b broken) Unwrap() error { return b.error }

// bytes gives n bytes at off. What is not within the file is the file's fault.
func (v *view) bytes(off int64, n int) ([]byte, error) {
	switch {
	case n < 0 || off < 0 || off > v.size-int64(n):
		if v.cut && off >= 0 && n >= 0 {
			return nil, errUnseen
		}
		return nil, fmt.Errorf("it points to byte %d of a file of %d", off+int64(n), v.size)
	case int64(n) > v.left:
		return nil, fmt.Errorf("its tables are too large: over %d MiB of them would have to be read", viewBudget>>20)
	}
	v.left -= int64(n)
	b := make([]byte, n)
	if m, err := v.r.ReadAt(b, off); m < n {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, broken{err}
	}
	return b, nil
}

// holds tells whether n bytes at off are within the file, as far as that can be known.
func (v *view) holds(off, n uint64) bool {
	return v.cut || off <= uint64(v.size) && n <= uint64(v.size)-off
}

// readerOf reads a slice at any place.
type readerOf []byte

// ReadAt is io.ReaderAt's.
func (r readerOf) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(r)) {
		return 0, io.EOF
	}
	n := copy(p, r[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
