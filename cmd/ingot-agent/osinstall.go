package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"

	"ingot/agent/child"
	"ingot/agent/confine"
	"ingot/agent/loopback"
	"ingot/agent/osinstall"
	"ingot/agent/overlay"
	"ingot/internal/channel"
	"ingot/internal/osdef"
)

// definitionsDir is where OS definitions are unpacked: in memory, and root's alone.
const definitionsDir = "/run/ingot-agent/os"

// installer does the work of OS definitions on a machine whose ramdisk has a system of its own. kept takes what scripts say.
func installer(kept *osinstall.Logs, children *child.Children, log *slog.Logger) *osinstall.Installer {
	if err := os.RemoveAll(definitionsDir); err != nil { // of an agent that died in the middle of one
		log.Warn("what a former life unpacked is not removed", "error", err)
	}
	packages, run := overlay.Overlay{Log: log}, programs(children)
	return &osinstall.Installer{
		Runner:  osinstall.Confined{Confiner: &confine.Confiner{}},
		Settle:  func(ctx context.Context) error { return run(ctx, "udevadm", "settle", "--timeout=30") }, // an image was written a moment ago
		Lay:     func(files []osdef.File) error { return osinstall.LayOver("/", files) },
		Temp:    definitionsDir,
		Host:    onLoopback,
		Overlay: packages.Apply,
		Logs:    kept,
	}
}

// onLoopback listens where trusted scripts find the channel.
func onLoopback(ctx context.Context) (net.Listener, error) {
	return loopback.Listen(ctx, netip.MustParseAddrPort(channel.Address))
}
