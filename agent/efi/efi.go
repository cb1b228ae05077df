// Package efi makes the firmware start what was written to a disk: it finds the boot loader on the disk's
// EFI system partition and puts a boot entry for it before all others.
//
// It speaks to the firmware through efivarfs and reads the partition by mounting it read-only; it writes
// nothing to the disk. Our entries have names that begin with "ingot: "; older ones of ours are removed,
// so that their number does not grow with every deployment, and nobody else's are touched, but by Clean, which is
// asked to. BIOS machines need none of this. The agent's command install_bootloader and its step
// clean_uefi_nvram call it.
package efi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// nodeTries and nodeWait are how long the kernel may take to show the partitions of a new table.
	nodeTries = 40
	nodeWait  = 250 * time.Millisecond
)

// Firmware is the machine's, with sysfs and devices below Root.
type Firmware struct{ Root string }

// Install makes and orders the boot entry for the loader on the disk at device.
func (f Firmware) Install(ctx context.Context, device string) error {
	disk, err := os.OpenFile(device, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	esp, err := findESP(disk)
	if err == nil {
		// The kernel may still have the table from before; it refuses only while a partition is in use.
		_ = unix.IoctlSetInt(int(disk.Fd()), unix.BLKRRPART, 0)
	}
	if err := errors.Join(err, disk.Close()); err != nil {
		return fmt.Errorf("EFI system partition of %s: %w", device, err)
	}
	node, err := f.partition(ctx, filepath.Base(device), esp.number)
	if err != nil {
		return err
	}
	loader, err := mounted(node, func(files fs.FS) (Loader, error) { return FindLoader(files) })
	if err != nil {
		return fmt.Errorf("EFI system partition %s: %w", node, err)
	}
	vars := Variables{Dir: filepath.Join(f.Root, "sys/firmware/efi/efivars")}
	return vars.Prefer(Option{Description: entryPrefix + loader.Label, Path: append(esp.devicePath(), filePath(loader.Path)...)})
}

// partition waits for the device node of a disk's partition.
func (f Firmware) partition(ctx context.Context, disk string, number uint32) (string, error) {
	for try := 1; ; try++ {
		entries, err := os.ReadDir(filepath.Join(f.Root, "sys/block", disk))
		if err != nil {
			return "", err
		}
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(f.Root, "sys/block", disk, e.Name(), "partition"))
			if err != nil {
				continue
			}
			node := filepath.Join(f.Root, "dev", e.Name())
			if _, err := os.Stat(node); err == nil && string(text) == strconv.FormatUint(uint64(number), 10)+"\n" {
				return node, nil
			}
		}
		if try == nodeTries {
			return "", fmt.Errorf("the kernel does not show partition %d of %s", number, disk)
		}
		t := time.NewTimer(nodeWait)
		select {
		case <-ctx.Done():
			t.Stop()
			return "", ctx.Err()
		case <-t.C:
		}
	}
}

// mounted lets look see the files of a FAT file system.
func mounted(node string, look func(fs.FS) (Loader, error)) (l Loader, err error) {
	at, err := os.MkdirTemp("", "esp")
	if err != nil {
		return l, err
	}
	defer os.Remove(at)
	if err := unix.Mount(node, at, "vfat", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, ""); err != nil {
		return l, fmt.Errorf("mount: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(at, 0)) }()
	return look(os.DirFS(at))
}
