package installed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const maxLines = 200 // of an fstab

// System is the system that is installed on a disk, mounted for writing.
type System struct {
	Root   string // where its root is now
	Device string // that the root lies on
	Name   string // of the distribution
	// Left is what of it could not be mounted, by its place in the system: why. Nothing can be written there, for an empty
	// read-only file system covers it.
	Left map[string]string

	w work
}

// Open finds the system on the first of some disks, and what its fstab names, and mounts it below a folder of its own. Nothing is mounted
// that lies on another disk, in whole or in part: the fstab is a stranger's, who may not write there. It is an error if there is no
// system that can be mounted here, or more than one. Close takes everything away again.
func Open(ctx context.Context, disks []string) (*System, error) {
	if len(disks) == 0 {
		return nil, errors.New("there is no disk to look for an installed system on")
	}
	disk := disks[0]
	var said strings.Builder
	w := work{out: &said, run: program, add: ",nosuid,nodev,noexec"}
	quiet := w
	quiet.out = io.Discard // an array that misses a disk may have nothing to do with this one
	quiet.awake(ctx)
	all, err := w.probed(ctx, disks, disks)
	if err != nil {
		return nil, err
	}
	mine, err := w.probed(ctx, disks[:1], disks)
	if err != nil {
		return nil, err
	}
	found, err := w.roots(ctx, mine)
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, fmt.Errorf("no installed system that can be mounted here is found on %s%s", disk, holds(mine, said.String()))
	case len(found) > 1:
		names := make([]string, 0, len(found))
		for _, r := range found {
			names = append(names, fmt.Sprintf("%s (%s)", r.device.Path, r.name))
		}
		return nil, fmt.Errorf("several systems are installed on %s, and which one is meant cannot be told: %s", disk, strings.Join(names, ", "))
	}
	if w.at, err = os.MkdirTemp("", "installed-"); err != nil {
		return nil, err
	}
	r := found[0]
	s := &System{Root: w.at, Device: r.device.Path, Name: r.name, Left: map[string]string{}, w: w}
	if err := w.one(ctx, r.device.Path, r.device.FSType, r.subvol, w.at, true); err != nil {
		return nil, errors.Join(err, os.Remove(w.at))
	}
	if err := s.parts(ctx, mine, all); err != nil {
		return nil, errors.Join(err, s.Close(ctx))
	}
	return s, nil
}

// Close writes what is still in memory, and takes the mounts away, also after ctx has ended.
func (s *System) Close(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if _, err := s.w.run(ctx, "umount", "--recursive", s.Root); err != nil {
		return fmt.Errorf("the installed system at %s is not unmounted: %w", s.Root, err)
	}
	return os.Remove(s.Root)
}

// holds says what is on a disk instead of a system.
func holds(devices []device, said string) string {
	var there []string
	for _, d := range devices {
		if _, ok := kinds[d.FSType]; !ok && d.FSType != "" {
			there = append(there, fmt.Sprintf("%s holds %s, which is not mounted here", d.Path, printable(d.FSType)))
		}
	}
	for l := range strings.Lines(said) {
		there = append(there, printable(strings.TrimSpace(l)))
	}
	if len(there) == 0 {
		return ""
	}
	return ": " + strings.Join(there, "; ")
}

// probed lists what lies on some disks, and on none that is not allowed, and asks each itself for what it holds: what udev noted may be
// older than what was written.
func (w work) probed(ctx context.Context, disks, allowed []string) ([]device, error) {
	out, err := w.run(ctx, "lsblk", append([]string{"--json", "--output", "PATH,TYPE,RO"}, disks...)...)
	if err != nil {
		return nil, err
	}
	list, err := parseDevices(out)
	if err != nil {
		return nil, err
	}
	is := func(path string) bool {
		return slices.ContainsFunc(allowed, func(d string) bool { return samePath(d, path) })
	}
	if list, err = w.within(ctx, list, is); err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].Type == "rom" {
			continue
		}
		out, err := w.run(ctx, "blkid", "--probe", "--output", "export", list[i].Path)
		if err != nil && exitCode(err) < 0 {
			return nil, err
		}
		list[i].tags(string(out)) // of one that holds nothing, or several things, it says nothing
	}
	return list, nil
}

// tags reads blkid's answer. Source of the form: blkid(8), output format "export".
func (d *device) tags(text string) {
	for l := range strings.Lines(text) {
		word, value, _ := strings.Cut(strings.TrimSpace(l), "=")
		switch word {
		case "TYPE":
			d.FSType = value
		case "UUID":
			d.UUID = value
		case "LABEL":
			d.label = value
		case "PART_ENTRY_UUID":
			d.partUUID = value
		case "PART_ENTRY_NAME":
			d.partLabel = value
		}
	}
}

// is tells whether a line of an fstab names the device.
func (d device) is(source string) bool {
	word, value, ok := strings.Cut(source, "=")
	value = strings.Trim(value, `"`)
	switch {
	case !ok:
		return devicePath(source) != "" && samePath(source, d.Path)
	case value == "" || !tagValue.MatchString(value):
		return false
	case word == "UUID":
		return value == d.UUID
	case word == "LABEL":
		return value == d.label
	case word == "PARTUUID":
		return strings.EqualFold(value, d.partUUID)
	case word == "PARTLABEL":
		return value == d.partLabel
	}
	return false
}

// named is the device that a line of an fstab names. Another disk may hold a copy of the same: the root's own disk goes first.
func named(source string, mine, all []device) (device, error) {
	for _, list := range [][]device{mine, all} {
		found := slices.DeleteFunc(slices.Clone(list), func(d device) bool { return !d.is(source) })
		switch len(found) {
		case 0:
		case 1:
			return found[0], nil
		default:
			return device{}, fmt.Errorf("%q is %s as well as %s", printable(source), found[0].Path, found[1].Path)
		}
	}
	return device{}, fmt.Errorf("%q is on no disk that may be written to here", printable(source))
}

func samePath(a, b string) bool {
	real, err := filepath.EvalSymlinks(a)
	if err != nil {
		return false
	}
	other, err := filepath.EvalSymlinks(b)
	return err == nil && real == other
}

// virtual are the file systems of an fstab that lie on nothing, and that nobody puts files into beforehand.
var virtual = []string{"swap", "proc", "sysfs", "devpts", "devtmpfs", "cgroup", "cgroup2", "efivarfs", "debugfs", "tracefs", "securityfs", "hugetlbfs", "mqueue"}

// parts mounts what the fstab names below the root. What cannot be mounted is covered.
func (s *System) parts(ctx context.Context, mine, all []device) error {
	fstab, err := readBelow(s.Root, "etc/fstab")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	lines := slices.DeleteFunc(readFstab(fstab), func(l line) bool {
		return l.at == "/" || !path.IsAbs(l.at) || slices.Contains(virtual, l.kind)
	})
	slices.SortStableFunc(lines, func(a, b line) int { return strings.Count(a.at, "/") - strings.Count(b.at, "/") })
	if len(lines) > maxLines {
		return fmt.Errorf("the fstab of the installed system has more than %d lines", maxLines)
	}
	seen := map[string]bool{}
	for _, l := range lines {
		if seen[l.at] {
			continue
		}
		seen[l.at] = true
		at, err := s.place(l.at)
		if err != nil {
			return fmt.Errorf("nothing can be mounted at %s of the installed system: %w", printable(l.at), err)
		}
		why := s.part(ctx, mine, all, l, at)
		if why == nil {
			continue
		}
		s.Left[l.at] = printable(why.Error())
		if err := unix.Mount("none", at, "tmpfs", unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4k,mode=0755"); err != nil {
			return fmt.Errorf("cover %s: %w", printable(l.at), err)
		}
	}
	return nil
}

// place is where a folder of the installed system is now: links lead where they lead in it. One that is missing is made, as systemd
// does when it mounts.
func (s *System) place(at string) (string, error) {
	if at == "/" {
		return s.Root, nil
	}
	dir, err := openBelow(s.Root, at, unix.O_PATH|unix.O_DIRECTORY, unix.RESOLVE_IN_ROOT)
	if errors.Is(err, fs.ErrNotExist) {
		parent, err := s.place(path.Dir(at))
		if err != nil {
			return "", err
		}
		to := filepath.Join(parent, path.Base(at))
		return to, os.Mkdir(to, 0o755)
	}
	if err != nil {
		return "", err
	}
	defer dir.Close()
	return os.Readlink("/proc/self/fd/" + strconv.Itoa(int(dir.Fd())))
}

// part mounts what one line names.
func (s *System) part(ctx context.Context, mine, all []device, l line, at string) error {
	if l.odd {
		return errors.New("its options say more of what is mounted than is understood here")
	}
	d, err := named(l.source, mine, all)
	if err != nil {
		return err
	}
	if _, ok := kinds[d.FSType]; !ok {
		return fmt.Errorf("%s holds %q, which is not mounted here", d.Path, printable(d.FSType))
	}
	return s.w.one(ctx, d.Path, d.FSType, l.subvol, at, true)
}
