// Package rescue hands a machine to its tenant: the account that may log in, the services that let it, and the note that
// the machine is handed over.
//
// It changes files of the ramdisk, all of which is in memory, and asks systemd for what the ramdisk was built to start
// (ingot-rescue.target). In a ramdisk of Ironic's own layout, with the directory /etc/ipa-rescue-config, the file that its
// units watch is written too, and nothing need be started. It knows no HTTP and makes no network; cmd/ingot-agent gives
// it to agent/steps.
//
// The password's hash is in no error and no argument of a program; it is written to shadow(5), and to the file of the other
// layout where there is one. A rescue that fails leaves the account locked, so that nobody logs in to half of one.
package rescue
