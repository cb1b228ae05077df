package disk

import (
	"context"
	"hash"
	"io"
	"sync/atomic"

	"ingot/internal/source"
)

// The pipeline is three stages with a few 1 MiB buffers between them: fetch and hash, decode, write. Each
// stage owns a buffer while it works on it.
const (
	blockSize = mib
	blocks    = 4
)

// fetcher downloads, hashes and hands on. It is an io.Reader for the decoder.
type fetcher struct {
	body  *source.Body
	hash  hash.Hash
	count atomic.Int64 // bytes downloaded
	full  chan []byte
	free  chan []byte
	err   error // why full was closed; set before closing

	whole, rest []byte // the buffer being read, and what is left of it
}

func newFetcher(body *source.Body, h hash.Hash) *fetcher {
	f := &fetcher{body: body, hash: h, full: make(chan []byte, blocks), free: make(chan []byte, blocks)}
	for range blocks {
		f.free <- make([]byte, blockSize)
	}
	return f
}

// run downloads until the end, an error or the end of ctx.
func (f *fetcher) run(ctx context.Context) {
	defer close(f.full)
	for {
		select {
		case buf := <-f.free:
			n, err := f.fill(buf)
			f.hash.Write(buf[:n])
			f.full <- buf[:n]  // never blocks: there are as many places as buffers
			if err == io.EOF { // an error that wraps it is a connection that broke
				return
			}
			if err != nil {
				f.err = as(downloadError, err)
				return
			}
		case <-ctx.Done():
			f.err = as(downloadError, context.Cause(ctx))
			return
		}
	}
}

func (f *fetcher) fill(buf []byte) (int, error) {
	n := 0
	for n < len(buf) {
		m, err := f.body.Read(buf[n:])
		n += m
		f.count.Add(int64(m))
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Read gives the downloaded bytes in order.
func (f *fetcher) Read(p []byte) (int, error) {
	b, err := f.peek()
	if err != nil {
		return 0, err
	}
	n := copy(p, b)
	f.rest = f.rest[n:]
	return n, nil
}

// peek gives the next bytes without taking them: at the start, a whole block or the whole download.
func (f *fetcher) peek() ([]byte, error) {
	for len(f.rest) == 0 {
		if f.whole != nil {
			f.free <- f.whole[:blockSize]
			f.whole = nil
		}
		next, ok := <-f.full
		if !ok && f.err != nil {
			return nil, f.err
		}
		if !ok {
			return nil, io.EOF
		}
		f.whole, f.rest = next, next
	}
	return f.rest, nil
}

// decoded runs a decoder ahead of the writer.
type decoded struct {
	full chan []byte
	free chan []byte
	err  error // why full was closed; nil at the end of the image
}

func newDecoded() *decoded {
	d := &decoded{full: make(chan []byte, blocks), free: make(chan []byte, blocks)}
	for range blocks {
		d.free <- make([]byte, blockSize)
	}
	return d
}

func (d *decoded) run(ctx context.Context, r io.Reader) {
	defer close(d.full)
	for {
		select {
		case buf := <-d.free:
			n, err := readFull(r, buf)
			d.full <- buf[:n]
			if err == io.EOF { // an error that wraps it is a connection that broke
				return
			}
			if err != nil {
				d.err = err
				return
			}
		case <-ctx.Done():
			d.err = context.Cause(ctx)
			return
		}
	}
}

// readFull fills p and returns io.EOF only at a clean end, which io.ReadFull confuses with a cut stream.
func readFull(r io.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
