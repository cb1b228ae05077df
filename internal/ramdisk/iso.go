package ramdisk

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/fat16"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"

	"ingot/internal/depot"
	"ingot/internal/fault"
)

// espSize is the size of the FAT image that firmware boots, in bytes: shim and GRUB take 5 MB. El Torito
// counts it in 16 bits of 512 bytes, so it must stay below 32 MiB.
const espSize = 8 << 20

// The image's place in the ISO, and what the firmware and then shim look for in it (UEFI 2.10, section
// 3.5.1.1; shim loads grubx64.efi from its own folder).
const (
	espName  = "efi.img"
	shimName = "/EFI/BOOT/BOOTX64.EFI"
	grubName = "/EFI/BOOT/grubx64.efi"
)

// isoParts are the files a boot ISO is made of.
type isoParts struct {
	kernel, initramfs, shim, grub string
}

// writeISO makes the template and finds its placeholders. work is a folder for scratch files.
func writeISO(p isoParts, out, work string) ([]depot.Region, error) {
	tree := filepath.Join(work, "iso")
	if err := layOut(p, tree); err != nil {
		return nil, fmt.Errorf("lay out the boot ISO: %w", err)
	}
	f, err := os.Create(out)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the Close that counts is below
	if err := finalize(f, tree); err != nil {
		return nil, fmt.Errorf("write the boot ISO: %w", err)
	}
	if err := settle(f); err != nil {
		return nil, fmt.Errorf("date the boot ISO: %w", err)
	}
	regions, err := findPlaceholders(f)
	if err != nil {
		return nil, err
	}
	return regions, f.Close()
}

// layOut puts the ISO's files into a folder. There is no /.disk/info, by which Debian's GRUB would search
// all disks for its CD if the firmware did not tell it where it came from: a former tenant's disk could
// have one too, and no boot is better than theirs.
func layOut(p isoParts, tree string) error {
	for name, source := range map[string]string{"/boot/vmlinuz": p.kernel, "/boot/initrd": p.initramfs} {
		if err := copyFile(filepath.Join(tree, name), source); err != nil {
			return err
		}
	}
	for _, r := range depot.Placeholders() {
		path := filepath.Join(tree, r.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, depot.Placeholder(r), 0o644); err != nil {
			return err
		}
	}
	return writeESP(filepath.Join(tree, espName), p.shim, p.grub)
}

func copyFile(to, from string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close() // read-only: nothing is lost
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close() // the Close that counts is below
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}

// writeESP makes the FAT image with shim and GRUB.
func writeESP(path, shim, grub string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() // the Close that counts is below
	if err := f.Truncate(espSize); err != nil {
		return err
	}
	fs, err := fat16.Create(file.New(f, false), espSize, 0, 512, "INGOT", true)
	if err != nil {
		return err
	}
	for _, dir := range []string{"/EFI", "/EFI/BOOT"} {
		if err := fs.Mkdir(dir); err != nil {
			return err
		}
	}
	for _, c := range []struct{ name, source string }{{shimName, shim}, {grubName, grub}} {
		b, err := os.ReadFile(c.source)
		if err != nil {
			return err
		}
		w, err := fs.OpenFile(c.name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	if err := settleFAT(f); err != nil {
		return fmt.Errorf("date the ESP: %w", err)
	}
	return f.Close()
}

// finalize turns the folder into an ISO with Rock Ridge names and an El Torito entry for UEFI. It takes
// the folder away.
func finalize(f *os.File, tree string) error {
	fs, err := iso9660.Create(file.New(f, false), 0, 0, isoBlock, tree)
	if err != nil {
		return err
	}
	return fs.Finalize(iso9660.FinalizeOptions{
		RockRidge:        true,
		VolumeIdentifier: depot.VolumeLabel,
		ElTorito: &iso9660.ElTorito{
			HideBootCatalog: true,
			Entries: []*iso9660.ElToritoEntry{{
				Platform:  iso9660.EFI,
				Emulation: iso9660.NoEmulation,
				BootFile:  "/" + espName,
			}},
		},
	})
}

// findPlaceholders looks for each placeholder at the blocks of the ISO: where files begin.
func findPlaceholders(f *os.File) ([]depot.Region, error) {
	regions := depot.Placeholders()
	var begins [][]byte
	for i := range regions {
		regions[i].Offset = -1
		begins = append(begins, depot.Placeholder(regions[i])[:isoBlock])
	}
	block := make([]byte, isoBlock)
	for off := int64(0); ; off += isoBlock {
		n, err := f.ReadAt(block, off)
		if n < isoBlock {
			if err == io.EOF {
				break
			}
			return nil, err
		}
		for i, r := range regions {
			if !bytes.Equal(block, begins[i]) {
				continue
			}
			if r.Offset >= 0 {
				return nil, fault.New(fault.Internal, "The boot ISO has two places for %s.", r.Path)
			}
			regions[i].Offset = off
		}
	}
	for _, r := range regions {
		if r.Offset < 0 {
			return nil, fault.New(fault.Internal, "The boot ISO has no place for %s.", r.Path)
		}
	}
	return regions, nil
}
