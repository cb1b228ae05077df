package steps

import (
	"context"
	"encoding/json"
	"slices"

	"ingot/agent/server"
	"ingot/internal/agentapi"
	"ingot/internal/osdef"
)

// osWork is one of the installer's methods.
type osWork func(context.Context, agentapi.OSWork, func(agentapi.Progress)) (agentapi.OSResult, error)

// ofDefinition makes a command of one. Its errors hold nothing of the parameters: there are private and secret ones. What came is
// overwritten when it is read.
func ofDefinition(run osWork) func(context.Context, json.RawMessage, func(agentapi.Progress)) (any, error) {
	return func(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
		var w agentapi.OSWork
		err := json.Unmarshal(raw, &w)
		clear(raw)
		if err != nil {
			return nil, server.Error("InvalidCommandParamsError", "the parameters are not those of a command about an OS definition")
		}
		return run(ctx, w, progress)
	}
}

// osVerify and those below it look for the installer when they run: a ramdisk without one refuses them before.
func (s *Steps) osVerify(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return s.OS.Verify(ctx, w, progress)
}

func (s *Steps) osInstall(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return s.OS.Install(ctx, w, progress)
}

func (s *Steps) osExport(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return s.OS.Export(ctx, w, progress)
}

func (s *Steps) osImport(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return s.OS.Import(ctx, w, progress)
}

func (s *Steps) osRename(ctx context.Context, w agentapi.OSWork, progress func(agentapi.Progress)) (agentapi.OSResult, error) {
	return s.OS.Rename(ctx, w, progress)
}

// osDisks are the disks that scripts may write to: the root disk first, then all others that are neither skipped nor read-only nor
// removable. Where disks hold an array it is in their place.
func (s *Steps) osDisks(ctx context.Context) ([]osdef.Disk, error) {
	root, err := s.rootDisk(ctx)
	if err != nil {
		return nil, err
	}
	if root.ReadOnly {
		return nil, server.Error("DeviceNotFound", "the root disk %s is read-only", root.Name)
	}
	node := s.currentNode()
	found, err := s.disks(ctx)
	if err != nil {
		return nil, err
	}
	wanted, err := agentapi.Unskipped(node, found)
	if err != nil {
		return nil, err
	}
	arrays, err := s.arrays(ctx, node, wanted)
	if err != nil {
		return nil, err
	}
	left, _, err := s.split(node, found, wanted, arrays)
	if err != nil {
		return nil, err
	}
	left = slices.DeleteFunc(left, func(d agentapi.Disk) bool { return d.Name == root.Name || d.ReadOnly || d.Removable })
	var disks []osdef.Disk
	for _, d := range append([]agentapi.Disk{root}, left...) {
		disks = append(disks, osdef.Disk{Path: s.Machine.Device(s.Machine.Stable(d.Name)), Bytes: d.Size})
	}
	return disks, nil
}
