// Package ramdisk makes the ramdisks and their boot ISOs from a distribution's packages, as files.
//
// Build takes a signed kernel, its modules, shim, GRUB and a CA bundle (from Debian's packages, or given
// as files) and our agent, and leaves a folder with kernel, initramfs, boot.iso and manifest.json. The
// same inputs give the same bytes: everything is sorted, owned by root and dated 1980.
//
// There are two kinds. The initramfs of the kind debian is a whole Debian with tools, for a person to log in to, and for scripts of OS definitions: mmdebstrap
// installs its packages into a tar, which is kept for the next time (base.go); what is the builder's and what would start by
// itself is left out of it (system.go); our units, the user rescue and the kernel's modules are laid over (lay.go). systemd
// is /init there, and the agent a unit. This is the one thing here that needs root or user namespaces.
//
// In the initramfs of the kind deploy, which needs neither and mounts nothing, the agent is /init, a static program. It finds
//
//	/etc/ingot/modules        kernel modules in load order, one a line: absolute path, and after a
//	                          space, if any, its parameters as finit_module takes them
//	/etc/ingot/release        the kernel's release, one line
//	/etc/ssl/certs/ca-certificates.crt
//	/lib/modules/<release>/   those modules, as the distribution signed them (no modprobe, no modules.dep)
//	/dev, /proc, /sys, /run, /tmp, /mnt   empty but for /dev/console and /dev/null
//
// Modules that ask for others at run time (request_module) find no modprobe: what they ask for is in the
// list too. Loading one may well fail: ENODEV where a processor feature or a hypervisor is absent, then
// ENOENT for what builds on it. Neither is a reason to stop.
//
// It is not for serving the ISO (depot does, and owns the manifest and the placeholders) and not for
// instance images. The command "ingot ramdisk build" calls it.
package ramdisk
