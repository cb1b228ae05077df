// Package installed finds the system that is installed on a machine's disks, from a ramdisk, and mounts it: the command
// "rescue-disks" of the Debian ramdisk, for whoever was let in to repair a machine; and Open, for who writes into the system
// that was just installed on one disk (agent/overlay).
//
// It looks before it touches: arrays are assembled and volumes activated read-only, file systems are mounted without replaying
// their journals. Writing is possible only after "mount --rw". What it reads of a disk (fstab above all) is a stranger's: paths
// are followed within the mounted root only and through no link, devices are devices of this machine, and file systems are of
// the few kinds that are named here.
//
// Open has no such patience: what it cannot find, or cannot tell from another, is an error, and what it cannot mount of the system
// cannot be written to.
//
// It is not for writing images or erasing (agent/disk, agent/erase). cmd/ingot-agent calls Main when it is called by that name.
package installed
