// Package erase removes what is on disks: quickly, so that nothing finds an old partition table or file
// system (Metadata), or wholly, so that nothing can be read back (Everything).
//
// Wiping wholly means: ask the disk to discard, read everything back, and overwrite with zeros whatever
// is not zero. A disk that reads zero after a discard is trusted to have discarded; a disk's own secure
// erase (ATA, NVMe) is not used. Which disks are wiped is the caller's choice, after skip lists; a disk
// that is in use, and a cluster file system on shared storage, are refused here.
//
// The agent's clean steps call it. It works on regular files too, which is how most of it is tested.
package erase

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ingot/internal/agentapi"
)

// Disk is one disk to wipe.
type Disk struct {
	Path       string
	ReadOnly   bool
	Partitions []Span // as the kernel sees them
}

// Span is a run of bytes on a disk.
type Span struct{ Start, Size int64 }

// Options are what a step may choose.
type Options struct {
	// SkipReadOnly leaves write-protected disks alone; without it they are an error.
	SkipReadOnly bool
	// Unguarded wipes cluster file systems on shared storage too.
	Unguarded bool
	// Parallel is how many disks are wiped at once; below 1 means 1.
	Parallel int
	// Progress is called while work goes on, from several goroutines. May be nil.
	Progress func(agentapi.Progress)
}

// What became of a disk.
const (
	Wiped       = "metadata wiped"
	Discarded   = "discarded, and verified to be zero"
	Overwritten = "overwritten with zeros, and verified"
	Skipped     = "skipped: read-only"
)

// ErrProtected: the disk holds a cluster file system that other machines may be using.
var ErrProtected = errors.New("disk is protected")

const (
	// headSpan and tailSpan are what Metadata zeroes at either end of the disk and of each partition. The
	// head takes in partition tables, every file system's first superblock, and LUKS2's second header,
	// which is up to 4 MiB from the start; the tail takes in GPT's copy, RAID superblocks and ZFS labels,
	// all within the last MiB.
	headSpan = 4 << 20
	tailSpan = 1 << 20
)

// Metadata zeroes both ends of every disk and of every partition on it, partitions first, so that an
// interrupted wipe still has the table that leads to them. Every disk is tried; the errors are joined.
func Metadata(ctx context.Context, disks []Disk, o Options) (map[string]string, error) {
	var done atomic.Int64
	return each(ctx, disks, o, func(ctx context.Context, d *device, disk Disk) (string, error) {
		var spans []Span
		for _, p := range disk.Partitions {
			spans = append(spans, ends(p, d.size)...)
		}
		spans = append(spans, ends(Span{0, d.size}, d.size)...)
		for _, s := range spans {
			if err := ctx.Err(); err != nil {
				return "", err
			}
			if err := d.write(s); err != nil {
				return "", err
			}
		}
		if err := d.settle(Span{0, d.size}); err != nil {
			return "", err
		}
		for _, s := range spans {
			if zero, err := d.zero(ctx, s); err != nil {
				return "", err
			} else if !zero {
				return "", fmt.Errorf("bytes at %d are not zero after they were written", s.Start)
			}
		}
		o.report("wiping metadata", done.Add(1), int64(len(disks)), "devices")
		return Wiped, nil
	})
}

// Everything makes every byte of every disk read as zero, and checks it. Every disk is tried; the errors
// are joined.
func Everything(ctx context.Context, disks []Disk, o Options) (map[string]string, error) {
	var total, done atomic.Int64
	for _, disk := range disks {
		if size, err := sizeOf(disk.Path); err == nil { // opening it will tell the error
			total.Add(size)
		}
	}
	return each(ctx, disks, o, func(ctx context.Context, d *device, disk Disk) (string, error) {
		how := Discarded
		if err := d.discard(ctx); err != nil {
			return "", err
		}
		for at := int64(0); at < d.size; at += chunk {
			overwrote, err := d.clear(ctx, Span{at, min(chunk, d.size-at)}, func(n int64) {
				o.report("erasing disks", done.Add(n), total.Load(), "bytes")
			})
			if err != nil {
				return "", err
			}
			if overwrote {
				how = Overwritten
			}
		}
		return how, nil
	})
}

func (o Options) report(what string, done, total int64, unit string) {
	if o.Progress != nil {
		o.Progress(agentapi.Progress{What: what, Done: done, Total: total, Unit: unit})
	}
}

// ends are the first and last bytes of s, within a disk of size bytes.
func ends(s Span, size int64) []Span {
	s.Start = max(s.Start, 0)
	s.Size = min(s.Size, size-s.Start)
	if s.Size <= 0 {
		return nil
	}
	if s.Size <= headSpan+tailSpan {
		return []Span{s}
	}
	return []Span{{s.Start, headSpan}, {s.Start + s.Size - tailSpan, tailSpan}}
}

// each opens every disk for itself alone and does work on it, a few at a time.
func each(ctx context.Context, disks []Disk, o Options, work func(context.Context, *device, Disk) (string, error)) (map[string]string, error) {
	how, errs := make([]string, len(disks)), make([]error, len(disks))
	var g errgroup.Group
	g.SetLimit(max(o.Parallel, 1))
	for i, disk := range disks {
		g.Go(func() error {
			if how[i], errs[i] = one(ctx, disk, o, work); errs[i] != nil {
				errs[i] = fmt.Errorf("%s: %w", disk.Path, errs[i])
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	result := map[string]string{}
	for i, disk := range disks {
		if errs[i] == nil {
			result[disk.Path] = how[i]
		}
	}
	return result, errors.Join(errs...)
}

func one(ctx context.Context, disk Disk, o Options, work func(context.Context, *device, Disk) (string, error)) (how string, err error) {
	if disk.ReadOnly {
		if o.SkipReadOnly {
			return Skipped, nil
		}
		return "", errors.New("the disk is write-protected")
	}
	d, err := open(disk.Path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if !o.Unguarded {
		if err := guard(d.file, disk.Partitions); err != nil {
			return "", err
		}
	}
	if how, err = work(ctx, d, disk); err != nil {
		return "", err
	}
	return how, d.forgetPartitions()
}
