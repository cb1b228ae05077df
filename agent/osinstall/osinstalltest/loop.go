package osinstalltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"ingot/agent/osinstall"
	"ingot/internal/agentapi"
)

// OnLoop lets an overlay work on a disk that is a file: by a loop device, while it does, of its first partition that is no EFI system
// partition, or of all of it where it has none. The kernel need not show partitions of loop devices, and in a container nobody makes
// their names. Only root can.
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
		part, err := firstPart(ctx, disk)
		if err != nil {
			return done, err
		}
		out, err := exec.CommandContext(ctx, "losetup", slices.Concat([]string{"--find", "--show"}, part, []string{disk})...).CombinedOutput()
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

// firstPart are the arguments of losetup for the partition that a system is on.
func firstPart(ctx context.Context, disk string) ([]string, error) {
	out, err := exec.CommandContext(ctx, "sfdisk", "--json", disk).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) { // there is no table
		return nil, nil
	}
	var dump struct {
		Table struct {
			SectorSize int64 `json:"sectorsize"`
			Partitions []struct {
				Start, Size int64
				Type        string
			}
		} `json:"partitiontable"`
	}
	if err == nil {
		err = json.Unmarshal(out, &dump)
	}
	if err != nil {
		return nil, fmt.Errorf("sfdisk: %w", err)
	}
	for _, p := range dump.Table.Partitions {
		if strings.EqualFold(p.Type, espType) {
			continue
		}
		size := max(dump.Table.SectorSize, 512)
		return []string{"--offset", strconv.FormatInt(p.Start*size, 10), "--sizelimit", strconv.FormatInt(p.Size*size, 10)}, nil
	}
	return nil, fmt.Errorf("%s has no partition for a system", disk)
}

// espType is the type of an EFI system partition. Source: UEFI specification 2.10, table 5-6.
const espType = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
