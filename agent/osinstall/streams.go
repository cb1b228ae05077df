package osinstall

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
	"ingot/internal/osdef"
	"ingot/internal/source"
)

// script runs a script with these streams; nil ones are as for every script. Its end is the end of all that it started.
type script func(ctx context.Context, stdin io.Reader, stdout io.Writer, files ...*os.File) error

// sizeFD is the descriptor at which a script that exports may say how long its dump will be. It is the first beside the three that every
// program has.
const sizeFD = 3

// beginExport sees that the folder can be written to, and marks it as one of an export that did not end. Where one did, it is let
// alone unless it may be replaced.
func (f *folder) beginExport(ctx context.Context, replace bool) error {
	there, err := f.manifest(ctx)
	var m agentapi.OSManifest
	switch {
	case errors.Is(err, errGone):
	case err != nil:
		return err
	case !replace && (json.Unmarshal(there, &m) != nil || m.Version != 0):
		return fault.New(fault.Conflict, "There is an export at %s already: name another folder, or have it replaced.", source.Safe(f.at("")))
	}
	return f.putManifest(ctx, []byte(`{"version": 0}`+"\n"))
}

// endExport writes the manifest, which makes the folder an export.
func (f *folder) endExport(ctx context.Context, m *agentapi.OSManifest) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return f.putManifest(ctx, append(b, '\n'))
}

// exportDisk has a script say a disk's dump, and sends it away as it comes. What the script or the server does not bring to its end is
// an error, and the file at the server is then none of an export.
func (f *folder) exportDisk(ctx context.Context, n int, disk osdef.Disk, limit int64, run script, say func(done, total int64)) (agentapi.OSDump, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out, in := io.Pipe()
	told, tell, err := os.Pipe()
	if err != nil {
		return agentapi.OSDump{}, err
	}
	var total atomic.Int64
	sized := make(chan struct{})
	go func() {
		defer close(sized)
		defer told.Close()
		total.Store(toldSize(told))
	}()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := run(ctx, nil, in, tell)
		if err != nil {
			cancel(err)
		}
		_ = tell.Close()
		_ = in.CloseWithError(err) // nil: io.EOF
	}()
	dump := newDump(out, func(done int64) { say(done, total.Load()) })
	if limit > 0 {
		dump.limit, dump.over = limit, func() {
			cancel(fault.New(fault.TooLarge, "The dump of disk %d has more than %d bytes ([os_install] max_export_bytes).", n, limit))
		}
	}
	sent := f.stream(ctx, dumpName(n), dump)
	size, whole := dump.size()
	if sent == nil && !whole {
		sent = fault.New(fault.Unavailable, "PUT %s: the server answered before it had taken all of it.", source.Safe(f.at(dumpName(n))))
	}
	if sent != nil {
		cancel(sent)
		_ = out.CloseWithError(sent)
	}
	<-ended
	<-sized
	switch first := context.Cause(ctx); { // of what went wrong, what did before the rest
	case first != nil:
		return agentapi.OSDump{}, first
	case n == 0 && size == 0:
		return agentapi.OSDump{}, fault.New(fault.Invalid, "The script export said nothing of disk 0, so there is no dump of it.")
	}
	if has, err := f.size(ctx, dumpName(n)); err == nil && has >= 0 && has != size || errors.Is(err, errGone) {
		return agentapi.OSDump{}, fault.New(fault.Unavailable, "The server does not have the %d bytes of %s that it took.", size, dumpName(n))
	}
	return agentapi.OSDump{Name: dumpName(n), Bytes: size, SHA256: dump.digest(), DiskSize: disk.Bytes}, nil
}

// toldSize reads the size that a script says its dump will have; 0: it says none. It is for people: a script may guess.
func toldSize(r io.Reader) int64 {
	line, _ := bufio.NewReader(io.LimitReader(r, 64)).ReadString('\n')
	size, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	_, _ = io.Copy(io.Discard, r) // whoever writes more is not stopped for it
	if err != nil || size < 0 {
		return 0
	}
	return size
}

// checkImport sees that an export can be put on these disks, before anything is written: as far as its server tells, its files have
// the sizes that they had, and there is a disk for each. Whether a smaller disk is large enough is known to the script alone.
func (f *folder) checkImport(ctx context.Context, m *agentapi.OSManifest, disks []osdef.Disk) error {
	if len(m.Disks) > len(disks) {
		return fault.New(fault.Invalid, "The export is of %d disks, and the machine has %d.", len(m.Disks), len(disks))
	}
	for i, d := range m.Disks {
		if disks[i].ReadOnly {
			return fault.New(fault.Invalid, "Disk %d of the machine is read-only, and the export has a dump for it.", i)
		}
		size, err := f.size(ctx, d.Name)
		switch {
		case errors.Is(err, errGone):
			return fault.New(fault.Invalid, "The export has no file %s.", d.Name)
		case err != nil:
			return err
		case size >= 0 && size != d.Bytes:
			return fault.New(fault.Invalid, "The file %s of the export has %d bytes, and its manifest says %d.", d.Name, size, d.Bytes)
		}
	}
	return nil
}

// importDisk gives a script a disk's dump as it comes. A dump that is not the one of the manifest is an error, whatever the script
// made of it.
func (f *folder) importDisk(ctx context.Context, d agentapi.OSDump, run script, say func(done, total int64)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	body := io.ReadCloser(io.NopCloser(strings.NewReader("")))
	if d.Bytes > 0 {
		opened, err := f.open(ctx, d)
		if err != nil {
			return err
		}
		body = opened
	}
	defer body.Close()
	dump := newDump(body, func(done int64) { say(done, d.Bytes) })
	out, in := io.Pipe()
	fetched := make(chan struct{})
	go func() {
		defer close(fetched)
		_, err := io.Copy(in, dump)
		if errors.Is(err, io.ErrClosedPipe) { // the script has read enough; the sum is of all of it
			_, err = io.Copy(io.Discard, dump)
		}
		if err != nil {
			cancel(err) // first: the script would take the end of its stream for that of the dump
		}
		_ = in.CloseWithError(err)
	}()
	if err := run(ctx, out, nil); err != nil {
		cancel(err)
	}
	_ = out.Close()
	<-fetched
	if first := context.Cause(ctx); first != nil {
		return first
	}
	if dump.digest() != d.SHA256 {
		return fault.New(fault.Invalid, "The file %s of the export is not the one that its manifest is of: its SHA-256 is another.", d.Name)
	}
	return nil
}

// dump measures what is read of it: bytes and SHA-256.
type dump struct {
	from  io.Reader
	limit int64 // 0: none
	over  func()
	say   func(done int64)

	mu    sync.Mutex // whoever sends it may still read while it is asked how far it came
	sum   hash.Hash
	said  time.Time
	bytes int64
	ended bool
}

func newDump(from io.Reader, say func(done int64)) *dump {
	return &dump{from: from, sum: sha256.New(), say: say}
}

// sayEvery is how often it is said how far a dump is.
const sayEvery = time.Second

var errTooLong = errors.New("the dump is longer than it may be")

// Read gives the next bytes. It fails where there are more than may be.
func (d *dump) Read(p []byte) (int, error) {
	n, err := d.from.Read(p)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bytes += int64(n)
	if d.limit > 0 && d.bytes > d.limit {
		d.over()
		return 0, errTooLong
	}
	d.sum.Write(p[:n])
	d.ended = err == io.EOF
	if now := time.Now(); d.ended || now.Sub(d.said) >= sayEvery {
		d.said = now
		d.say(d.bytes)
	}
	return n, err
}

// size is how many bytes were read, and whether that is all of it.
func (d *dump) size() (bytes int64, whole bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bytes, d.ended
}

func (d *dump) digest() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return hex.EncodeToString(d.sum.Sum(nil))
}
