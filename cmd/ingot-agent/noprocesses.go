//go:build !processes

package main

import "ingot/agent/osinstall"

// plainInstaller: a plain process runs no scripts of OS definitions, for nothing would keep them from the host that it runs on.
func plainInstaller(string, *osinstall.Logs) *osinstall.Installer { return nil }
