// Package child runs programs for the agent: mdadm, and plugins that strangers wrote. What a program may print,
// how long it may take and how much memory it may have are bounded, and when it ends nothing of its process
// group goes on.
//
// As the first process of a ramdisk the agent also buries every orphan of the machine. Children knows which dead
// are its own, whose ends somebody waits for, and Reap leaves those alone. It knows nothing of what programs are
// for: agent/plugin and agent/raid do.
package child
