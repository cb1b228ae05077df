package disk

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBlockDevice does on a loop device what other tests do on files: the size and sector size come from
// ioctls, holes from the block layer, and the kernel takes the new table.
func TestBlockDevice(t *testing.T) {
	if os.Getenv("INGOT_LAB") != "1" || os.Geteuid() != 0 {
		t.Skip("needs root and INGOT_LAB=1: it makes a loop device")
	}
	back := oldDisk(t, diskSize)
	out, err := exec.Command("losetup", "--find", "--show", "--partscan", back).Output()
	if err != nil {
		t.Skipf("there is no loop device: %v", err)
	}
	device := strings.TrimSpace(string(out))
	defer exec.Command("losetup", "--detach", device).Run()

	img, iso := gptImage(), driveISO(100_352, "config-2")
	r := request(device, serve(t, img, nil), img)
	r.ConfigDrive = packDrive(iso)
	report, err := WriteImage(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("punched %v, reread %v, zeroed %d", report.Punched, report.Reread, report.Zeroed)
	if !report.Punched || !report.Reread {
		t.Error("holes were not punched, or the kernel has not taken the table")
	}
	disk := readDisk(t, device)
	if !bytes.Equal(disk[mib:imageSize-33*512], img[mib:imageSize-33*512]) || !bytes.Equal(disk[report.Drive.Start:][:len(iso)], iso) {
		t.Error("the device differs from the image, or the config drive is missing")
	}
	sgdisk(t, device)

	held, err := os.OpenFile(device, os.O_RDWR|os.O_EXCL, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	_, err = WriteImage(context.Background(), r)
	wantType(t, err, writeError, "in use")
	if !bytes.Equal(readDisk(t, device), disk) {
		t.Errorf("%s was written while in use", filepath.Base(device))
	}
}
