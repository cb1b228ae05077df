package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

const (
	mib = 1 << 20
	// minDevice is the least size of a disk: two held-back MiB and room for something between them.
	minDevice = 4 * mib
	// sampleEvery is how far apart a zeroed run is read back.
	sampleEvery = 16 * mib
	samplePage  = 4096
	// maxRuns bounds the memory of which runs were zeroed by the device's means.
	maxRuns = 1 << 16
)

// device is an open disk, or a file that stands for one.
type device struct {
	f      *os.File
	path   string
	what   string // in messages: "disk" or "partition"
	base   int64  // where it begins in f; 0 but for a window
	size   int64
	sector int64 // logical sector size; 0 for a file: any
	block  bool
	punch  bool // zeroing by the device's own means was tested and is to be trusted
	runs   []run
}

// run is a range of bytes.
type run struct{ off, n int64 }

var zeros = make([]byte, mib)

// openDevice opens a block device exclusively, so that nothing mounted is overwritten, or a regular file.
func openDevice(path string) (*device, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, plainPath(err)
	}
	flags := os.O_RDWR
	block := info.Mode()&fs.ModeDevice != 0 && info.Mode()&fs.ModeCharDevice == 0
	switch {
	case block:
		flags |= unix.O_EXCL
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is neither a block device nor a file", path)
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return nil, plainPath(err)
	}
	d := &device{f: f, path: path, what: "disk", size: info.Size(), block: block}
	if block {
		err = d.askSize()
	}
	if err == nil && d.size < minDevice {
		err = fmt.Errorf("it has only %d bytes", d.size)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

// plainPath says "it is in use" for what exclusive opening gives.
func plainPath(err error) error {
	if errors.Is(err, unix.EBUSY) {
		return errors.New("it is in use (mounted, or part of RAID or LVM)")
	}
	return err
}

func (d *device) askSize() error {
	end, err := d.f.Seek(0, io.SeekEnd) // BLKGETSIZE64, without an ioctl that differs by architecture
	if err != nil {
		return err
	}
	sector, err := unix.IoctlGetInt(int(d.f.Fd()), unix.BLKSSZGET)
	d.size, d.sector = end, int64(sector)
	return err
}

// window is a part of the disk, to be used as if it were one.
func (d *device) window(off, n int64) *device {
	w := *d
	w.what, w.base, w.size, w.runs = "partition", d.base+off, n, nil
	return &w
}

func (d *device) ReadAt(p []byte, off int64) (int, error)  { return d.f.ReadAt(p, d.base+off) }
func (d *device) WriteAt(p []byte, off int64) (int, error) { return d.f.WriteAt(p, d.base+off) }

// flush makes everything written durable.
func (d *device) flush() error { return d.f.Sync() }

// clearEnds zeroes the first and the last MiB durably, and finds out on the first whether the device can
// zero ranges by itself.
func (d *device) clearEnds() error {
	if err := d.testPunch(); err != nil {
		return err
	}
	if err := d.writeZeros(context.Background(), 0, mib); err != nil {
		return err
	}
	if err := d.writeZeros(context.Background(), d.size-mib, mib); err != nil {
		return err
	}
	return d.flush()
}

// eraseEnds zeroes the first and the last MiB durably, whatever was cancelled.
func (d *device) eraseEnds() error {
	return errors.Join(d.writeZeros(context.Background(), 0, mib), d.writeZeros(context.Background(), d.size-mib, mib), d.flush())
}

// testPunch writes a pattern, has the device zero it, and looks: some claim to zero and do nothing.
func (d *device) testPunch() error {
	if _, err := d.WriteAt(bytes.Repeat([]byte{0xa5}, mib), 0); err != nil {
		return err
	}
	if err := d.flush(); err != nil {
		return err
	}
	if d.fallocate(0, mib) != nil {
		return nil // not supported: zeros are written
	}
	back := make([]byte, mib)
	if _, err := d.ReadAt(back, 0); err != nil {
		return err
	}
	d.punch = bytes.Equal(back, zeros)
	return nil
}

// fallocate asks for zeros by PUNCH_HOLE. On a block device the kernel then offers only what the device
// itself guarantees to read as zeros (block/fops.c, BLKDEV_ZERO_NOFALLBACK), and drops its cached pages.
func (d *device) fallocate(off, n int64) error {
	return unix.Fallocate(int(d.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, d.base+off, n)
}

// zero makes a range read as zeros, by the device's means where it is worth it and trusted.
func (d *device) zero(ctx context.Context, off, n int64) error {
	from, to := alignUp(off, samplePage), alignDown(off+n, samplePage)
	if !d.punch || to-from < granule || len(d.runs) >= maxRuns {
		return d.writeZeros(ctx, off, n)
	}
	if err := d.writeZeros(ctx, off, from-off); err != nil {
		return err
	}
	if err := d.writeZeros(ctx, to, off+n-to); err != nil {
		return err
	}
	if err := d.fallocate(from, to-from); err != nil {
		d.punch = false
		return d.writeZeros(ctx, from, to-from)
	}
	d.runs = append(d.runs, run{from, to - from})
	if to-from >= mib && !d.sampled(from, to) {
		return d.distrust(ctx)
	}
	return nil
}

// sampled reads a zeroed run at both ends and in between.
func (d *device) sampled(from, to int64) bool {
	page := make([]byte, samplePage)
	for off := from; ; off = min(off+sampleEvery, to-samplePage) {
		if _, err := d.ReadAt(page, off); err != nil || !isZero(page) {
			return false
		}
		if off == to-samplePage {
			return true
		}
	}
}

// distrust writes zeros over every run the device pretended to have zeroed.
func (d *device) distrust(ctx context.Context) error {
	d.punch = false
	for _, r := range d.runs {
		if err := d.writeZeros(ctx, r.off, r.n); err != nil {
			return err
		}
	}
	d.runs = nil
	return nil
}

func (d *device) writeZeros(ctx context.Context, off, n int64) error {
	for n > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		step := min(n, mib)
		if _, err := d.WriteAt(zeros[:step], off); err != nil {
			return err
		}
		off, n = off+step, n-step
	}
	return nil
}

// startWriteback begins to write a range to the disk without waiting; finishWriteback waits for it and
// drops it from the page cache, which in a ramdisk is memory somebody needs. Both matter only for speed.
func (d *device) startWriteback(off, n int64) error {
	return tolerate(unix.SyncFileRange(int(d.f.Fd()), d.base+off, n, unix.SYNC_FILE_RANGE_WRITE))
}

func (d *device) finishWriteback(off, n int64) error {
	const wait = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	if err := tolerate(unix.SyncFileRange(int(d.f.Fd()), d.base+off, n, wait)); err != nil {
		return err
	}
	return d.dropCache(off, n)
}

// dropCache makes the next read of a range come from the disk, as far as the kernel obliges.
func (d *device) dropCache(off, n int64) error {
	return tolerate(unix.Fadvise(int(d.f.Fd()), d.base+off, n, unix.FADV_DONTNEED))
}

// tolerate passes over "not supported" of calls that are advice; a real write error stays one, because
// sync_file_range reports it once and fsync would not again.
func tolerate(err error) error {
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ESPIPE) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	return err
}

// reread has the kernel read the partition table again. Nothing here depends on it: the machine reboots.
func (d *device) reread() error {
	if !d.block {
		return nil
	}
	return unix.IoctlSetInt(int(d.f.Fd()), unix.BLKRRPART, 0)
}

func (d *device) close() { d.f.Close() }

func alignUp(n, to int64) int64   { return (n + to - 1) / to * to }
func alignDown(n, to int64) int64 { return n / to * to }

// isZero tells whether b, of at most 1 MiB, is all zeros.
func isZero(b []byte) bool { return bytes.Equal(b, zeros[:len(b)]) }
