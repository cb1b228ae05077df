package erase

import (
	"bytes"
	"fmt"
	"time"

	"ingot/internal/agentapi"
)

// What a disk was erased by, as certificates name it.
const (
	ByMetadata  = "metadata only"
	ByNVMe      = "NVMe erase"
	ByATA       = "ATA security erase"
	ByDiscard   = "discard"
	ByOverwrite = "overwrite"
	// ByBoth: what did not read as zero after the discard was overwritten.
	ByBoth = "discard, and overwrite of what was not zero"
)

// Result is what became of a disk.
type Result struct {
	How   string
	Proof *agentapi.Proof // nil: it was left alone, or nothing shows that it was erased
}

// finding is what was done to a disk, before it is looked at once more.
type finding struct {
	how    string
	method string // "": nothing shows that it was done
	passes int
	whole  bool   // every byte that was to be erased was read back
	noise  bool   // what was erased need not read as zero
	spans  []Span // what was erased; nil: all of it
	seen   string // what reading back found
}

// maxSamples is how many samples a certificate names.
const maxSamples = 64

// proved reads samples of what was erased, as whoever has the disk next would, and makes the proof of it. A
// sample that is not zero where everything should be is an error.
func (d *device) proved(f finding, began time.Time) (Result, error) {
	if f.method == "" || d.size == 0 {
		return Result{How: f.how}, nil
	}
	if err := d.settle(Span{0, d.size}); err != nil {
		return Result{}, err
	}
	spans := f.spans
	if spans == nil {
		spans = []Span{{0, d.size}}
	}
	back := agentapi.ReadBack{Whole: f.whole, Length: samplePage, Result: f.seen}
	page := make([]byte, samplePage)
	for _, p := range places(spans) {
		at := p.Start
		n, err := d.file.ReadAt(page[:min(p.Size, d.size-at)], at)
		if n == 0 && err != nil {
			return Result{}, fmt.Errorf("read back at %d: %w", at, err)
		}
		zero := bytes.Equal(page[:n], zeros[:n])
		if !zero && !f.noise {
			return Result{}, fmt.Errorf("bytes at %d are not zero after they were erased", at)
		}
		back.Samples++
		back.Offsets = append(back.Offsets, at)
		if zero {
			back.Zero++
		}
	}
	if back.Result == "" {
		back.Result = "all zero"
	}
	return Result{How: f.how, Proof: &agentapi.Proof{Method: f.method, Partial: f.method == ByMetadata, Passes: f.passes, Began: began.UTC(),
		Ended: time.Now().UTC(), ReadBack: back}}, nil
}

// places are the samples that are read: both ends of every span, and even steps between, as many as a certificate names. None
// reaches beyond its span.
func places(spans []Span) (all []Span) {
	spans = spans[:min(len(spans), maxSamples/2)]
	if len(spans) == 0 {
		return nil
	}
	each := int64(maxSamples / len(spans))
	for _, s := range spans {
		size := min(s.Size, samplePage)
		last := s.Start + s.Size - size
		before := int64(-1)
		for i := range each {
			at := s.Start + (last-s.Start)/(each-1)*i
			if i == each-1 {
				at = last
			}
			if size > 0 && at > before {
				all, before = append(all, Span{at, size}), at
			}
		}
	}
	return all
}
