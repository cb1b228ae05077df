// Package confine runs the scripts of OS definitions on the machine that is being installed.
//
// Run is for a stranger's script. It is root of nothing but namespaces of its own, sees the system's programs read-only, the disks
// that it was given and no others, and a network with one address where the channel answers. It may use so much memory, so many
// processes and so much scratch space, and is dead with all that it started when it ends or its time does. What cannot be made as it
// should be is an error: a script is confined or does not run. Programs do most of it: bubblewrap makes mounts and namespaces, the
// kernel's control groups the bounds and the end. docs/decisions/0069-what-confines-a-script.md says what holds it and why.
//
// RunTrusted is for a script that an administrator trusts. It has the rights of the ramdisk, but it, too, gets nothing but the
// environment it is given, and nothing of it is left when it ends: no process and no mount.
//
// The package knows nothing of OS definitions: agent/osinstall does, and calls it. It needs the ramdisk whose first process is
// systemd.
package confine
