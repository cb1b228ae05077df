package disk

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"ingot/internal/image"
	"ingot/internal/source"
)

// maxDriveText bounds what a config drive's URL may give: 64 MiB that do not compress, in base64.
const maxDriveText = 90 * mib

// drive is a config drive that has been read through once, so that a bad one is refused before the disk
// is touched. It stays packed in memory; open unpacks it anew each time.
type drive struct {
	open func() (io.Reader, error)
	size int64
	sum  [sha256.Size]byte
}

// loadDrive takes a config drive as write_image has it: base64 of gzip of a file system image, or an http
// or https URL of that, or of the image plain or gzipped. Empty text is no drive: nil.
func loadDrive(ctx context.Context, text string, o source.Options) (*drive, error) {
	if text == "" {
		return nil, nil
	}
	content := func() io.Reader { return strings.NewReader(text) }
	if strings.HasPrefix(text, "http://") || strings.HasPrefix(text, "https://") {
		fetched, err := fetchDrive(ctx, text, o)
		if err != nil {
			return nil, err
		}
		content = func() io.Reader { return bytes.NewReader(fetched) }
		if !isBase64(fetched) {
			return measure(func() (io.Reader, error) { return unzip(content()) })
		}
	}
	return measure(func() (io.Reader, error) {
		return unzip(base64.NewDecoder(base64.StdEncoding, unspaced{content()}))
	})
}

func fetchDrive(ctx context.Context, url string, o source.Options) ([]byte, error) {
	body, err := source.Open(ctx, []string{url}, o)
	if err != nil {
		return nil, as(downloadError, err)
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxDriveText+1))
	if err != nil {
		return nil, as(downloadError, err)
	}
	if len(b) > maxDriveText {
		return nil, errDriveSize()
	}
	return b, nil
}

func errDriveSize() error {
	return fail(deployError, "The config drive is larger than 64 MiB.")
}

// isBase64 tells text from an image by its first bytes: an ISO or FAT image or a gzip file has zeros or
// control characters among them.
func isBase64(b []byte) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/= \t\r\n"
	for _, c := range b[:min(len(b), 512)] {
		if strings.IndexByte(alphabet, c) < 0 {
			return false
		}
	}
	return true
}

// unspaced drops the white space that base64 text may have anywhere.
type unspaced struct{ r io.Reader }

func (u unspaced) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	kept := 0
	for _, c := range p[:n] {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			p[kept] = c
			kept++
		}
	}
	return kept, err
}

// unzip takes the gzip off, if there is one.
func unzip(r io.Reader) (io.Reader, error) {
	head := make([]byte, 2)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), r)
	if string(head[:n]) != "\x1f\x8b" {
		return whole, nil
	}
	return gzip.NewReader(whole)
}

// measure reads the drive through: its size, its digest, and whether it unpacks at all.
func measure(open func() (io.Reader, error)) (*drive, error) {
	r, err := open()
	if err != nil {
		return nil, fail(deployError, "The config drive cannot be unpacked: it must be base64 of a gzipped file system image.")
	}
	h := sha256.New()
	size, err := io.Copy(h, io.LimitReader(r, driveSize+1))
	switch {
	case err != nil:
		return nil, fail(deployError, "The config drive cannot be unpacked: it must be base64 of a gzipped file system image.")
	case size > driveSize:
		return nil, errDriveSize()
	case size == 0:
		return nil, fail(deployError, "The config drive is empty.")
	}
	return &drive{open: open, size: size, sum: [sha256.Size]byte(h.Sum(nil))}, nil
}

// canvas is the disk as it will be: the first MiB from memory, the rest from the device.
type canvas struct {
	head []byte
	dev  *device
}

func (c canvas) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(c.head)) {
		if n = copy(p, c.head[off:]); n == len(p) {
			return n, nil
		}
	}
	m, err := c.dev.ReadAt(p[n:], off+int64(n))
	return n + m, err
}

func (c canvas) WriteAt(p []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(c.head)) {
		if n = copy(c.head[off:], p); n == len(p) {
			return n, nil
		}
	}
	m, err := c.dev.WriteAt(p[n:], off+int64(n))
	return n + m, err
}

// write puts the drive into partition p and reads it back from the disk.
func (d *drive) write(c canvas, p image.Partition) error {
	if d.size > p.Size {
		return fail(deployError, "The config drive has %d bytes, but the image's own config-2 partition only %d.", d.size, p.Size)
	}
	r, err := d.open()
	if err != nil {
		return fail(deployError, "The config drive cannot be unpacked a second time.")
	}
	if _, err := io.CopyBuffer(onlyWriter{io.NewOffsetWriter(c, p.Start)}, r, make([]byte, mib)); err != nil {
		return as(deployError, fmt.Errorf("write the config drive: %w", err))
	}
	if err := c.dev.flush(); err != nil {
		return as(deployError, fmt.Errorf("write the config drive: %w", err))
	}
	if err := c.dev.dropCache(p.Start, d.size); err != nil {
		return as(deployError, err)
	}
	h := sha256.New()
	if _, err := io.CopyBuffer(h, onlyReader{io.NewSectionReader(c, p.Start, d.size)}, make([]byte, mib)); err != nil {
		return as(deployError, fmt.Errorf("read the config drive back: %w", err))
	}
	if [sha256.Size]byte(h.Sum(nil)) != d.sum {
		return fail(deployError, "The config drive does not read back from the disk as it was written.")
	}
	return nil
}

// onlyWriter and onlyReader keep io.CopyBuffer to the buffer it was given.
type onlyWriter struct{ io.Writer }

type onlyReader struct{ io.Reader }

// findDrive looks for the partition of the image that carries the file system label config-2. More than one
// is an error, since nobody could say which the instance will read.
func findDrive(c canvas, partitions []image.Partition) (image.Partition, bool, error) {
	var found []image.Partition
	for _, p := range partitions {
		if label, err := fsLabel(c, p); err != nil {
			return image.Partition{}, false, as(deployError, fmt.Errorf("look for a config drive: %w", err))
		} else if strings.EqualFold(label, "config-2") {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return image.Partition{}, false, nil
	case 1:
		return found[0], true, nil
	}
	return image.Partition{}, false, fail(deployError, "The image has %d partitions labelled config-2.", len(found))
}

// labels are where file systems keep their labels: a magic and where it is, then the label's place.
// Sources: ECMA-119 8.4, Microsoft's FAT specification 1.03, ext4's struct ext4_super_block.
var labels = []struct {
	at    int
	magic string
	from  int
	to    int
}{
	{32769, "CD001", 32768 + 40, 32768 + 72},
	{54, "FAT1", 43, 54},
	{82, "FAT32", 71, 82},
	{1080, "\x53\xef", 1144, 1160},
}

// fsLabel reads the label of the file system on p; "" if there is none that can be a config drive.
func fsLabel(c canvas, p image.Partition) (string, error) {
	b := make([]byte, min(32768+sectorSize, p.Size))
	if n, err := c.ReadAt(b, p.Start); err != nil && err != io.EOF {
		return "", err
	} else {
		b = b[:n]
	}
	for _, l := range labels {
		if len(b) >= l.to && len(b) >= l.at+len(l.magic) && string(b[l.at:l.at+len(l.magic)]) == l.magic {
			return strings.TrimRight(string(b[l.from:l.to]), " \x00"), nil
		}
	}
	return "", nil
}

// sectorSize is that of ISO 9660.
const sectorSize = 2048
