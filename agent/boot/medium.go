package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ingot/internal/agentapi"
)

const (
	label      = "config-2"
	configFile = "ingot/boot.json"
	// mediumTries and mediumWait are how long a promised boot CD may take to appear: an emulated USB drive
	// needs some seconds after its controller's module was loaded.
	mediumTries = 60
	mediumWait  = 500 * time.Millisecond
	scsiCDROM   = "5" // peripheral device type. Source: SPC-4 §6.6.2
)

// ErrNoMedium: no CD drive holds a boot CD.
var ErrNoMedium = errors.New("no CD drive holds a boot CD labelled config-2")

var cdDrive = regexp.MustCompile(`^sr[0-9]+$`)

// FromMedium waits for the boot CD among the machine's CD drives and reads its configuration. The machine's
// sysfs and devices are below root. It mounts the CD read-only at a directory below dir, and unmounts it.
// Errors: ErrNoMedium, or what is wrong with the CD.
func FromMedium(ctx context.Context, root, dir string, wait bool) (agentapi.BootConfig, error) {
	for try := 1; ; try++ {
		device, err := find(root)
		if err == nil {
			data, err := readMounted(device, dir)
			if err != nil {
				return agentapi.BootConfig{}, fmt.Errorf("boot CD in %s: %w", device, err)
			}
			return Parse(data)
		}
		if !wait || try == mediumTries || !errors.Is(err, ErrNoMedium) {
			return agentapi.BootConfig{}, err
		}
		t := time.NewTimer(mediumWait)
		select {
		case <-ctx.Done():
			t.Stop()
			return agentapi.BootConfig{}, ctx.Err()
		case <-t.C:
		}
	}
}

// find gives the device path of the CD drive with the boot CD. Drives of any other type, and disks and
// partitions with that label, are not looked at.
func find(root string) (string, error) {
	entries, err := os.ReadDir(filepath.Join(root, "sys/block"))
	if err != nil {
		return "", fmt.Errorf("list block devices: %w", err)
	}
	var found []string
	for _, e := range entries {
		if !cdDrive.MatchString(e.Name()) {
			continue
		}
		kind, err := os.ReadFile(filepath.Join(root, "sys/block", e.Name(), "device/type"))
		if err != nil || strings.TrimSpace(string(kind)) != scsiCDROM {
			continue
		}
		device := filepath.Join(root, "dev", e.Name())
		if got, err := volumeID(device); err == nil && strings.EqualFold(got, label) {
			found = append(found, device)
		}
	}
	slices.Sort(found)
	switch len(found) {
	case 0:
		return "", ErrNoMedium
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("several CD drives hold a boot CD: %s", strings.Join(found, ", "))
}

// volumeID reads the label of an ISO9660 file system. Source: ECMA-119 §8.4: the primary volume descriptor
// is sector 16, its identifier 32 bytes at offset 40.
func volumeID(device string) (string, error) {
	f, err := os.Open(device) // an empty drive gives an error here
	if err != nil {
		return "", err
	}
	defer f.Close()
	var d [72]byte
	if _, err := f.ReadAt(d[:], 16*2048); err != nil {
		return "", err
	}
	if !bytes.HasPrefix(d[:], []byte("\x01CD001")) {
		return "", errors.New("no ISO9660 file system")
	}
	return strings.TrimRight(string(d[40:72]), " \x00"), nil
}

func readMounted(device, dir string) (data []byte, err error) {
	at, err := os.MkdirTemp(dir, "bootcd")
	if err != nil {
		return nil, err
	}
	defer os.Remove(at)
	if err := unix.Mount(device, at, "iso9660", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, ""); err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Unmount(at, 0)) }()
	f, err := os.OpenFile(filepath.Join(at, configFile), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, errors.New("it has no file " + configFile)
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxConfig+1))
}
