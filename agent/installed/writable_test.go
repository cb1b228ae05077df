package installed

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// What lsblk says of a thin volume, whose pool has its data on an array of two disks and its metadata on another array that shares a disk
// with it: `lsblk --json --inverse --output NAME,PATH,TYPE /dev/mapper/vg-root`.
const thinOnArrays = `{
   "blockdevices": [
      {"name": "vg-root", "path": "/dev/mapper/vg-root", "type": "lvm", "children": [
         {"name": "vg-pool-tpool", "path": "/dev/mapper/vg-pool-tpool", "type": "lvm", "children": [
            {"name": "vg-pool_tmeta", "path": "/dev/mapper/vg-pool_tmeta", "type": "lvm", "children": [
               {"name": "md127", "path": "/dev/md127", "type": "raid1", "children": [
                  {"name": "sda2", "path": "/dev/sda2", "type": "part", "children": [{"name": "sda", "path": "/dev/sda", "type": "disk"}]},
                  {"name": "sdb2", "path": "/dev/sdb2", "type": "part", "children": [{"name": "sdb", "path": "/dev/sdb", "type": "disk"}]}
               ]}
            ]},
            {"name": "vg-pool_tdata", "path": "/dev/mapper/vg-pool_tdata", "type": "lvm", "children": [
               {"name": "md126", "path": "/dev/md126", "type": "raid5", "children": [
                  {"name": "sdb3", "path": "/dev/sdb3", "type": "part", "children": [{"name": "sdb", "path": "/dev/sdb", "type": "disk"}]},
                  {"name": "sdc", "path": "/dev/sdc", "type": "disk"}
               ]},
               {"name": "md127", "path": "/dev/md127", "type": "raid1", "children": [
                  {"name": "sda2", "path": "/dev/sda2", "type": "part", "children": [{"name": "sda", "path": "/dev/sda", "type": "disk"}]},
                  {"name": "sdb2", "path": "/dev/sdb2", "type": "part", "children": [{"name": "sdb", "path": "/dev/sdb", "type": "disk"}]}
               ]}
            ]}
         ]}
      ]}
   ]
}`

// Volumes on arrays are made writable from the bottom: no volume before each array and volume that it lies on, and each once.
func TestWritableFromTheBottom(t *testing.T) {
	for _, tt := range []struct{ name, answer, want string }{
		{"a volume on an array", `{"blockdevices": [{"name": "vg-root", "path": "/dev/mapper/vg-root", "type": "lvm", "children": [
			{"name": "md0", "path": "/dev/md0", "type": "raid1", "children": [{"name": "sda", "path": "/dev/sda", "type": "disk"}, {"name": "sdb", "path": "/dev/sdb", "type": "disk"}]}]}]}`,
			"mdadm --readwrite /dev/md0, lvchange --quiet --refresh /dev/mapper/vg-root"},
		{"a thin volume on two arrays", thinOnArrays, "mdadm --readwrite /dev/md127, lvchange --quiet --refresh /dev/mapper/vg-pool_tmeta, " +
			"mdadm --readwrite /dev/md126, lvchange --quiet --refresh /dev/mapper/vg-pool_tdata, lvchange --quiet --refresh /dev/mapper/vg-pool-tpool, " +
			"lvchange --quiet --refresh /dev/mapper/vg-root"},
		{"a partition", `{"blockdevices": [{"name": "sda1", "path": "/dev/sda1", "type": "part", "children": [{"name": "sda", "path": "/dev/sda", "type": "disk"}]}]}`, ""},
	} {
		var ran []string
		w := work{out: io.Discard, run: func(_ context.Context, name string, args ...string) ([]byte, error) {
			if name != "lsblk" {
				ran = append(ran, name+" "+strings.Join(args, " "))
				return nil, nil
			}
			if !slices.Contains(args, "NAME,PATH,TYPE") {
				t.Errorf("without names lsblk gives a flat list, whose order says nothing: %q", args)
			}
			return []byte(tt.answer), nil
		}}
		if err := w.writable(t.Context(), "/dev/it"); err != nil || strings.Join(ran, ", ") != tt.want {
			t.Errorf("%s: %v\n%q, want\n%q", tt.name, err, strings.Join(ran, ", "), tt.want)
		}
	}
}

// An array that is writable already is refused by mdadm, which is no reason to stop; a volume that cannot be refreshed is.
func TestWritableStopsAtAVolume(t *testing.T) {
	refused := errors.New("no such volume")
	var said strings.Builder
	w := work{out: &said, run: func(_ context.Context, name string, args ...string) ([]byte, error) {
		switch {
		case name == "lsblk":
			return []byte(thinOnArrays), nil
		case name == "mdadm":
			return nil, errors.New("busy")
		case strings.HasSuffix(args[len(args)-1], "tdata"):
			return nil, refused
		case strings.HasSuffix(args[len(args)-1], "tpool"):
			t.Error("the pool is refreshed, though what it lies on was not")
		}
		return nil, nil
	}}
	if err := w.writable(t.Context(), "/dev/it"); !errors.Is(err, refused) {
		t.Errorf("%v, want %v", err, refused)
	}
	if want := "RAID /dev/md127: busy\nRAID /dev/md126: busy\n"; said.String() != want {
		t.Errorf("%q, want %q", said.String(), want)
	}
}

// Whether an encrypted device is open is seen by what lies on it.
func TestDevicesAreATree(t *testing.T) {
	w := work{run: func(_ context.Context, _ string, args ...string) ([]byte, error) {
		if !strings.HasPrefix(args[len(args)-1], "NAME,") {
			t.Errorf("without names lsblk gives a flat list, in which nothing lies on anything: %q", args)
		}
		return []byte(`{"blockdevices": [{"name": "sda", "path": "/dev/sda", "type": "disk", "children": [{"name": "open", "path": "/dev/mapper/open", "type": "crypt"}]}]}`), nil
	}}
	got, err := w.devices(t.Context())
	if err != nil || len(got) != 2 || len(got[0].Children) != 1 || got[1].Path != "/dev/mapper/open" {
		t.Errorf("%+v %v", got, err)
	}
}
