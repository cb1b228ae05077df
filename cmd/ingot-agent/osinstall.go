package main

import "ingot/agent/osinstall"

// definitionsDir is where OS definitions are unpacked: in memory, and root's alone.
const definitionsDir = "/run/ingot-agent/os"

// installer does the work of OS definitions on a machine whose ramdisk has a system of its own. kept takes what scripts say.
func installer(kept *osinstall.Logs) *osinstall.Installer {
	return &osinstall.Installer{Temp: definitionsDir, Host: osinstall.OnLoopback, Logs: kept}
}
