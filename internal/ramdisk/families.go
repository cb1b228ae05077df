package ramdisk

import (
	"path"
	"slices"
	"strings"
)

// notRescued are the folders of kernel modules that a rescue has no use for, below a release's folder "kernel": more than
// half of a kernel's size. What a module outside them depends on comes all the same.
var notRescued = []want{
	{"arch/x86/kvm", "no virtual machines"},
	{"drivers/android", "no phone"},
	{"drivers/bluetooth", "no radio"},
	{"drivers/comedi", "measuring instruments"},
	{"drivers/gpu", "the firmware's frame buffer is enough"},
	{"drivers/greybus", "no phone"},
	{"drivers/iio", "sensors"},
	{"drivers/infiniband", "no address that the agent could configure"},
	{"drivers/input/joystick", "no games"},
	{"drivers/input/tablet", "no drawing"},
	{"drivers/input/touchscreen", "no touch"},
	{"drivers/isdn", "no telephone"},
	{"drivers/media", "no pictures"},
	{"drivers/mtd", "flash chips"},
	{"drivers/net/can", "no vehicle"},
	{"drivers/net/ieee802154", "no radio"},
	{"drivers/net/wireless", "no radio"},
	{"drivers/net/wwan", "no radio"},
	{"drivers/nfc", "no radio"},
	{"drivers/pcmcia", "no laptop"},
	{"drivers/parport", "no printer"},
	{"drivers/ssb", "no radio"},
	{"drivers/staging", "not finished"},
	{"drivers/target", "serves disks, does not use them"},
	{"drivers/usb/gadget", "the other end of USB"},
	{"drivers/usb/misc", "toys"},
	{"drivers/vhost", "no virtual machines"},
	{"drivers/video/fbdev", "the firmware's frame buffer is enough"},
	{"drivers/xen", "a domain is no bare machine"},
	{"fs/afs", "file systems of networks that nobody mounts here"},
	{"fs/ceph", "the same"},
	{"fs/dlm", "clusters"},
	{"fs/gfs2", "clusters"},
	{"fs/nfsd", "serves files"},
	{"fs/ocfs2", "clusters"},
	{"fs/orangefs", "clusters"},
	{"fs/ubifs", "flash chips"},
	{"lib", "tests, mostly; what is needed of it comes with who needs it"},
	{"net/atm", "no telephone"},
	{"net/ax25", "no radio"},
	{"net/batman-adv", "no radio"},
	{"net/bluetooth", "no radio"},
	{"net/can", "no vehicle"},
	{"net/ceph", "clusters"},
	{"net/ieee802154", "no radio"},
	{"net/mac80211", "no radio"},
	{"net/mac802154", "no radio"},
	{"net/netrom", "no radio"},
	{"net/nfc", "no radio"},
	{"net/rose", "no radio"},
	{"net/rxrpc", "see fs/afs"},
	{"net/sctp", "nobody speaks it in a rescue"},
	{"net/tipc", "clusters"},
	{"net/wireless", "no radio"},
	{"sound", "no sound"},
}

// rescued gives all modules but those of notRescued, in an order that holds each after what it depends on.
func (t *moduleTree) rescued() ([]string, error) {
	p := picker{tree: t, done: map[string]bool{}}
	names := make([]string, 0, len(t.files))
	for name := range t.files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		file := t.files[name]
		if slices.ContainsFunc(notRescued, func(w want) bool { return strings.HasPrefix(file, path.Join("kernel", w.name)+"/") }) {
			continue
		}
		if err := p.add(name, nil); err != nil {
			return nil, err
		}
	}
	return p.order, nil
}
