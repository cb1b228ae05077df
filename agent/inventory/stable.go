package inventory

import (
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// stableKinds are the names of disks that do not change from boot to boot, the best first: by a number that no other disk has, by model
// and serial number, by where it is plugged in. Source: systemd, rules.d/60-persistent-storage.rules.
var stableKinds = []string{"by-id/wwn-", "by-id/nvme-eui.", "by-id/nvme-uuid.", "by-id/md-uuid-", "by-id/nvme-", "by-id/ata-", "by-id/scsi-", "by-id/virtio-", "by-id/", "by-path/"}

var partitionLink = regexp.MustCompile(`-part[0-9]+$`)

// Stable is a device path of a disk that does not depend on the order in which disks were found, if udev made one; else it is the disk's
// name.
func (m Machine) Stable(disk string) string {
	device, err := filepath.EvalSymlinks(m.path(disk))
	if err != nil {
		return disk
	}
	var links []string
	for _, dir := range []string{"by-id", "by-path"} {
		entries, err := os.ReadDir(m.path("dev/disk/" + dir))
		if err != nil {
			continue // there is no udev, or no disk with an id
		}
		for _, e := range entries {
			link := dir + "/" + e.Name()
			if to, err := filepath.EvalSymlinks(m.path("dev/disk/" + link)); err == nil && to == device && !partitionLink.MatchString(link) {
				links = append(links, link)
			}
		}
	}
	if len(links) == 0 {
		return disk
	}
	kind := func(link string) int {
		return slices.IndexFunc(stableKinds, func(k string) bool { return strings.HasPrefix(link, k) })
	}
	return "/dev/disk/" + slices.MinFunc(links, func(a, b string) int { return cmp.Or(cmp.Compare(kind(a), kind(b)), cmp.Compare(a, b)) })
}
