package steps

import (
	"context"
	"encoding/json"
	"errors"

	"ingot/agent/erase"
	"ingot/agent/server"
	"ingot/internal/agentapi"
)

// The names that a conductor knows these steps' knobs by, in the node's driver_internal_info. Source:
// agent protocol reference §12.3.
const (
	knobSkipReadOnly = "agent_erase_skip_read_only"
	knobParallel     = "disk_erasure_concurrency"
	knobUnguarded    = "wipe_special_filesystems" // false skips the guard: the name is upside down upstream too
)

type eraser func(context.Context, []erase.Disk, erase.Options) (map[string]string, error)

func (s *Steps) eraseMetadata(ctx context.Context, _ json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	return s.eraseDisks(ctx, erase.Metadata, progress)
}

func (s *Steps) eraseEverything(ctx context.Context, _ json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	return s.eraseDisks(ctx, erase.Everything, progress)
}

// eraseDisks wipes every disk that the node does not exclude. The result says by disk what was done.
func (s *Steps) eraseDisks(ctx context.Context, wipe eraser, progress func(agentapi.Progress)) (any, error) {
	node := s.currentNode()
	found, err := s.Machine.WaitForDisks(ctx, diskTries, diskWait, func(disks []agentapi.Disk) bool { return len(disks) > 0 })
	if err != nil {
		return nil, err
	}
	found, err = agentapi.Unskipped(node, found)
	if err != nil {
		return nil, err
	}
	var disks []erase.Disk
	for _, d := range found {
		parts, err := s.Machine.Partitions(d.Name)
		if err != nil {
			return nil, err
		}
		disk := erase.Disk{Path: s.Machine.Device(d.Name), ReadOnly: d.ReadOnly}
		for _, p := range parts {
			disk.Partitions = append(disk.Partitions, erase.Span(p))
		}
		disks = append(disks, disk)
	}
	how, err := wipe(ctx, disks, s.eraseOptions(node, progress))
	s.Log.Info("disks wiped", "result", how, "disks", len(disks))
	switch {
	case errors.Is(err, erase.ErrProtected):
		return nil, server.Error("ProtectedDeviceError", "%v", err)
	case err != nil:
		return nil, server.Error("BlockDeviceEraseError", "%v", err)
	}
	return how, nil
}

func (s *Steps) eraseOptions(node agentapi.Node, progress func(agentapi.Progress)) erase.Options {
	o := erase.Options{Parallel: s.ParallelErase, Progress: progress}
	o.SkipReadOnly, _ = node.InternalInfo[knobSkipReadOnly].(bool)
	if guard, ok := node.InternalInfo[knobUnguarded].(bool); ok {
		o.Unguarded = !guard
	}
	if n, ok := node.InternalInfo[knobParallel].(float64); ok && n >= 1 && n <= 64 {
		o.Parallel = int(n)
	}
	return o
}
