package erase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// chunk is how much is cleared and verified at a time; between chunks work can be stopped.
	chunk = 64 << 20
	// block is the size of one read or write.
	block = 1 << 20
	// directBlock is the size of a read that goes past the kernel's cache, directAlign what it must be aligned
	// to: no disk has larger sectors.
	directBlock = 4 << 20
	directAlign = 4096
)

// zeros is what is written and compared with; nobody writes to it.
var zeros = make([]byte, block)

// device is an open disk, or a regular file in its place.
type device struct {
	file  *os.File
	size  int64
	block bool
	buf   []byte
	// direct reads past the kernel's cache, into aligned: it is quicker, and what was read surely was on the
	// disk. Nil where that is not to be had.
	direct  *os.File
	aligned []byte
}

// open takes the disk for us alone: the kernel refuses that (EBUSY) while it is mounted or part of an
// array.
func open(path string) (*device, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	flags := os.O_RDWR
	isBlock := info.Mode()&os.ModeDevice != 0 && info.Mode()&os.ModeCharDevice == 0
	switch {
	case isBlock:
		flags |= unix.O_EXCL
	case !info.Mode().IsRegular():
		return nil, errors.New("it is neither a disk nor a file")
	}
	f, err := os.OpenFile(path, flags, 0)
	if errors.Is(err, unix.EBUSY) {
		return nil, errors.New("the disk is in use")
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	d := &device{file: f, size: size, block: isBlock, buf: make([]byte, block)}
	if isBlock {
		d.openDirect(path)
	}
	return d, nil
}

// openDirect adds the way past the cache, if kernel and disk have it.
func (d *device) openDirect(path string) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECT, 0)
	if err != nil {
		return
	}
	// Memory of its own pages is aligned.
	buf, err := unix.Mmap(-1, 0, directBlock, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		f.Close()
		return
	}
	d.direct, d.aligned = f, buf
}

func sizeOf(path string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Seek(0, io.SeekEnd)
}

func (d *device) close() error {
	if d.direct == nil {
		return d.file.Close()
	}
	return errors.Join(d.file.Close(), d.direct.Close(), unix.Munmap(d.aligned))
}

// zero reads s back and tells whether it is all zero.
func (d *device) zero(ctx context.Context, s Span) (bool, error) {
	from, buf := d.file, d.buf
	if d.direct != nil && s.Start%directAlign == 0 && s.Size%directAlign == 0 {
		from, buf = d.direct, d.aligned
	}
	for at := s.Start; at < s.Start+s.Size; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		part := buf[:min(int64(len(buf)), s.Start+s.Size-at)]
		if _, err := from.ReadAt(part, at); err != nil {
			return false, fmt.Errorf("read back at %d: %w", at, err)
		}
		for rest := part; len(rest) > 0; rest = rest[min(block, len(rest)):] {
			if n := min(block, len(rest)); !bytes.Equal(rest[:n], zeros[:n]) {
				return false, nil
			}
		}
		at += int64(len(part))
	}
	if from == d.direct {
		return true, nil // nothing was cached
	}
	// What was read is of no more use, and the machine's memory is small.
	_ = unix.Fadvise(int(d.file.Fd()), s.Start, s.Size, unix.FADV_DONTNEED)
	return true, nil
}

// write puts zeros there as any program would.
func (d *device) write(s Span) error {
	for at := s.Start; at < s.Start+s.Size; {
		n, err := d.file.WriteAt(zeros[:min(block, s.Start+s.Size-at)], at)
		if err != nil {
			return fmt.Errorf("write zeros at %d: %w", at, err)
		}
		at += int64(n)
	}
	return nil
}

// settle brings what was written to the medium and forgets what was cached, so that reading asks the disk.
func (d *device) settle(s Span) error {
	if err := d.file.Sync(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	if d.block {
		if err := unix.IoctlSetInt(int(d.file.Fd()), unix.BLKFLSBUF, 0); err != nil {
			return fmt.Errorf("drop buffers: %w", err)
		}
		return nil
	}
	// A file's cache is what other readers see too: dropping it is only thrift.
	_ = unix.Fadvise(int(d.file.Fd()), s.Start, s.Size, unix.FADV_DONTNEED)
	return nil
}

// errUnsupported: the disk has no such function.
var errUnsupported = errors.New("not supported by this device")

// discard tells the disk that nothing on it is needed, and if it knows the word, that copies of it are not
// either. A disk without that function is none the worse.
func (d *device) discard(ctx context.Context) error {
	request := uintptr(unix.BLKSECDISCARD)
	for at := int64(0); at < d.size; at += chunk * 16 {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := Span{at, min(chunk*16, d.size-at)}
		err := d.ask(s, request, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE)
		if errors.Is(err, errUnsupported) && request == unix.BLKSECDISCARD {
			request = unix.BLKDISCARD
			err = d.ask(s, request, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE)
		}
		if errors.Is(err, errUnsupported) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("discard at %d: %w", at, err)
		}
	}
	return nil
}

// zeroOut lets the disk or the kernel write the zeros.
func (d *device) zeroOut(s Span) error {
	return d.ask(s, unix.BLKZEROOUT, unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE)
}

// ask makes a request about a range: request of a disk, mode of a file.
func (d *device) ask(s Span, request uintptr, mode uint32) error {
	var err error
	if d.block {
		bounds := [2]uint64{uint64(s.Start), uint64(s.Size)}
		// There is no wrapper for this shape of ioctl: its argument is start and length in bytes.
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, d.file.Fd(), request, uintptr(unsafe.Pointer(&bounds)))
		if errno != 0 {
			err = errno
		}
	} else {
		err = unix.Fallocate(int(d.file.Fd()), mode, s.Start, s.Size)
	}
	// EINVAL: a disk of odd size. EIO and EREMOTEIO are how some disks answer what they announce and do not
	// have; a disk that is really broken is found by what follows.
	for _, no := range []error{unix.EOPNOTSUPP, unix.ENOTTY, unix.ENOSYS, unix.EINVAL, unix.EIO, unix.EREMOTEIO} {
		if errors.Is(err, no) {
			return fmt.Errorf("%w: %w", errUnsupported, err)
		}
	}
	return err
}

// forgetPartitions makes the kernel read the table that is no longer there.
func (d *device) forgetPartitions() error {
	if !d.block {
		return nil
	}
	err := unix.IoctlSetInt(int(d.file.Fd()), unix.BLKRRPART, 0)
	if errors.Is(err, unix.EINVAL) { // a disk that can have no partitions
		return nil
	}
	if err != nil {
		return fmt.Errorf("make the kernel forget the partitions: %w", err)
	}
	return nil
}
