package metal

import (
	"net/url"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// InstallerFile is a file of an installer that a machine boots which installs itself, as its user names it in instance_info.
type InstallerFile struct {
	Field    string // of instance_info
	URL      string
	Checksum string // in the forms of image checksums; "auto" where none is given
}

// The fields of instance_info that name an installer. That with the checksum of each has the suffix _checksum.
const (
	InstallerISO     = "boot_iso"
	InstallerKernel  = "kernel"
	InstallerRamdisk = "ramdisk"
)

// HasInstaller: the node's instance_info names an installer, whether the machine can boot it or not.
func HasInstaller(n *Node) bool {
	return slices.ContainsFunc([]string{InstallerISO, InstallerKernel, InstallerRamdisk}, func(field string) bool { return n.InstanceInfo.Public(field) != "" })
}

// InstallerOf is what a node's machine boots that installs itself: the ISO by virtual media and by UEFI HTTP boot, kernel and ramdisk by
// iPXE. The errors say what to give, or which boot interface boots what is given.
func InstallerOf(n *Node) ([]InstallerFile, error) {
	boot, iso := n.Interface("boot"), n.InstanceInfo.Public(InstallerISO)
	parts := n.InstanceInfo.Public(InstallerKernel) != "" || n.InstanceInfo.Public(InstallerRamdisk) != ""
	fields := []string{InstallerISO}
	switch {
	case boot == BootPXE:
		return nil, fault.New(fault.NotSupported, "The boot interface pxe of node %s boots no installers, only ramdisks of ours: set it to ipxe or http-ipxe and give the installer as kernel and ramdisk, or to http or redfish-virtual-media and give it as boot_iso.", n.UUID)
	case boot == BootIPXE || boot == BootHTTPIPXE:
		if fields = []string{InstallerKernel, InstallerRamdisk}; iso != "" {
			return nil, fault.New(fault.Invalid, "Node %s has boot_iso in its instance_info, and its boot interface %s boots an installer's kernel and ramdisk: give both in place of boot_iso, or set the boot interface to http or redfish-virtual-media.", n.UUID, boot)
		}
	case iso == "" && parts:
		return nil, fault.New(fault.Invalid, "Node %s has kernel or ramdisk in its instance_info, and its boot interface %s boots a whole ISO: set boot_iso, or set the boot interface to ipxe or http-ipxe.", n.UUID, boot)
	}
	if network := n.Interface("network"); slices.Contains([]string{BootHTTP, BootIPXE, BootHTTPIPXE}, boot) && network == "neutron" {
		return nil, fault.New(fault.NotSupported, "Node %s boots its installer from its user's network, which is Neutron's, where boot files are not served: set the boot interface to redfish-virtual-media, or the network interface to flat, noop or vswitch.", n.UUID)
	}
	out := make([]InstallerFile, len(fields))
	for i, field := range fields {
		f := InstallerFile{Field: field, URL: n.InstanceInfo.Public(field), Checksum: n.InstanceInfo.Public(field + "_checksum")}
		if f.Checksum == "" {
			f.Checksum = "auto"
		}
		switch u, err := url.Parse(f.URL); {
		case f.URL == "":
			return nil, fault.New(fault.Invalid, "Node %s has no installer to boot: set %s in its instance_info to %s.", n.UUID, strings.Join(fields, " and "), map[bool]string{true: "the URL of its ISO", false: "the URLs of its kernel and initramfs"}[len(fields) == 1])
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			return nil, fault.New(fault.Invalid, "The %s in the instance_info of node %s is not an http or https URL.", field, n.UUID)
		case u.User != nil:
			return nil, fault.New(fault.Invalid, "The %s in the instance_info of node %s has a user in its URL: put the installer where it can be fetched without.", field, n.UUID)
		}
		out[i] = f
	}
	return out, nil
}
