package erase

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"ingot/internal/agentapi"
)

// Disk is one disk to wipe.
type Disk struct {
	Path       string
	ReadOnly   bool
	Partitions []Span // as the kernel sees them
	Kind       Kind
	// Controller names what an NVMe namespace hangs on: namespaces of one erase themselves one after another.
	Controller string
	// Shared: the controller has more namespaces, which are not to be erased.
	Shared bool
}

// Kind is the commands that a disk understands beside reading and writing.
type Kind int

const (
	Plain Kind = iota
	NVMe
	ATA
)

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
	// Iterations is how often what has to be overwritten is overwritten with random bytes. From 2 on a disk is
	// overwritten even if it reads zero after a discard: somebody wants it.
	Iterations int
	// Zeroize writes zeros after the random bytes. Without either zeros are written.
	Zeroize bool
	// ATA and NVMe let disks erase themselves.
	ATA, NVMe bool
	// Continue overwrites a disk whose own erase failed; without it that is an error. A disk that has none is
	// overwritten in any case.
	Continue bool
	// Sample reads samples back after a discard, not everything.
	Sample bool
	// Progress is called while work goes on, from several goroutines. May be nil.
	Progress func(agentapi.Progress)

	wires wires // nil: the kernel's
}

// What became of a disk. What a disk did by itself, and how it was overwritten, is worded where it is done.
const (
	Wiped     = "metadata wiped"
	Discarded = "discarded, and verified to be zero"
	Sampled   = "discarded, and samples verified to be zero"
	Skipped   = "skipped: read-only"
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
func Metadata(ctx context.Context, disks []Disk, o Options) (map[string]Result, error) {
	t := o.tally("wiping metadata", "devices", disks)
	return each(ctx, disks, o, func(ctx context.Context, d *device, disk Disk) (finding, error) {
		f, err := d.metadata(ctx, disk)
		if err == nil {
			t.add(disk.Path, 1)
		}
		return f, err
	})
}

// Express lets NVMe drives erase themselves, and wipes the metadata of every other disk. Every disk is tried;
// the errors are joined. Source: agent protocol reference §12.5.
func Express(ctx context.Context, disks []Disk, o Options) (map[string]Result, error) {
	t, one := o.tally("erasing disks", "devices", disks), newTurns(disks)
	o.ATA = false
	return each(ctx, disks, o, func(ctx context.Context, d *device, disk Disk) (finding, error) {
		f, err := o.secure(ctx, d, disk, one)
		if err != nil {
			if ctx.Err() != nil {
				return finding{}, ctx.Err()
			}
			reason := why(disk, err)
			if f, err = d.metadata(ctx, disk); err != nil {
				return finding{}, err
			}
			f.how += reason
		}
		t.add(disk.Path, 1)
		return f, nil
	})
}

// Everything makes every disk such that nothing can be read back, and checks it: by the disk's own means, or
// by discarding, or by overwriting. Every disk is tried; the errors are joined.
func Everything(ctx context.Context, disks []Disk, o Options) (map[string]Result, error) {
	t, one := o.tally("erasing disks", "bytes", disks), newTurns(disks)
	return each(ctx, disks, o, func(ctx context.Context, d *device, disk Disk) (finding, error) {
		f, err := o.secure(ctx, d, disk, one)
		switch {
		case err == nil:
			t.add(disk.Path, d.size)
			return f, nil
		case ctx.Err() != nil:
			return finding{}, ctx.Err()
		case !errors.Is(err, errUnsupported) && !o.Continue:
			return finding{}, err
		}
		f, overwritten := o.clear(ctx, d, func(n int64) { t.add(disk.Path, n) })
		if overwritten != nil {
			return finding{}, overwritten
		}
		f.how += why(disk, err)
		return f, nil
	})
}

// metadata wipes the ends of a disk and of its partitions.
func (d *device) metadata(ctx context.Context, disk Disk) (finding, error) {
	spans, err := d.wipe(ctx, disk.Partitions)
	return finding{how: Wiped, method: ByMetadata, passes: 1, whole: true, spans: spans,
		seen: "the ends of the disk and of its partitions are zero; what lies between them was not erased"}, err
}

// why tells why a disk that has means of its own did not use them.
func why(disk Disk, err error) string {
	if disk.Kind == Plain || errors.Is(err, errSwitchedOff) {
		return ""
	}
	return fmt.Sprintf(" (its own secure erase: %v)", err)
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
func each(ctx context.Context, disks []Disk, o Options, work func(context.Context, *device, Disk) (finding, error)) (map[string]Result, error) {
	how, errs := make([]Result, len(disks)), make([]error, len(disks))
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
	result := map[string]Result{}
	for i, disk := range disks {
		if errs[i] == nil {
			result[disk.Path] = how[i]
		}
	}
	return result, errors.Join(errs...)
}

func one(ctx context.Context, disk Disk, o Options, work func(context.Context, *device, Disk) (finding, error)) (r Result, err error) {
	if disk.ReadOnly {
		if o.SkipReadOnly {
			return Result{How: Skipped}, nil
		}
		return Result{}, errors.New("the disk is write-protected")
	}
	d, err := open(disk.Path)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if !o.Unguarded {
		if err := guard(d.file, disk.Partitions); err != nil {
			return Result{}, err
		}
	}
	began := time.Now()
	f, err := work(ctx, d, disk)
	if err != nil {
		return Result{}, err
	}
	if r, err = d.proved(f, began); err != nil {
		return Result{}, err
	}
	return r, d.forgetPartitions()
}
