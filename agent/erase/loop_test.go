package erase

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// loop attaches a file to a free loop device: a real block device, for those who may make one.
func loop(t *testing.T, path string) string {
	t.Helper()
	if os.Getenv("INGOT_LAB") != "1" || os.Getuid() != 0 {
		t.Skip("a loop device needs root, and INGOT_LAB=1")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("no loop devices here: %v", err)
	}
	out, err := exec.Command("losetup", "--find", "--show", path).CombinedOutput()
	if err != nil {
		t.Fatalf("losetup: %v: %s", err, out)
	}
	name := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", name).CombinedOutput(); err != nil {
			t.Errorf("losetup: %v: %s", err, out)
		}
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
