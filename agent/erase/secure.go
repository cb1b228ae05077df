package erase

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// wires make the ways to send commands to an open disk.
type wires interface {
	nvme(*os.File) nvmeWire
	ata(*os.File) ataWire
}

// kernel sends commands by ioctl.
type kernel struct{}

func (kernel) nvme(f *os.File) nvmeWire { return nvmeFile{f} }
func (kernel) ata(f *os.File) ataWire   { return ataFile{f} }

// errSwitchedOff: the operator does not want the disk's own erase.
var errSwitchedOff = fmt.Errorf("%w: switched off", errUnsupported)

// turns let the namespaces of one controller erase themselves one after another.
type turns map[string]*sync.Mutex

func newTurns(disks []Disk) turns {
	t := turns{}
	for _, d := range disks {
		t[d.Controller] = &sync.Mutex{}
	}
	return t
}

// secure lets a disk erase itself, sees that it did, and words how. Errors: errUnsupported if the disk cannot
// or the operator does not want it.
func (o Options) secure(ctx context.Context, d *device, disk Disk, turn turns) (f finding, err error) {
	w := o.wires
	if w == nil {
		if !d.block {
			return f, errUnsupported // a file
		}
		w = kernel{}
	}
	var run func(*os.File) (string, error)
	switch {
	case disk.Kind == NVMe && o.NVMe:
		run = func(f *os.File) (string, error) {
			turn[disk.Controller].Lock()
			defer turn[disk.Controller].Unlock()
			if err := ctx.Err(); err != nil { // what has not begun is not to begin
				return "", err
			}
			return eraseNVMe(ctx, w.nvme(f), disk.Shared)
		}
	case disk.Kind == ATA && o.ATA:
		run = func(f *os.File) (string, error) { return eraseATA(w.ata(f)) }
	default:
		return f, errSwitchedOff
	}
	before, err := d.remember()
	if err != nil {
		return f, err
	}
	how, err := waited(ctx, d.file, run)
	if err != nil {
		return f, err
	}
	if err := d.settle(Span{0, d.size}); err != nil {
		return f, err
	}
	if at, same, err := d.unchanged(before); err != nil {
		return f, err
	} else if same {
		return f, fmt.Errorf("the disk said that it erased itself (%s), and the data at %d is still there", how, at)
	}
	f = finding{how: how} // nothing could be read before: it is not proved
	if len(before) > 0 {
		f = finding{how: how + ", samples verified", method: ByNVMe, passes: 1, noise: true,
			seen: fmt.Sprintf("none of %d samples that held data before holds it now", len(before))}
		if disk.Kind == ATA {
			f.method = ByATA
		}
	}
	// What a disk reads after a change of its key is noise; what begins with noise must not be taken for a table.
	_, err = d.wipe(ctx, nil)
	return f, err
}

// waited gives up waiting when ctx ends: a disk that erases itself cannot be stopped. It goes on then with a handle
// of its own: nobody else gets the disk meanwhile, and the password that ATA needs is taken away after it.
func waited(ctx context.Context, f *os.File, run func(*os.File) (string, error)) (string, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("take a second handle: %w", err)
	}
	own := os.NewFile(uintptr(fd), f.Name())
	type end struct {
		how string
		err error
	}
	ended := make(chan end, 1)
	go func() {
		how, err := run(own)
		ended <- end{how, errors.Join(err, own.Close())}
	}()
	select {
	case e := <-ended:
		return e.how, e.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// remembered is a page as it was before a disk erased itself.
type remembered struct {
	at   int64
	page []byte
}

// remember reads some pages that hold data; what cannot be read is left out. A disk that holds none in those places
// gets some at its start, where every wipe begins: what was never there proves nothing by its absence.
func (d *device) remember() (all []remembered, err error) {
	readable := false
	for i, s := range samples(d.size, max(d.size/64, samplePage)) {
		page := make([]byte, samplePage)
		_, err := d.file.ReadAt(page, s.Start)
		readable = readable || i == 0 && err == nil
		if err != nil || bytes.Count(page, page[:1]) == len(page) {
			continue
		}
		all = append(all, remembered{s.Start, page})
	}
	if len(all) > 0 || !readable {
		return all, nil
	}
	page := make([]byte, samplePage)
	if _, err := crand.Read(page); err != nil {
		return nil, err
	}
	if _, err := d.file.WriteAt(page, 0); err != nil {
		return nil, fmt.Errorf("write a sample: %w", err)
	}
	return []remembered{{0, page}}, d.settle(Span{0, d.size})
}

// unchanged tells whether one of the pages is as it was, and which.
func (d *device) unchanged(before []remembered) (at int64, same bool, err error) {
	page := make([]byte, samplePage)
	for _, r := range before {
		if _, err := d.file.ReadAt(page, r.at); err != nil {
			return 0, false, fmt.Errorf("read back at %d: %w", r.at, err)
		}
		if bytes.Equal(page, r.page) {
			return r.at, true, nil
		}
	}
	return 0, false, nil
}

// unsupported says that a disk cannot do it, and why.
func unsupported(why string) error { return fmt.Errorf("%w: %s", errUnsupported, why) }
