package erase

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// loop attaches a file to a free loop device: a real block device, for those who may make one.
func loop(t *testing.T, path string) string {
	t.Helper()
	if os.Getenv("INGOT_LAB") != "1" || os.Getuid() != 0 {
		t.Skip("a loop device needs root, and INGOT_LAB=1")
	}
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no loop devices here: %v", err)
	}
	defer control.Close()
	n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("/dev/loop%d", n)
	dev, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no loop device here: %v", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_SET_FD, int(file.Fd())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0); err != nil {
			t.Error(err)
		}
		dev.Close()
		file.Close()
	})
	return name
}

func TestOnALoopDevice(t *testing.T) {
	path := disk(t, 80<<20)
	name := loop(t, path)
	disks := []Disk{{Path: name, Partitions: []Span{{10 << 20, 10 << 20}}}}
	if _, err := Metadata(t.Context(), disks, Options{}); err != nil {
		t.Fatal(err)
	}
	data := read(t, path)
	if !allZero(data[:4<<20]) || !allZero(data[79<<20:]) || allZero(data[30<<20:31<<20]) {
		t.Error("metadata is not what was wiped")
	}
	how, err := Everything(t.Context(), disks, Options{})
	if err != nil || !allZero(read(t, path)) {
		t.Fatal(how, err)
	}
	t.Log(how)

	d, err := open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if _, err := d.file.WriteAt([]byte("old data"), 70<<20); err != nil {
		t.Fatal(err)
	}
	if overwrote, err := (Options{}).empty(t.Context(), d, Span{64 << 20, 16 << 20}); err != nil || !overwrote || !allZero(read(t, path)) {
		t.Errorf("overwriting: %v %v", overwrote, err)
	}
	if _, err := Everything(t.Context(), disks, Options{}); err == nil || err.Error() != name+": the disk is in use" {
		t.Errorf("a disk that is in use: %v", err)
	}
}
