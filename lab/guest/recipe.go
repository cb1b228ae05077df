package guest

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// recipeVersion changes when build code changes in a way that the hashed inputs below do not show.
const recipeVersion = "1"

// packages is what is asked of apt; recommendations are left out, so each line is here for a reason.
var packages = []string{
	"ca-certificates",       // https from user data
	"cloud-init",            // reads the config drive, or asks the metadata service
	"dbus",                  // hostnamectl, systemctl from a login
	"grub-efi-amd64-signed", // second boot loader, signed by Debian
	"initramfs-tools",       // finds the root file system on whatever disk it is
	"iproute2",              // cloud-init calls ip; so do people
	"iputils-ping",          // the first thing typed on a new machine
	"isc-dhcp-client",       // cloud-init asks a metadata service over a lease of its own, before the network is configured
	"openssh-server",        //
	"shim-signed",           // first boot loader, signed by Microsoft's UEFI CA
	"sudo",                  // the debian user
	"systemd-resolved",      // name servers from network_data.json
	"systemd-sysv",          //
	"udev",                  //
	"zstd",                  // a small initramfs
	"cloud-guest-utils",     // growpart, for those who ask for it in user data
	"less",                  // a person logs in
	"vim-tiny",              //
}

// excluded paths are not unpacked: they are read by nobody on a lab machine, and every byte of the image
// is written through an emulated disk.
var excluded = []string{"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*"}

// masked units cost seconds at the first boot of an emulated machine and do nothing for a new one.
var masked = []string{
	"apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
	"fstrim.timer", "cloud-init-hotplugd.socket", "systemd-pstore.service", "grub-common.service", "grub-initrd-fallback.service",
}

// enabled units, with the target that wants them.
var enabled = map[string]string{
	"systemd-networkd.service":             "multi-user.target.wants",
	"systemd-networkd.socket":              "sockets.target.wants",
	"systemd-networkd-wait-online.service": "network-online.target.wants",
	"systemd-resolved.service":             "sysinit.target.wants",
}

// tree is laid over the unpacked packages as it is.
//
//go:embed all:files
var tree embed.FS

// layout is where things lie on the disk, in bytes. Both starts are multiples of 1 MiB.
type layout struct {
	total     int64
	espStart  int64
	espSize   int64
	rootStart int64
	rootSize  int64 // up to the last MiB, which is the backup partition table's
}

const mib = 1 << 20

func layoutFor(total int64) layout {
	l := layout{total: total, espStart: 1 * mib, espSize: 48 * mib}
	l.rootStart = l.espStart + l.espSize
	l.rootSize = total - mib - l.rootStart
	return l
}

// recipe is everything on our side that decides what the image holds.
type recipe struct {
	suite    string
	kernel   string
	size     int64 // bytes
	packages []string
}

func newRecipe(o Options) recipe {
	r := recipe{suite: o.Suite, kernel: o.Kernel, size: int64(o.SizeMiB) * mib}
	r.packages = append(r.packages, packages...)
	r.packages = append(r.packages, o.Kernel)
	r.packages = append(r.packages, o.Packages...)
	slices.Sort(r.packages)
	r.packages = slices.Compact(r.packages)
	return r
}

// key names the recipe's result in the cache: 16 hex digits.
func (r recipe) key() string {
	h := sha256.New()
	fmt.Fprintln(h, recipeVersion, r.suite, r.size, r.packages, excluded, masked)
	for _, unit := range sortedKeys(enabled) {
		fmt.Fprintln(h, unit, enabled[unit])
	}
	walkTree(func(name string, data []byte) error {
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
		return nil
	})
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// id derives a UUID for one part of the disk from the recipe, so that two builds of one recipe agree.
func (r recipe) id(part string) string {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("ingot guest "+r.key()+" "+part)).String()
}

// fill puts the recipe's values into a file of the tree.
func (r recipe) fill(text string) string {
	return strings.NewReplacer("@ROOT_UUID@", r.id("root"), "@ESP_ID@", r.volumeID(), "@SUITE@", r.suite).Replace(text)
}

// volumeID is the ESP's FAT serial in the form that mkfs.vfat takes: eight hex digits.
func (r recipe) volumeID() string { return strings.ToUpper(r.id("esp")[:8]) }

// walkTree calls f for every file of the tree, in order, with its path as it is in the image ("/etc/fstab").
func walkTree(f func(name string, data []byte) error) error {
	return fs.WalkDir(tree, "files", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := tree.ReadFile(p)
		if err != nil {
			return err
		}
		return f(path.Clean("/"+strings.TrimPrefix(p, "files")), data)
	})
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
