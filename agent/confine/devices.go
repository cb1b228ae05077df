package confine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ingot/internal/fault"

	"golang.org/x/sys/unix"
)

// linkFolders are where links to disks are that last: a script finds those of its own disks there. A link by label would be a name that
// somebody wrote on the disk.
var linkFolders = []string{"disk/by-id", "disk/by-path"}

// device is a block device that a script may use.
type device struct {
	name   string // below /dev
	number uint64
	links  []string // below /dev
}

// findDevices gives the devices that paths name, and their partitions, with the links to them.
func findDevices(root string, paths []string) ([]device, error) {
	dev := filepath.Join(root, "dev")
	links := map[string][]string{} // by what they lead to
	for _, folder := range linkFolders {
		entries, err := os.ReadDir(filepath.Join(dev, folder))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if to, err := filepath.EvalSymlinks(filepath.Join(dev, folder, e.Name())); err == nil {
				links[to] = append(links[to], filepath.Join(folder, e.Name()))
			}
		}
	}
	var out []device
	for _, p := range paths {
		found, err := findDevice(root, p)
		if err != nil {
			return nil, fault.Wrap(fault.Invalid, err, "%q is no disk that a script can be given.", p)
		}
		for _, d := range found {
			i := slices.IndexFunc(out, func(o device) bool { return o.name == d.name })
			if i < 0 {
				d.links = links[filepath.Join(dev, d.name)]
				out, i = append(out, d), len(out)
			}
			// The path as it was given leads to the first that was found, the device itself.
			if rel, err := filepath.Rel(dev, filepath.Join(root, p)); err == nil && d.name == found[0].name && rel != d.name && !slices.Contains(out[i].links, rel) {
				out[i].links = append(out[i].links, rel)
			}
		}
	}
	return out, nil
}

// findDevice is one device with its partitions.
func findDevice(root, path string) ([]device, error) {
	if !strings.HasPrefix(path, "/dev/") || filepath.Clean(path) != path {
		return nil, errors.New("it is not below /dev")
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(root, path), &st); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil, errors.New("it is no block device")
	}
	at, err := filepath.EvalSymlinks(filepath.Join(root, fmt.Sprintf("sys/dev/block/%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))))
	if err != nil {
		return nil, err
	}
	out := []device{{name: nodeName(at), number: st.Rdev}}
	below, err := os.ReadDir(at)
	if err != nil {
		return nil, err
	}
	for _, b := range below {
		if _, err := os.Stat(filepath.Join(at, b.Name(), "partition")); err != nil {
			continue
		}
		number, err := readNumber(filepath.Join(at, b.Name(), "dev"))
		if err != nil {
			return nil, err
		}
		out = append(out, device{name: nodeName(b.Name()), number: number})
	}
	return out, nil
}

// nodeName is the name below /dev of a device's folder in sysfs, which has ! where /dev has /.
func nodeName(at string) string { return strings.ReplaceAll(filepath.Base(at), "!", "/") }

func readNumber(path string) (uint64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	major, minor, _ := strings.Cut(strings.TrimSpace(string(b)), ":")
	a, err := strconv.ParseUint(major, 10, 32)
	if err != nil {
		return 0, err
	}
	i, err := strconv.ParseUint(minor, 10, 32)
	if err != nil {
		return 0, err
	}
	return unix.Mkdev(uint32(a), uint32(i)), nil
}
