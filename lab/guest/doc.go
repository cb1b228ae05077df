// Package guest makes the operating system that the lab and the demo deploy: a real Debian whole-disk
// image with systemd, cloud-init and sshd, from Debian's own packages, that boots under UEFI Secure Boot.
//
// Nothing is mounted and no loop device is used: mmdebstrap fills a folder, mke2fs and mtools copy it into
// a sparse file that sgdisk partitioned. The packages come from wherever the host's own apt gets them, with
// the host's keys; no address is written here or into the image. Building needs root (files in the image
// belong to many users) and a few tools, which the error names when one is missing.
//
// A finished image is kept in a cache under a name that is a hash of everything that decides its content on
// our side: the package list, the files of this recipe, the size. It is hashed again on every use, so a
// damaged cache is rebuilt and not deployed. What the archive serves is not part of the name: Options.Fresh
// builds anew when newer packages are wanted.
//
// It is for the lab, the demo and tests. It is not what makes ramdisks (internal/ramdisk) and no control
// plane code may need it. The command line (cmd/ingot) and lab/demo call it.
package guest
