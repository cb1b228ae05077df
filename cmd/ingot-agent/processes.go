//go:build processes

package main

import (
	"os"
	"path/filepath"

	"ingot/agent/osinstall"
	"ingot/agent/osinstall/osinstalltest"
	"ingot/agent/overlay"
)

// plainInstaller runs scripts as processes of this host, confined by nothing: for tests with definitions of their own. A package goes
// onto a disk that is a file by a loop device.
func plainInstaller(root string, kept *osinstall.Logs) *osinstall.Installer {
	runner := &osinstalltest.Processes{Note: filepath.Join(root, "run")}
	return &osinstall.Installer{Runner: runner, Temp: os.TempDir(), Host: runner.Host, Overlay: osinstalltest.OnLoop((&overlay.Overlay{}).Apply), Logs: kept}
}
