package depot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

// identity is what a file is known again by: while it is the same, nobody has written to it. The time of change cannot be
// set by who writes.
type identity struct {
	device, inode uint64
	size          int64
	changed       time.Duration // since 1970
}

func identityOf(info os.FileInfo) identity {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{device: uint64(s.Dev), inode: s.Ino, size: s.Size, changed: time.Duration(s.Ctim.Nano())}
}

// hashes remembers what the bytes of files come to. Each file is read once, whoever waits for it, and nobody waits for another's. The
// zero value remembers nothing yet.
type hashes struct {
	readings singleflight.Group

	mu    sync.Mutex
	known map[identity]string // guarded by mu
}

// freshly is for how long after its last change a file is not remembered: two changes within a tick of the kernel's clock
// look like one.
const freshly = time.Second

// maxHashes is how many files are remembered; more, and it begins anew.
const maxHashes = 256

func (h *hashes) of(f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	id := identityOf(info)
	if id == (identity{}) {
		return h.read(f, id, info.Size())
	}
	h.mu.Lock()
	sum, ok := h.known[id]
	h.mu.Unlock()
	if ok {
		return sum, nil
	}
	v, err, _ := h.readings.Do(fmt.Sprint(id), func() (any, error) {
		h.mu.Lock()
		sum, ok := h.known[id] // somebody may have ended since
		h.mu.Unlock()
		if ok {
			return sum, nil
		}
		return h.read(f, id, info.Size())
	})
	sum, _ = v.(string)
	return sum, err
}

// read reads a file whole, and remembers it if it is known by an identity.
func (h *hashes) read(f *os.File, id identity, size int64) (string, error) {
	began, s := time.Now(), sha256.New()
	if _, err := io.Copy(s, io.NewSectionReader(f, 0, size)); err != nil {
		return "", err
	}
	after, err := f.Stat()
	if err != nil || identityOf(after) != id {
		return "", fault.Wrap(fault.Conflict, err, "%s was written to while it was read.", f.Name())
	}
	sum := hex.EncodeToString(s.Sum(nil))
	if id == (identity{}) || began.Sub(time.Unix(0, int64(id.changed))) < freshly {
		return sum, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil || len(h.known) >= maxHashes {
		h.known = map[identity]string{}
	}
	h.known[id] = sum
	return sum, nil
}

// open opens a file whose bytes are those it is known by. Another's are fault.Conflict.
func (h *hashes) open(path string, want metal.BootFile) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		if gone(err) {
			return nil, fault.Wrap(fault.NotFound, err, "The file %s of the ramdisk is not there: run \"ingot ramdisk build\" again.", want.Name)
		}
		return nil, err
	}
	sum, err := h.of(f)
	info, statErr := f.Stat()
	if err == nil && statErr == nil && info.Mode().IsRegular() && sum == want.SHA256 && info.Size() == want.Size {
		return f, nil
	}
	f.Close() // read-only: nothing is lost
	return nil, fault.Wrap(fault.Conflict, err, "The file %s is not the one that this boot was prepared with: its SHA-256 is another. "+
		"If the ramdisk was built anew, start the operation again; if not, somebody has changed the file.", want.Name)
}
