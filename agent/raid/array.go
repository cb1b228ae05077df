package raid

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"ingot/agent/inventory"
	"ingot/internal/agentapi"
)

const (
	nodeTries = 100
	nodeWait  = 100 * time.Millisecond
	// wiped is how much of both ends of an array is zeroed before it is stopped: file systems and tables on it
	// would else be found again when the same array is made anew.
	wiped = mib
)

// Arrays works on a machine's arrays.
type Arrays struct {
	Machine inventory.Machine
	// Tool runs mdadm and gives what it said.
	Tool func(ctx context.Context, args ...string) (string, error)
	Log  *slog.Logger
}

// Array is one that runs.
type Array struct {
	Device string   // /dev/md0
	Name   string   // as its superblocks say
	Parts  []string // devices, sorted
	Disks  []string // that the parts are on
	Size   int64
}

// Part is a disk or partition that holds a superblock.
type Part struct {
	Device string
	Disk   string
	Superblock
}

var arrayName = regexp.MustCompile(`^md[0-9]+$`)

// Running lists the arrays that run.
func (a Arrays) Running() ([]Array, error) {
	entries, err := os.ReadDir(a.Machine.Device("/sys/block"))
	if err != nil {
		return nil, fmt.Errorf("list arrays: %w", err)
	}
	var all []Array
	for _, e := range entries {
		if !arrayName.MatchString(e.Name()) {
			continue
		}
		parts, err := os.ReadDir(a.Machine.Device("/sys/block/" + e.Name() + "/slaves"))
		if err != nil || len(parts) == 0 {
			continue // an array that was stopped leaves its name for a while
		}
		one := Array{Device: "/dev/" + e.Name(), Size: a.sectors("/sys/block/" + e.Name())}
		for _, p := range parts {
			one.Parts = append(one.Parts, "/dev/"+p.Name())
			if disk := a.diskOf(p.Name()); !slices.Contains(one.Disks, disk) {
				one.Disks = append(one.Disks, disk)
			}
			if s, ok := a.read("/dev/"+p.Name(), a.sectors("/sys/class/block/"+p.Name())); ok {
				one.Name = s.Name
			}
		}
		all = append(all, one)
	}
	return all, nil
}

// sectors reads a size, in bytes.
func (a Arrays) sectors(dir string) int64 {
	text, err := os.ReadFile(a.Machine.Device(dir + "/size"))
	if err != nil {
		return 0
	}
	var n int64
	if _, err := fmt.Sscan(string(text), &n); err != nil {
		return 0
	}
	return n * 512
}

// diskOf is the disk that a partition is on, or the disk itself. In sysfs a partition's folder is in its disk's.
func (a Arrays) diskOf(name string) string {
	found, err := filepath.Glob(a.Machine.Device("/sys/block/*/" + name + "/partition"))
	if err == nil && len(found) == 1 {
		return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(found[0])))
	}
	return "/dev/" + name
}

func (a Arrays) read(device string, size int64) (Superblock, bool) {
	f, err := os.Open(a.Machine.Device(device))
	if err != nil {
		return Superblock{}, false
	}
	defer f.Close()
	return ReadSuperblock(f, size)
}

// Parts finds what of arrays is on disks, running or not.
func (a Arrays) Parts(disks []agentapi.Disk) (all []Part, err error) {
	for _, d := range disks {
		names := []string{strings.TrimPrefix(d.Name, "/dev/")}
		found, err := filepath.Glob(a.Machine.Device("/sys/block/" + names[0] + "/*/partition"))
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			names = append(names, filepath.Base(filepath.Dir(f)))
		}
		for _, n := range names {
			if s, ok := a.read("/dev/"+n, a.sectors("/sys/class/block/"+n)); ok {
				all = append(all, Part{"/dev/" + n, d.Name, s})
			}
		}
	}
	return all, nil
}

// Assemble starts the arrays whose parts are on disks and which do not run.
func (a Arrays) Assemble(ctx context.Context, disks []agentapi.Disk) error {
	parts, err := a.Parts(disks)
	if err != nil || len(parts) == 0 {
		return err
	}
	running, err := a.Running()
	if err != nil {
		return err
	}
	idle := slices.ContainsFunc(parts, func(p Part) bool {
		return !slices.ContainsFunc(running, func(r Array) bool { return slices.Contains(r.Parts, p.Device) })
	})
	if !idle {
		return nil
	}
	said, err := a.Tool(ctx, "--assemble", "--scan", "--run")
	a.Log.Info("arrays assembled", "parts", len(parts), "said", said, "error", err)
	return nil // one that cannot run is for whoever needs it to miss
}

// Create makes the volumes, and says what it made in the form of a node's raid_config. There must be no table and
// no array on their disks.
func (a Arrays) Create(ctx context.Context, volumes []Volume) (map[string]any, error) {
	disks, numbers, err := layout(volumes, a.Machine.UEFI())
	if err != nil {
		return nil, err
	}
	if err := a.empty(volumes); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(disks)) {
		if err := partition(a.Machine.Device(name), diskNamed(volumes, name), disks[name]); err != nil {
			return nil, fmt.Errorf("partition %s: %w", name, err)
		}
	}
	made := []any{}
	for i, v := range volumes {
		array, err := a.create(ctx, i, v, numbers[i])
		if err != nil {
			return nil, fmt.Errorf("make the volume %s: %w", v.Name, err)
		}
		one := maps.Clone(v.raw)
		one["size_gb"], one["volume_name"], one["ingot_device"] = array.Size/gib, v.Name, array.Device
		made = append(made, one)
	}
	return map[string]any{"logical_disks": made, "last_updated": time.Now().UTC().Format(time.RFC3339)}, nil
}

func diskNamed(volumes []Volume, name string) agentapi.Disk {
	for _, v := range volumes {
		if i := slices.IndexFunc(v.Disks, func(d agentapi.Disk) bool { return d.Name == name }); i >= 0 {
			return v.Disks[i]
		}
	}
	return agentapi.Disk{}
}

// empty sees that there are neither partitions nor parts of arrays where volumes are to be.
func (a Arrays) empty(volumes []Volume) error {
	for _, v := range volumes {
		for _, d := range v.Disks {
			parts, err := a.Machine.Partitions(d.Name)
			if err != nil {
				return err
			}
			left, err := a.Parts([]agentapi.Disk{d})
			if err != nil {
				return err
			}
			if len(parts) > 0 || len(left) > 0 {
				return fmt.Errorf("%s holds %d partitions and %d parts of arrays: run delete_configuration and erase_devices_metadata first", d.Name, len(parts), len(left))
			}
		}
	}
	return nil
}

// create makes one array of the partitions with these numbers.
func (a Arrays) create(ctx context.Context, nth int, v Volume, numbers []int) (Array, error) {
	device := fmt.Sprintf("/dev/md%d", nth)
	args := []string{"--create", device, "--force", "--run", "--metadata=1.2", "--homehost=any", "--level", levels[v.Level].word, "--name", v.Name,
		"--raid-devices", fmt.Sprint(len(v.Disks))}
	for i, d := range v.Disks {
		node, err := a.node(ctx, d.Name, numbers[i])
		if err != nil {
			return Array{}, err
		}
		args = append(args, node)
	}
	if said, err := a.Tool(ctx, args...); err != nil {
		return Array{}, fmt.Errorf("%w: %s", err, said)
	}
	all, err := a.Running()
	if err != nil {
		return Array{}, err
	}
	i := slices.IndexFunc(all, func(r Array) bool { return r.Device == device })
	if i < 0 {
		return Array{}, errors.New("mdadm made it, and it does not run")
	}
	a.Log.Info("array made", "device", device, "name", v.Name, "level", v.Level, "parts", all[i].Parts)
	return all[i], nil
}

// node waits for the device of a partition.
func (a Arrays) node(ctx context.Context, disk string, number int) (string, error) {
	name := strings.TrimPrefix(disk, "/dev/")
	if last := name[len(name)-1]; last >= '0' && last <= '9' {
		name += "p"
	}
	name += fmt.Sprint(number)
	for try := 1; ; try++ {
		if _, err := os.Stat(a.Machine.Device("/dev/" + name)); err == nil {
			return a.Machine.Device("/dev/" + name), nil
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

// Stop ends the arrays that run on these disks. With forget their data cannot be found again, nor they themselves.
func (a Arrays) Stop(ctx context.Context, disks []agentapi.Disk, forget bool) (stopped []Array, err error) {
	running, err := a.Running()
	if err != nil {
		return nil, err
	}
	ours := func(disk string) bool {
		return slices.ContainsFunc(disks, func(d agentapi.Disk) bool { return d.Name == disk })
	}
	for _, r := range running {
		if at := slices.IndexFunc(r.Disks, func(d string) bool { return !ours(d) }); forget && at >= 0 && slices.ContainsFunc(r.Disks, ours) {
			return nil, fmt.Errorf("%s has a part on %s too, which is to be left alone", r.Device, r.Disks[at])
		}
	}
	for _, r := range running {
		if !slices.ContainsFunc(r.Disks, ours) {
			continue
		}
		if forget {
			if err := wipeEnds(a.Machine.Device(r.Device), r.Size); err != nil {
				return stopped, fmt.Errorf("wipe %s: %w", r.Device, err)
			}
		}
		if said, err := a.Tool(ctx, "--stop", r.Device); err != nil {
			return stopped, fmt.Errorf("stop %s: %w: %s", r.Device, err, said)
		}
		stopped = append(stopped, r)
	}
	if !forget {
		return stopped, nil
	}
	parts, err := a.Parts(disks)
	if err != nil {
		return stopped, err
	}
	for _, p := range parts {
		if said, err := a.Tool(ctx, "--zero-superblock", p.Device); err != nil {
			return stopped, fmt.Errorf("forget %s: %w: %s", p.Device, err, said)
		}
	}
	return stopped, nil
}

// wipeEnds zeroes the first and the last MiB.
func wipeEnds(device string, size int64) error {
	f, err := os.OpenFile(device, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close() // what counts is flushed below
	zeros := make([]byte, min(wiped, size))
	for _, at := range []int64{0, size - int64(len(zeros))} {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return err
		}
	}
	return f.Sync()
}
