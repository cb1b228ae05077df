package installed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"
)

// programLimit is how long a program may take: one that waits for a dead disk takes a minute.
const programLimit = 3 * time.Minute

// device is what lsblk says of a block device.
type device struct {
	Path     string   `json:"path"`
	Type     string   `json:"type"` // disk, part, lvm, raid1, crypt, rom, loop
	FSType   string   `json:"fstype"`
	UUID     string   `json:"uuid"`
	Mounts   []string `json:"mountpoints"`
	ReadOnly bool     `json:"ro"`
	Children []device `json:"children"`

	label, partUUID, partLabel string // filled by probed only
}

// readDevices reads lsblk's JSON. It is a tree only where lsblk was asked for names; without them it is a list that does not tell what
// lies on what.
func readDevices(data []byte) ([]device, error) {
	var top struct {
		Devices []device `json:"blockdevices"`
	}
	if err := json.Unmarshal(data, &top); err != nil {
		return nil, fmt.Errorf("lsblk's answer: %w", err)
	}
	return top.Devices, nil
}

// parseDevices reads lsblk's JSON into a flat list: a device that lies on several comes once.
func parseDevices(data []byte) ([]device, error) {
	top, err := readDevices(data)
	if err != nil {
		return nil, err
	}
	var flat []device
	seen := map[string]bool{}
	var walk func([]device)
	walk = func(list []device) {
		for _, d := range list {
			if !seen[d.Path] {
				seen[d.Path] = true
				flat = append(flat, d)
			}
			walk(d.Children)
		}
	}
	walk(top)
	return flat, nil
}

// childrenFirst is a tree as a list, each device once and behind all its children. In lsblk's inverse tree these are what it lies on.
func childrenFirst(tree []device) []device {
	var list []device
	seen := map[string]bool{}
	var walk func([]device)
	walk = func(level []device) {
		for _, d := range level {
			if seen[d.Path] {
				continue
			}
			seen[d.Path] = true
			walk(d.Children)
			list = append(list, d)
		}
	}
	walk(tree)
	return list
}

func (w work) devices(ctx context.Context) ([]device, error) {
	out, err := w.run(ctx, "lsblk", "--json", "--output", "NAME,PATH,TYPE,FSTYPE,UUID,MOUNTPOINTS,RO")
	if err != nil {
		return nil, err
	}
	return parseDevices(out)
}

// awake makes arrays and volumes available, read-only. What does not work is told and no reason to stop: the rest of a
// broken machine's disks is worth seeing.
func (w work) awake(ctx context.Context) {
	if out, err := w.run(ctx, "mdadm", "--examine", "--scan"); err == nil && len(bytes.TrimSpace(out)) > 0 {
		// --run: an array that lost a disk is what people come for. It is an error for mdadm that all run already.
		if _, err := w.run(ctx, "mdadm", "--assemble", "--scan", "--readonly", "--run"); err != nil && exitCode(err) != 2 && !strings.Contains(err.Error(), "No arrays found") {
			fmt.Fprintln(w.out, "RAID:", err)
		}
	}
	groups, err := w.run(ctx, "vgs", "--noheadings", "--options", "vg_name")
	if err != nil {
		fmt.Fprintln(w.out, "LVM:", err)
	}
	for vg := range strings.FieldsSeq(string(groups)) {
		if !volumeName.MatchString(vg) {
			continue
		}
		out, err := w.run(ctx, "lvs", "--noheadings", "--options", "lv_name", "--select", "lv_active!=active", vg)
		if err == nil && len(bytes.TrimSpace(out)) == 0 {
			continue // all of it is there, perhaps for writing
		}
		if _, err := w.run(ctx, "vgchange", "--quiet", "--activate", "y", "--config", fmt.Sprintf("activation{read_only_volume_list=[\"%s\"]}", vg), vg); err != nil {
			fmt.Fprintf(w.out, "LVM, volume group %s: %v\n", vg, err)
		}
	}
	if _, err := w.run(ctx, "udevadm", "settle", "--timeout=30"); err != nil {
		fmt.Fprintln(w.out, "udev:", err)
	}
}

// volumeName is what LVM lets a volume group be called. Source: lvm(8), "VALID NAMES".
var volumeName = regexp.MustCompile(`^[a-zA-Z0-9+_.][a-zA-Z0-9+_.-]*$`)

// writable makes what a device lies on writable: arrays and volumes, from the bottom.
func (w work) writable(ctx context.Context, path string) error {
	out, err := w.run(ctx, "lsblk", "--json", "--inverse", "--output", "NAME,PATH,TYPE", path)
	if err != nil {
		return err
	}
	tree, err := readDevices(out)
	if err != nil {
		return err
	}
	for _, d := range childrenFirst(tree) {
		switch {
		case strings.HasPrefix(d.Type, "raid"):
			// mdadm refuses what is writable already: whether it is now is what counts.
			if _, err := w.run(ctx, "mdadm", "--readwrite", d.Path); err != nil {
				fmt.Fprintf(w.out, "RAID %s: %v\n", d.Path, err)
			}
		case d.Type == "lvm":
			// Without the list of awake it is loaded anew, as its metadata says.
			if _, err := w.run(ctx, "lvchange", "--quiet", "--refresh", d.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// program runs a program of the ramdisk. Its complaints become the error.
func program(ctx context.Context, name string, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, programLimit, fmt.Errorf("it took longer than %s", programLimit))
	defer cancel()
	var out, complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "LVM_SUPPRESS_FD_WARNINGS=1"}
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, fmt.Errorf("%s: %w: %s", name, err, strings.Join(strings.Fields(complaints.String()), " "))
	}
	return out.Bytes(), nil
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// within leaves the devices that lie on allowed disks and on nothing else. A disk may be an array, and is looked at no deeper. lsblk tells
// what lies on what only where it is asked for names, too.
func (w work) within(ctx context.Context, list []device, allowed func(path string) bool) ([]device, error) {
	var out []device
	for _, d := range list {
		answer, err := w.run(ctx, "lsblk", "--json", "--inverse", "--output", "NAME,PATH,TYPE", d.Path)
		if err != nil {
			return nil, err
		}
		tree, err := readDevices(answer)
		if err != nil {
			return nil, err
		}
		if len(tree) > 0 && !slices.ContainsFunc(tree, func(d device) bool { return d.leaves(allowed) }) {
			out = append(out, d)
		}
	}
	return out, nil
}

// leaves tells whether a device, with those that it lies on, lies on a disk that is not allowed.
func (d device) leaves(allowed func(string) bool) bool {
	switch {
	case allowed(d.Path):
		return false
	case len(d.Children) == 0:
		return true
	}
	return slices.ContainsFunc(d.Children, func(below device) bool { return below.leaves(allowed) })
}
