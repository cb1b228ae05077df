package osinstalltest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"ingot/agent/osinstall"
	"ingot/internal/agentapi"
)

// OnLoop lets an overlay work on a disk that is a file: by a loop device, while it does. Only root can.
func OnLoop(apply osinstall.Overlay) osinstall.Overlay {
	return func(ctx context.Context, p agentapi.OSPackage, disks []string, progress func(agentapi.Progress)) (done agentapi.OSOverlay, err error) {
		disk := disks[0]
		info, err := os.Stat(disk)
		if err != nil {
			return done, err
		}
		if !info.Mode().IsRegular() {
			return apply(ctx, p, disks, progress)
		}
		out, err := exec.CommandContext(ctx, "losetup", "--find", "--show", "--partscan", disk).CombinedOutput()
		if err != nil {
			return done, fmt.Errorf("losetup: %w: %s", err, out)
		}
		device := strings.TrimSpace(string(out))
		defer func() {
			if out, late := exec.CommandContext(context.WithoutCancel(ctx), "losetup", "--detach", device).CombinedOutput(); late != nil && err == nil {
				err = fmt.Errorf("losetup: %w: %s", late, out)
			}
		}()
		return apply(ctx, p, []string{device}, progress)
	}
}
