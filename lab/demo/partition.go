package demo

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"ingot/internal/image"
)

// cutRoot replaces the whole-disk image in a folder by its root file system alone, with its checksum.
func cutRoot(dir string) error {
	disk, err := os.Open(filepath.Join(dir, "debian.raw"))
	if err != nil {
		return err
	}
	defer disk.Close()
	head := make([]byte, image.HeadSize)
	if _, err := disk.ReadAt(head, 0); err != nil {
		return fmt.Errorf("read the image: %w", err)
	}
	table, err := image.ParseTable(head)
	if err != nil {
		return fmt.Errorf("read the image: %w", err)
	}
	for _, p := range table.Partitions {
		if p.Type == image.TypeLinuxRoot.String() {
			return packRoot(dir, io.NewSectionReader(disk, p.Start, p.Size))
		}
	}
	return errors.New("the image has no root partition")
}

func packRoot(dir string, root *io.SectionReader) error {
	const name = "debian.raw.zst"
	path := filepath.Join(dir, name)
	if err := os.Remove(path); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() // the Close that counts is below
	h := sha256.New()
	z, err := zstd.NewWriter(io.MultiWriter(f, h), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	z.ResetContentSize(io.MultiWriter(f, h), root.Size())
	if _, err := io.Copy(z, root); err != nil {
		return fmt.Errorf("pack the root file system: %w", err)
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		return fmt.Errorf("pack the root file system: %w", err)
	}
	sums := filepath.Join(dir, "SHA256SUMS")
	if err := os.Remove(sums); err != nil {
		return err
	}
	return os.WriteFile(sums, []byte(hex.EncodeToString(h.Sum(nil))+"  "+name+"\n"), 0o444)
}
