// Package unpack takes the packing off strangers' archives, and bounds what is read of them and what comes out. What is in them is judged by
// whoever reads them: OS definitions at the server (osdef), packages on the machine (agent/overlay). It reads what it is given, and opens
// nothing.
package unpack

import (
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Bounded reads no more than Left bytes of R, and says Over when there are more.
type Bounded struct {
	R    io.Reader
	Left int64
	Over error
	// Says makes a sentence of what R says but its end; nil: it is told as it is.
	Says func(error) error
}

// Read reads.
func (b *Bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.Left+1 {
		p = p[:b.Left+1]
	}
	n, err := b.R.Read(p)
	if b.Left -= int64(n); b.Left < 0 {
		return 0, b.Over
	}
	if err != nil && err != io.EOF && b.Says != nil {
		err = b.Says(err)
	}
	return n, err
}

// Gzip takes gzip off. What it holds is let go by the second result.
func Gzip(r io.Reader) (io.Reader, func(), error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, nil, err
	}
	return z, func() {}, nil
}

// Zstd takes zstd off. It keeps a window of at most window bytes, or, of a frame that says that it is one segment without a window, at most
// memory bytes. What it holds is let go by the second result.
func Zstd(r io.Reader, window, memory uint64) (io.Reader, func(), error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(memory))
	if err != nil {
		return nil, nil, err
	}
	return z, z.Close, nil
}
