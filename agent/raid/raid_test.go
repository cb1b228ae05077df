package raid

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ingot/agent/inventory"
	"ingot/internal/agentapi"
)

func some(s string) *string { return &s }

// four disks of 100 GiB.
func four() (disks []agentapi.Disk) {
	for _, n := range []string{"a", "b", "c", "d"} {
		disks = append(disks, agentapi.Disk{Name: "/dev/sd" + n, Size: 100 * gib, Serial: some(n), LogicalSectors: 512})
	}
	return disks
}

func object(t *testing.T, text string) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParse(t *testing.T) {
	const first = `{"controller":"software","raid_level":"1","size_gb":10}`
	for _, c := range []struct{ config, err string }{
		{`{"logical_disks":[` + first + `]}`, ""},
		{`{"logical_disks":[` + first + `,{"controller":"software","raid_level":"1+0","size_gb":"MAX","is_root_volume":true,"volume_name":"data"}]}`, ""},
		{`{"logical_disks":[` + first + `,{"controller":"software","raid_level":"6","size_gb":10}]}`, ""},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":10,"physical_disks":[{"serial":"b"},{"size":">= 50"}]}]}`, ""},
		{`{}`, "has no logical_disks"},
		{`{"logical_disks":[]}`, "has no logical_disks"},
		{`{"logical_disks":[1]}`, "logical disk 1 is no object"},
		{`{"logical_disks":[` + first + `,` + first + `,` + first + `]}`, "has 3 logical disks"},
		{`{"logical_disks":[{"raid_level":"1","size_gb":10}]}`, "controller is not software"},
		{`{"logical_disks":[{"controller":"perc","raid_level":"1","size_gb":10}]}`, "controller is not software"},
		{`{"logical_disks":[{"controller":"software","raid_level":"2","size_gb":10}]}`, "none of 0, 1, 1+0, 5, 6"},
		{`{"logical_disks":[{"controller":"software","raid_level":"0","size_gb":10}]}`, "the first logical disk must have raid_level 1"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":0}]}`, "size_gb"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":1.5}]}`, "size_gb"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":"max"}]}`, "size_gb"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1"}]}`, "size_gb"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":"MAX"},{"controller":"software","raid_level":"0","size_gb":"MAX"}]}`, "only one logical disk can have the size MAX"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":1,"volume_name":"x"},{"controller":"software","raid_level":"1","size_gb":1,"volume_name":"x"}]}`, "two logical disks have the volume_name x"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":1,"volume_name":"a b"}]}`, "volume_name"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":1,"is_root_volume":true},{"controller":"software","raid_level":"1","size_gb":1,"is_root_volume":true}]}`, "can be the root volume"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":1,"is_root_volume":"yes"}]}`, "is_root_volume"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":1,"physical_disks":[{"serial":"a"}]}]}`, "two or more"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":1,"physical_disks":[{"serial":"a"},{"serial":"a"}]}]}`, "no disk is left"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":1,"physical_disks":[{"serial":"a"},{}]}]}`, "no object of hints"},
		{`{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":1,"physical_disks":[{"serial":"a"},{"colour":"red"}]}]}`, "colour"},
		{`{"logical_disks":[` + first + `,{"controller":"software","raid_level":"6","size_gb":1,"physical_disks":[{"serial":"a"},{"serial":"b"},{"serial":"c"}]}]}`, "raid_level 6 needs 4 disks, and there are 3"},
	} {
		volumes, err := Parse(object(t, c.config), four())
		if c.err == "" && (err != nil || len(volumes) == 0) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%s: %v, want %q", c.config, err, c.err)
		}
	}
	if Software(object(t, `{"logical_disks":[{"controller":"perc"}]}`)) || Software(nil) || !Software(object(t, `{"logical_disks":[{"controller":"software"}]}`)) {
		t.Error("what is software RAID is mistaken")
	}
}

func TestLayout(t *testing.T) {
	volumes, err := Parse(object(t, `{"logical_disks":[{"controller":"software","raid_level":"1","size_gb":"MAX","physical_disks":[{"serial":"a"},{"serial":"b"}]},
		{"controller":"software","raid_level":"5","size_gb":60}]}`), four())
	if err != nil {
		t.Fatal(err)
	}
	disks, numbers, err := layout(volumes, true)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(numbers[0], []int{2, 2}) || !slices.Equal(numbers[1], []int{1, 1, 1, 1}) || len(disks["/dev/sda"]) != 2 || len(disks["/dev/sdd"]) != 1 {
		t.Fatalf("%v %v", disks, numbers)
	}
	a := disks["/dev/sda"]
	if a[0] != (part{startUEFI, 20*gib + 128*mib}) || a[1].start != a[0].start+a[0].size || a[1].start+a[1].size != 100*gib-mib {
		t.Errorf("%+v", a)
	}
	for level, want := range map[string]int64{"0": 25 * gib, "1": 100 * gib, "1+0": 50 * gib, "6": 50 * gib} {
		if got := component(level, 100*gib, 4); got != want {
			t.Errorf("level %s: %d, want %d", level, got, want)
		}
	}
	volumes[1].Size = 600 * gib
	if _, _, err := layout(volumes, false); err == nil || !strings.Contains(err.Error(), "are left") {
		t.Error(err)
	}
}

// TestTable lets sgdisk judge the table.
func TestTable(t *testing.T) {
	sgdisk, err := exec.LookPath("sgdisk")
	if err != nil {
		t.Skip("sgdisk is not installed")
	}
	const size = 1 * gib
	parts := []part{{8 * mib, 100 * mib}, {108 * mib, 915 * mib}}
	head, tail, err := table(size, 512, parts)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	_, e1 := f.WriteAt(head, 0)
	_, e2 := f.WriteAt(tail, size-int64(len(tail)))
	if err := errors.Join(e1, e2, f.Close()); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(sgdisk, "-v", "-p", path).CombinedOutput()
	if text := string(out); err != nil || !strings.Contains(text, "No problems found") || strings.Count(text, "FD00") != 2 || !strings.Contains(text, "16384          221183") {
		t.Errorf("%v\n%s", err, out)
	}
}

// superblock is one of format 1.x.
func superblock(name string) []byte {
	b := make([]byte, 256)
	binary.LittleEndian.PutUint32(b, magic)
	binary.LittleEndian.PutUint32(b[4:], 1)
	copy(b[16:], bytes.Repeat([]byte{0xab}, 16))
	copy(b[32:64], name)
	binary.LittleEndian.PutUint32(b[72:], 5)
	binary.LittleEndian.PutUint32(b[92:], 3)
	return b
}

func TestSuperblocks(t *testing.T) {
	const size = 1<<20 + 512
	old := make([]byte, 64)
	binary.LittleEndian.PutUint32(old, magic)
	binary.LittleEndian.PutUint32(old[28:], 1)
	binary.LittleEndian.PutUint32(old[40:], 2)
	for _, c := range []struct {
		name  string
		at    int64
		block []byte
		want  Superblock
	}{
		{"1.2", 4096, superblock("host:data"), Superblock{strings.Repeat("ab", 16), "data", 5, 3}},
		{"1.1", 0, superblock("data\x01"), Superblock{strings.Repeat("ab", 16), "data?", 5, 3}},
		{"1.0", (size/512 - 16) &^ 7 * 512, superblock("x"), Superblock{strings.Repeat("ab", 16), "x", 5, 3}},
		{"0.90", size&^(64<<10-1) - 64<<10, old, Superblock{strings.Repeat("0", 32), "", 1, 2}},
	} {
		disk := make([]byte, size)
		copy(disk[c.at:], c.block)
		if got, ok := ReadSuperblock(bytes.NewReader(disk), size); !ok || got != c.want {
			t.Errorf("%s: %+v %v", c.name, got, ok)
		}
	}
	for _, size := range []int64{0, 512, 4096, 65536, 1 << 20} {
		if got, ok := ReadSuperblock(bytes.NewReader(make([]byte, size)), size); ok {
			t.Errorf("zeros are %+v", got)
		}
	}
}

func FuzzSuperblock(f *testing.F) {
	f.Add(append(make([]byte, 4096), superblock("host:data")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, ok := ReadSuperblock(bytes.NewReader(b), int64(len(b))); ok && (len(s.Array) != 32 || len(s.Name) > 3*32) {
			t.Errorf("%+v", s)
		}
	})
}

// machine is a tree like sysfs in which two disks hold an array.
func machine(t *testing.T) (Arrays, string) {
	t.Helper()
	root := t.TempDir()
	plant := func(path, text string) {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{"sda", "nvme0n1"} {
		p := map[string]string{"sda": "sda1", "nvme0n1": "nvme0n1p1"}[d]
		plant("sys/block/"+d+"/"+p+"/partition", "1\n")
		plant("sys/block/"+d+"/size", "4096\n")
		plant("sys/class/block/"+p+"/size", "2048\n")
		plant("sys/block/md7/slaves/"+p+"/x", "")
		data := make([]byte, 1<<20)
		copy(data[4096:], superblock("any:data"))
		plant("dev/"+p, string(data))
		plant("dev/"+d, "")
	}
	plant("sys/block/md7/size", "2048\n")
	plant("dev/md7", strings.Repeat("x", 1<<20))
	plant("sys/block/md9/slaves/..x", "")
	if err := os.Remove(filepath.Join(root, "sys/block/md9/slaves/..x")); err != nil {
		t.Fatal(err)
	}
	return Arrays{Machine: inventory.Machine{Root: root}, Log: slog.New(slog.DiscardHandler)}, root
}

func TestArraysOfAMachine(t *testing.T) {
	a, root := machine(t)
	var asked []string
	a.Tool = func(_ context.Context, args ...string) (string, error) {
		asked = append(asked, strings.Join(args, " "))
		return "", nil
	}
	running, err := a.Running()
	want := Array{"/dev/md7", "data", []string{"/dev/nvme0n1p1", "/dev/sda1"}, []string{"/dev/nvme0n1", "/dev/sda"}, 1 << 20}
	if err != nil || len(running) != 1 || fmt.Sprint(running[0]) != fmt.Sprint(want) {
		t.Fatalf("%+v %v", running, err)
	}
	disks := []agentapi.Disk{{Name: "/dev/sda"}, {Name: "/dev/nvme0n1"}}
	if err := a.Assemble(t.Context(), disks); err != nil || asked != nil {
		t.Errorf("all run: %v %v", asked, err)
	}
	if _, err := a.Create(t.Context(), []Volume{{Name: "x", Level: "1", Disks: []agentapi.Disk{{Name: "/dev/sda", Size: gib}, {Name: "/dev/nvme0n1", Size: gib}}}}); err == nil ||
		!strings.Contains(err.Error(), "/dev/sda holds 1 partitions and 1 parts of arrays") {
		t.Error(err)
	}
	stopped, err := a.Stop(t.Context(), disks, true)
	if err != nil || len(stopped) != 1 || !slices.Equal(asked, []string{"--stop /dev/md7", "--zero-superblock /dev/sda1", "--zero-superblock /dev/nvme0n1p1"}) {
		t.Errorf("%v %v %v", stopped, asked, err)
	}
	if data, err := os.ReadFile(filepath.Join(root, "dev/md7")); err != nil || len(bytes.Trim(data, "\x00")) != 0 {
		t.Error("the array's ends were not wiped", err)
	}
	if err := os.RemoveAll(filepath.Join(root, "sys/block/md7")); err != nil {
		t.Fatal(err)
	}
	asked = nil
	if err := a.Assemble(t.Context(), disks); err != nil || !slices.Equal(asked, []string{"--assemble --scan --run"}) {
		t.Errorf("none runs: %v %v", asked, err)
	}
	a.Tool = func(context.Context, ...string) (string, error) { return "busy", errors.New("code 1") }
	if _, err := a.Stop(t.Context(), disks, true); err == nil || !strings.Contains(err.Error(), "forget /dev/sda1: code 1: busy") {
		t.Error(err)
	}
	if _, err := a.Stop(t.Context(), disks, false); err != nil {
		t.Error(err)
	}
}
