package depot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"ingot/internal/agentapi"
	"ingot/internal/fault"
)

// BootISO is a boot ISO template, open for reading. It may be used by many goroutines at once, and stays
// usable when the file is replaced by a newer build, until Close.
type BootISO struct {
	manifest *Manifest
	file     *os.File
	id       string
	size     int64
	hashes   hashes
}

// OpenBootISO opens the template of a ramdisk folder and verifies it against its manifest: the ISO's
// SHA-256, and that each placeholder is where the manifest says. Errors: fault.Unavailable if nothing is
// built, fault.Conflict if what is there does not fit or was damaged.
func OpenBootISO(dir string) (*BootISO, error) {
	m, err := ReadManifest(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dir, ISOName))
	if err != nil {
		return nil, stale(err, "its boot ISO cannot be read")
	}
	t := &BootISO{manifest: m, file: f}
	if err := t.verify(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return t, nil
}

func (t *BootISO) verify() error {
	want, _ := t.manifest.File(ISOName)
	h := sha256.New()
	n, err := io.Copy(h, t.file)
	if err != nil {
		return stale(err, "its boot ISO cannot be read")
	}
	t.id, t.size = hex.EncodeToString(h.Sum(nil)), n
	if t.id != want.SHA256 || n != want.Size {
		return stale(nil, "its boot ISO is not the one the manifest describes")
	}
	for _, r := range t.manifest.Regions {
		blank := make([]byte, r.Size)
		if _, err := t.file.ReadAt(blank, r.Offset); err != nil {
			return stale(err, "its boot ISO cannot be read")
		}
		if string(blank) != string(Placeholder(r)) {
			return stale(nil, "its placeholder "+r.Path+" is not where the manifest says")
		}
	}
	return nil
}

// Placeholder is what the template holds in a region: a line that names the file, padded with newlines.
// GRUB takes it for a comment.
func Placeholder(r Region) []byte {
	b := make([]byte, r.Size)
	n := copy(b, fmt.Sprintf("# ingot placeholder for %s, replaced when served", r.Path))
	for i := n; i < len(b); i++ {
		b[i] = '\n'
	}
	return b
}

// Manifest says what the template was made from. The caller must not change it.
func (t *BootISO) Manifest() *Manifest { return t.manifest }

// ID is the SHA-256 of the template, in hex.
func (t *BootISO) ID() string { return t.id }

// Size is the ISO's, in bytes; every overlay has the same.
func (t *BootISO) Size() int64 { return t.size }

// Close ends the use of the template and of every overlay made from it.
func (t *BootISO) Close() error { return t.file.Close() }

// Overlay is the ISO of one boot: the template with boot's values and kernelParams in its placeholders,
// put together while it is read; what it keeps in memory is as large as boot. The reader is for one
// goroutine. Errors: fault.Invalid if the parameters are not acceptable (see CheckKernelParams),
// fault.TooLarge if something does not fit its placeholder.
func (t *BootISO) Overlay(boot agentapi.BootConfig, kernelParams string) (io.ReadSeeker, int64, error) {
	content, err := render(boot, kernelParams)
	if err != nil {
		return nil, 0, err
	}
	return t.overlay(content)
}

// overlay is the template with content, by path, in its placeholders. A template that somebody wrote to since it was
// opened is fault.Conflict.
func (t *BootISO) overlay(content map[string][]byte) (io.ReadSeeker, int64, error) {
	if sum, err := t.hashes.of(t.file); err != nil || sum != t.id {
		return nil, 0, stale(err, "its boot ISO was written to after it was verified")
	}
	patches := make([]patch, 0, len(t.manifest.Regions))
	for _, r := range t.manifest.Regions {
		data := content[r.Path]
		if int64(len(data)) > r.Size {
			return nil, 0, fault.New(fault.TooLarge, "What the machine needs to boot does not fit: %s would be %d bytes, at most %d are possible.",
				r.Path, len(data), r.Size)
		}
		patches = append(patches, patch{off: r.Offset, size: r.Size, data: data})
	}
	o := &overlay{base: t.file, size: t.size, patches: patches}
	return io.NewSectionReader(o, 0, t.size), t.size, nil
}

// patch replaces size bytes at off by data and newlines.
type patch struct {
	off, size int64
	data      []byte
}

// overlay is an io.ReaderAt over a base with patches; the patches do not overlap.
type overlay struct {
	base    io.ReaderAt
	size    int64
	patches []patch
}

func (o *overlay) ReadAt(p []byte, off int64) (int, error) {
	n, err := o.base.ReadAt(p, off)
	for _, c := range o.patches {
		from, to := max(off, c.off), min(off+int64(n), c.off+c.size)
		for i := from; i < to; {
			dst := p[i-off : to-off]
			if i-c.off < int64(len(c.data)) {
				i += int64(copy(dst, c.data[i-c.off:]))
				continue
			}
			for j := range dst {
				dst[j] = '\n'
			}
			break
		}
	}
	return n, err
}
