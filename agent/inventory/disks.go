package inventory

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ingot/internal/agentapi"
)

// sector is the unit of every size in sysfs, whatever the disk's own sectors are.
const sector = 512

// notDisks are block devices that no image is ever written to: memory, loops, floppies, CD drives, arrays
// and maps on top of disks, and the boot areas of an eMMC.
var notDisks = regexp.MustCompile(`^(loop|ram|zram|fd|sr|md|dm-|nbd|pmem|mtdblock)[0-9]|^mmcblk[0-9]+(boot|rpmb)`)

// Disks lists the whole disks, in the kernel's order: those that an image may be written to and that are
// wiped. Virtual media of a BMC are not disks.
func (m Machine) Disks() ([]agentapi.Disk, error) {
	names, err := m.list("sys/block")
	if err != nil {
		return nil, fmt.Errorf("list disks: %w", err)
	}
	slices.SortFunc(names, kernelOrder)
	disks := []agentapi.Disk{}
	for _, name := range names {
		dir := filepath.Join("sys/block", name)
		size := m.number(dir+"/size") * sector
		kind := m.text(dir + "/device/type") // of SCSI devices only; 5 is a CD drive
		if notDisks.MatchString(name) || size <= 0 || kind == "5" || m.text(dir+"/hidden") == "1" {
			continue
		}
		if d := m.disk(name, dir, size); !virtualMedia(d) {
			disks = append(disks, d)
		}
	}
	return disks, nil
}

// NoDisks tells of drives that hold something and are not among the disks, by their device's name: why.
// Loops, memory and empty drives are not worth telling.
func (m Machine) NoDisks() map[string]string {
	names, err := m.list("sys/block")
	if err != nil {
		return nil // whoever lists the disks tells
	}
	why := map[string]string{}
	for _, name := range names {
		dir := filepath.Join("sys/block", name)
		size := m.number(dir+"/size") * sector
		if size <= 0 {
			continue
		}
		device := "/dev/" + strings.ReplaceAll(name, "!", "/")
		switch {
		case strings.HasPrefix(name, "sr") || m.text(dir+"/device/type") == "5":
			why[device] = "a CD drive"
		case strings.HasPrefix(name, "mmcblk") && notDisks.MatchString(name):
			why[device] = "a boot area of an eMMC"
		case notDisks.MatchString(name) || m.text(dir+"/hidden") == "1":
		case virtualMedia(m.disk(name, dir, size)):
			why[device] = "a virtual drive of the BMC"
		}
	}
	return why
}

// kernelOrder puts sdb before sdaa, as the kernel named them.
func kernelOrder(a, b string) int {
	if strings.HasPrefix(a, "sd") && strings.HasPrefix(b, "sd") && len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// Span is a run of bytes on a disk.
type Span struct{ Start, Size int64 }

// Partitions gives where the kernel sees partitions on a disk, in the order of their starts.
func (m Machine) Partitions(disk string) ([]Span, error) {
	dir := filepath.Join("sys/block", strings.ReplaceAll(strings.TrimPrefix(disk, "/dev/"), "/", "!"))
	entries, err := m.list(dir)
	if err != nil {
		return nil, fmt.Errorf("list partitions of %s: %w", disk, err)
	}
	var parts []Span
	for _, e := range entries {
		at := filepath.Join(dir, e)
		if _, err := os.Stat(m.path(at + "/partition")); err == nil {
			parts = append(parts, Span{m.number(at+"/start") * sector, m.number(at+"/size") * sector})
		}
	}
	slices.SortFunc(parts, func(a, b Span) int { return cmp.Compare(a.Start, b.Start) })
	return parts, nil
}

// virtualMedia tells a BMC's emulated USB drive. They call themselves "Virtual Floppy", "Virtual HDisk",
// "Virtual Media" and the like; a virtual machine's disks ("VMware Virtual disk") are not on USB.
func virtualMedia(d agentapi.Disk) bool {
	return d.Tran != nil && *d.Tran == "usb" && strings.Contains(strings.ToLower(d.Model), "virtual")
}

func (m Machine) disk(name, dir string, size int64) agentapi.Disk {
	real, err := filepath.EvalSymlinks(m.path(dir))
	if err != nil {
		real = ""
	}
	d := agentapi.Disk{
		Name:            "/dev/" + strings.ReplaceAll(name, "!", "/"), // sysfs has no slash in names
		Model:           m.text(dir + "/device/model"),
		Vendor:          some(m.text(dir + "/device/vendor")),
		Size:            size,
		Rotational:      m.text(dir+"/queue/rotational") == "1",
		LogicalSectors:  int(m.number(dir + "/queue/logical_block_size")),
		PhysicalSectors: int(m.number(dir + "/queue/physical_block_size")),
		ReadOnly:        m.text(dir+"/ro") == "1",
		Removable:       m.text(dir+"/removable") == "1",
		Tran:            some(transport(real)),
	}
	if hctl, err := m.list(dir + "/device/scsi_device"); err == nil && len(hctl) > 0 {
		d.HCTL = &hctl[0]
	}
	d.Serial = some(m.serial(dir))
	d.WWN, d.WWNVendorExtension, d.WWNWithExtension = wwn(first(m.text(dir+"/device/wwid"), m.text(dir+"/wwid")))
	d.ByPath = some(byPath(real, d.HCTL))
	return d
}

// serial looks where the kinds of disks have it: NVMe, virtio, and SCSI's vital product data page 0x80
// (4 bytes of header, of which the last two are the length; SPC-4 §7.8).
func (m Machine) serial(dir string) string {
	if s := first(m.text(dir+"/device/serial"), m.text(dir+"/serial")); s != "" {
		return s
	}
	page, err := os.ReadFile(m.path(dir + "/device/vpd_pg80"))
	if err != nil || len(page) < 4 {
		return ""
	}
	end := min(4+int(page[2])<<8+int(page[3]), len(page))
	return strings.Trim(strings.ToValidUTF8(string(page[4:end]), "?"), " \x00\t\n")
}

// wwn splits a World Wide Name as udev does: 16 hex digits, and the rest as the vendor's extension. Names
// other than NAA have no parts.
func wwn(id string) (short, extension, whole *string) {
	hex, naa := strings.CutPrefix(id, "naa.")
	switch {
	case id == "" || strings.HasPrefix(id, "t10."): // not world wide: made of vendor, model and serial
		return nil, nil, nil
	case !naa:
		return &id, nil, &id
	case len(hex) > 16:
		return some("0x" + hex[:16]), some("0x" + hex[16:]), some("0x" + hex)
	}
	return some("0x" + hex), nil, some("0x" + hex)
}

var pciFunction = regexp.MustCompile(`^[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$`)

// pciAddress is the innermost PCI function of a device's place in sysfs.
func pciAddress(real string) string {
	address := ""
	for part := range strings.SplitSeq(real, "/") {
		if pciFunction.MatchString(part) {
			address = part
		}
	}
	return address
}

// transports tell by a component of a disk's place in sysfs what it hangs on. The first that matches is
// right: a USB disk is a SCSI disk too.
var transports = []struct {
	part *regexp.Regexp
	tran string
}{
	{regexp.MustCompile(`^usb[0-9]`), "usb"},
	{regexp.MustCompile(`^nvme[0-9]`), "nvme"},
	{regexp.MustCompile(`^ata[0-9]`), "sata"},
	{regexp.MustCompile(`^session[0-9]`), "iscsi"},
	{regexp.MustCompile(`^rport-`), "fc"},
	{regexp.MustCompile(`^end_device-`), "sas"},
	{regexp.MustCompile(`^mmc[0-9]`), "mmc"},
	{regexp.MustCompile(`^virtio[0-9]`), "virtio"},
}

func transport(real string) string {
	parts := strings.Split(real, "/")
	for _, t := range transports {
		if slices.ContainsFunc(parts, t.part.MatchString) {
			return t.tran
		}
	}
	return ""
}

var ataPort = regexp.MustCompile(`/ata([0-9]+)/`)

// byPath names a disk by where it is plugged in, in the form of udev's /dev/disk/by-path links. The
// ramdisk has no udev, so the name is made here for the common kinds; "" for others.
func byPath(real string, hctl *string) string {
	pci := pciAddress(real)
	if pci == "" {
		return ""
	}
	at := "/dev/disk/by-path/pci-" + pci
	switch name := filepath.Base(real); {
	case transport(real) == "usb":
		return ""
	case strings.HasPrefix(name, "nvme"):
		if i := strings.LastIndex(name, "n"); i > 0 {
			return at + "-nvme-" + name[i+1:]
		}
	case ataPort.MatchString(real):
		return at + "-ata-" + ataPort.FindStringSubmatch(real)[1]
	case hctl != nil:
		// udev counts the host from the lowest of its parent; a controller that has one host is 0.
		_, rest, _ := strings.Cut(*hctl, ":")
		return at + "-scsi-0:" + rest
	}
	return at
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// Device places a disk's device path below Root.
func (m Machine) Device(name string) string { return m.path(name) }

// Array tells whether a disk's name is that of an array of disks, which no firmware can read.
func (m Machine) Array(disk string) bool {
	_, err := os.Stat(m.path("sys/block/" + strings.TrimPrefix(disk, "/dev/") + "/md"))
	return err == nil
}
