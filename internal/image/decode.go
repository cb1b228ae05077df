package image

import (
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"

	"ingot/internal/fault"
)

// MaxWindow is the largest zstd window and xz dictionary accepted, 64 MiB: what "zstd --long=26" and "xz -9" make. The
// decoder holds one in memory.
const MaxWindow = 64 << 20

// Options bound and check what a Decoder gives.
type Options struct {
	Rules           // what the operator permits; the zero value is the default
	Declared string // disk_format as the user gave it: "" and "unknown" assert nothing, any other word must be right
	MaxSize  int64  // bytes the decoded image may have, usually the disk's size; 0 is no limit
	// Partition says that the image is to be that of a partition, and MaxSize the partition's size.
	Partition bool

	inner bool // what is looked at is inside a qcow2
}

// place is where the image goes, in words.
func (o Options) place() string {
	if o.Partition {
		return "partition"
	}
	return "disk"
}

// Decoder gives the bytes of the disk. It is for one goroutine.
type Decoder struct {
	info   Info
	below  *watched
	body   io.Reader // head again, then the rest
	stop   func()
	o      Options
	passed int64
}

// NewDecoder reads the head of r and decides what it is. It decodes at most about HeadSize bytes before it
// answers, so a caller has touched no disk when the image is refused. The errors are fault.Invalid (may
// not be written), fault.TooLarge (announces more than MaxSize), or r's own.
// Close frees the decoder's memory; it does not close r.
func NewDecoder(r io.Reader, o Options) (*Decoder, error) {
	d := &Decoder{below: &watched{r: r}, stop: func() {}, o: o}
	if err := d.open(); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *Decoder) open() error {
	magic := make([]byte, 64)
	n, err := fill(d.below, magic)
	if err != nil {
		return err
	}
	body, err := d.unpack(magic[:n], io.MultiReader(bytes.NewReader(magic[:n]), d.below))
	if err != nil {
		return d.explain(err)
	}
	head := make([]byte, HeadSize)
	if n, err = fill(body, head); err != nil {
		return d.explain(err)
	}
	info, err := Inspect(head[:n], d.o)
	if err != nil {
		return err
	}
	d.info.Format, d.info.Table, d.info.Root = info.Format, info.Table, info.Root
	d.body = io.MultiReader(bytes.NewReader(head[:n]), body)
	return d.checkAnnounced()
}

// unpack puts the decompressor that the first bytes ask for in front of r.
func (d *Decoder) unpack(magic []byte, r io.Reader) (io.Reader, error) {
	switch d.info.Compression = Detect(magic); d.info.Compression {
	case Gzip:
		return gzip.NewReader(r)
	case XZ:
		return xz.NewReader(r, MaxWindow)
	case Zstd:
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(MaxWindow), zstd.WithDecoderMaxMemory(1<<62))
		if err != nil {
			return nil, err
		}
		d.stop = z.Close
		var h zstd.Header
		if h.Decode(magic) == nil && h.HasFCS && h.FrameContentSize < 1<<62 {
			d.info.Size = int64(h.FrameContentSize)
		}
		return z, nil
	}
	d.info.Compression = ""
	return r, nil
}

// checkAnnounced refuses, before anything is decoded further, what says of itself that it does not fit.
func (d *Decoder) checkAnnounced() error {
	end, _ := d.info.End()
	needs := max(d.info.Size, end)
	if d.o.MaxSize > 0 && needs > d.o.MaxSize {
		return fault.New(fault.TooLarge, "The image needs %d bytes but the %s has %d.", needs, d.o.place(), d.o.MaxSize)
	}
	return nil
}

// Info says what the image is.
func (d *Decoder) Info() Info { return d.info }

// Read gives decoded bytes. Past the limit it fails with fault.TooLarge, on a damaged stream with
// fault.Invalid; a short download is the reader's own error.
func (d *Decoder) Read(p []byte) (int, error) {
	n, err := d.body.Read(p)
	d.passed += int64(n)
	if d.o.MaxSize > 0 && d.passed > d.o.MaxSize {
		return 0, fault.New(fault.TooLarge, "The image is larger than the %s, which has %d bytes.", d.o.place(), d.o.MaxSize)
	}
	if err != nil && err != io.EOF {
		err = d.explain(err)
	}
	return n, err
}

// Close frees the decoder's memory.
func (d *Decoder) Close() { d.stop() }

// explain makes a decompressor's complaint a sentence and gives the reader's own error where there is one.
func (d *Decoder) explain(err error) error {
	switch {
	case d.below.err != nil:
		return d.below.err
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		return fault.Wrap(fault.Invalid, err,
			"The zstd image needs a window over %d MiB: compress it without --ultra, and with at most --long=26.", MaxWindow>>20)
	case errors.Is(err, xz.ErrMemlimit):
		return fault.Wrap(fault.Invalid, err, "The xz image needs a dictionary over %d MiB: compress it with at most \"xz -9\", or with zstd.", MaxWindow>>20)
	}
	return fault.Wrap(fault.Invalid, err, "The %s image is damaged or cut short and cannot be decompressed.", d.info.Compression)
}

// watched remembers a failure of the reader below, which a decompressor would pass on in its own words.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}

// fill reads until p is full or r ends. Unlike io.ReadFull it keeps a clean end apart from a cut stream.
func fill(r io.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
