package steps

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// excluded is what became of a disk that the node's skip_block_devices names.
const excluded = "left alone: it is in skip_block_devices"

// eraseDisks wipes every disk that the node does not exclude. The result says of every disk what was done.
// No disk at all is an error, and so is a disk that turns up meanwhile: it was not wiped.
func (s *Steps) eraseDisks(ctx context.Context, wipe eraser, progress func(agentapi.Progress)) (any, error) {
	node := s.currentNode()
	found, err := s.disks(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("no disk found to erase: is a controller's module missing, or a disk broken? A diskless machine needs automated_clean off")
	}
	wanted, err := agentapi.Unskipped(node, found)
	if err != nil {
		return nil, err
	}
	disks, err := s.toErase(wanted)
	if err != nil {
		return nil, err
	}
	how, err := wipe(ctx, disks, s.eraseOptions(node, progress))
	s.Log.Info("disks wiped", "result", how, "disks", len(disks))
	switch {
	case errors.Is(err, erase.ErrProtected):
		return nil, server.Error("ProtectedDeviceError", "%v", err)
	case err != nil:
		return nil, server.Error("BlockDeviceEraseError", "%v", err)
	}
	late, err := s.late(found)
	if err != nil {
		return nil, err
	}
	if len(late) > 0 {
		return nil, fmt.Errorf("disks appeared while others were erased, and were not erased: %s: clean again", strings.Join(late, ", "))
	}
	result := map[string]agentapi.Erased{}
	for _, d := range found {
		e := agentapi.Erased{Size: d.Size, How: cmp.Or(how[s.Machine.Device(d.Name)], excluded)}
		if d.Serial != nil {
			e.Serial = *d.Serial
		}
		result[d.Name] = e
	}
	return result, nil
}

// toErase joins disks with their partitions.
func (s *Steps) toErase(wanted []agentapi.Disk) ([]erase.Disk, error) {
	var disks []erase.Disk
	for _, d := range wanted {
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
	return disks, nil
}

// late names the disks that are there now and were not among those found before.
func (s *Steps) late(before []agentapi.Disk) ([]string, error) {
	now, err := s.Machine.Disks()
	var names []string
	for _, d := range now {
		if !slices.ContainsFunc(before, func(b agentapi.Disk) bool { return b.Name == d.Name }) {
			names = append(names, d.Name)
		}
	}
	return names, err
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
