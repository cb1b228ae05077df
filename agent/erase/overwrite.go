package erase

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
)

const (
	// sampleEvery is how far apart samples are read after a discard that is only to be sampled.
	sampleEvery = 16 << 20
	samplePage  = 4096
)

// clear empties a disk by discarding, and by overwriting where that does not empty it. It words what it did.
// verified counts bytes.
func (o Options) clear(ctx context.Context, d *device, verified func(int64)) (f finding, err error) {
	if o.Iterations < 2 {
		if err := d.discard(ctx); err != nil {
			return f, err
		}
		if o.Sample && d.sampled(ctx) {
			verified(d.size)
			return finding{how: Sampled, method: ByDiscard, passes: 1}, nil
		}
	}
	overwrote := false
	for at := int64(0); at < d.size; at += chunk {
		did, err := o.empty(ctx, d, Span{at, min(chunk, d.size-at)})
		if err != nil {
			return f, err
		}
		overwrote = overwrote || did
		verified(min(chunk, d.size-at))
	}
	if !overwrote {
		return finding{how: Discarded, method: ByDiscard, passes: 1, whole: true}, nil
	}
	f = finding{how: o.words(), method: ByOverwrite, passes: o.Iterations, whole: true}
	if o.Iterations < 2 {
		f.method = ByBoth
	}
	if o.Zeroize || o.Iterations == 0 {
		f.passes++
	} else {
		f.noise, f.seen = true, "what was overwritten holds the random bytes that were written"
	}
	return f, nil
}

// words says how what was not empty was overwritten.
func (o Options) words() string {
	with := "zeros"
	if o.Iterations > 0 {
		with = "random bytes"
		if o.Iterations > 1 {
			with += fmt.Sprintf(" (%d times)", o.Iterations)
		}
		if o.Zeroize {
			with += " and zeros"
		}
	}
	return "overwritten with " + with + ", and verified"
}

// empty overwrites s, unless it reads as zero already and nobody insists.
func (o Options) empty(ctx context.Context, d *device, s Span) (overwrote bool, err error) {
	if o.Iterations < 2 {
		if err := d.settle(s); err != nil {
			return false, err
		}
		// A sector that cannot be read may well be written: the disk puts another in its place.
		zero, err := d.zero(ctx, s)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err == nil && zero {
			return false, nil
		}
	}
	var seed [32]byte
	for range o.Iterations {
		if _, err := crand.Read(seed[:]); err != nil {
			return true, err
		}
		if err := d.scribble(ctx, s, seed); err != nil {
			return true, err
		}
		if err := d.settle(s); err != nil {
			return true, err
		}
	}
	if o.Iterations > 0 && !o.Zeroize {
		return true, d.scribbled(ctx, s, seed)
	}
	return true, d.zeroed(ctx, s)
}

// zeroed makes s read as zero by the mildest means that works.
func (d *device) zeroed(ctx context.Context, s Span) error {
	for _, means := range []func(Span) error{d.zeroOut, d.write} {
		if err := means(s); errors.Is(err, errUnsupported) {
			continue
		} else if err != nil {
			return fmt.Errorf("write zeros at %d: %w", s.Start, err)
		}
		if err := d.settle(s); err != nil {
			return err
		}
		if zero, err := d.zero(ctx, s); err != nil || zero {
			return err
		}
	}
	return fmt.Errorf("bytes at %d are not zero after they were overwritten", s.Start)
}

// scribble writes random bytes that follow from seed.
func (d *device) scribble(ctx context.Context, s Span, seed [32]byte) error {
	noise, buf := rand.NewChaCha8(seed), make([]byte, block)
	for at := s.Start; at < s.Start+s.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := buf[:min(block, s.Start+s.Size-at)]
		_, _ = noise.Read(part) // never fails
		if _, err := d.file.WriteAt(part, at); err != nil {
			return fmt.Errorf("write random bytes at %d: %w", at, err)
		}
		at += int64(len(part))
	}
	return nil
}

// scribbled reads back what scribble wrote.
func (d *device) scribbled(ctx context.Context, s Span, seed [32]byte) error {
	noise, want, got := rand.NewChaCha8(seed), make([]byte, block), make([]byte, block)
	for at := s.Start; at < s.Start+s.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(block, s.Start+s.Size-at)
		_, _ = noise.Read(want[:n])
		if _, err := d.file.ReadAt(got[:n], at); err != nil {
			return fmt.Errorf("read back at %d: %w", at, err)
		}
		if !bytes.Equal(got[:n], want[:n]) {
			return fmt.Errorf("bytes at %d are not what they were overwritten with", at)
		}
		at += n
	}
	return nil
}

// sampled tells whether samples all over the disk read as zero. What cannot be read does not.
func (d *device) sampled(ctx context.Context) bool {
	if d.settle(Span{0, d.size}) != nil {
		return false
	}
	for _, s := range samples(d.size, sampleEvery) {
		if zero, err := d.zero(ctx, s); err != nil || !zero {
			return false
		}
	}
	return true
}

// samples are pages at both ends of a disk, and every so many bytes between.
func samples(size, every int64) (all []Span) {
	for at := int64(0); at+samplePage <= size; at += every {
		all = append(all, Span{at, samplePage})
	}
	if size > samplePage {
		all = append(all, Span{size - samplePage, samplePage})
	}
	return all
}

// wipe zeroes the ends of partitions and of the disk, and reads them back. It says which those are.
func (d *device) wipe(ctx context.Context, partitions []Span) (spans []Span, err error) {
	for _, p := range partitions {
		spans = append(spans, ends(p, d.size)...)
	}
	spans = append(spans, ends(Span{0, d.size}, d.size)...)
	for _, s := range spans {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := d.write(s); err != nil {
			return nil, err
		}
	}
	if err := d.settle(Span{0, d.size}); err != nil {
		return nil, err
	}
	for _, s := range spans {
		if zero, err := d.zero(ctx, s); err != nil {
			return nil, err
		} else if !zero {
			return nil, fmt.Errorf("bytes at %d are not zero after they were written", s.Start)
		}
	}
	return spans, nil
}
