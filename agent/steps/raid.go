package steps

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"ingot/agent/erase"
	"ingot/agent/raid"
	"ingot/agent/server"
	"ingot/internal/agentapi"
)

// raidSteps are the steps of software RAID, where the ramdisk has mdadm.
func (s *Steps) raidSteps(more ...offered) []offered {
	if s.RAID.Tool == nil {
		return nil
	}
	return append([]offered{
		{agentapi.Step{Interface: "raid", Step: "delete_configuration", Abortable: true}, s.deleteRAID},
		{agentapi.Step{Interface: "raid", Step: "create_configuration", Abortable: true}, s.createRAID},
	}, more...)
}

// applied is apply_configuration.
func (s *Steps) applied() offered {
	return offered{agentapi.Step{Interface: "raid", Step: "apply_configuration", ArgsInfo: raidInfo}, s.applyRAID}
}

// createRAID makes what the node's target_raid_config asks for.
func (s *Steps) createRAID(ctx context.Context, _ json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	return s.makeRAID(ctx, s.currentNode().TargetRAIDConfig)
}

// applyRAID makes the configuration that is its argument, in the place of what there is unless told otherwise.
func (s *Steps) applyRAID(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	args := struct {
		Config map[string]any `json:"raid_config"`
		Delete bool           `json:"delete_existing"`
	}{Delete: true}
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	if args.Delete {
		// Judged before anything is lost.
		if _, err := s.volumes(ctx, args.Config); err != nil {
			return nil, err
		}
		if _, err := s.deleteRAID(ctx, nil, progress); err != nil {
			return nil, err
		}
	}
	return s.makeRAID(ctx, args.Config)
}

func (s *Steps) volumes(ctx context.Context, config map[string]any) ([]raid.Volume, error) {
	disks, err := s.disks(ctx)
	if err != nil {
		return nil, err
	}
	if disks, err = agentapi.Unskipped(s.currentNode(), disks); err != nil {
		return nil, err
	}
	disks = slices.DeleteFunc(disks, func(d agentapi.Disk) bool { return d.ReadOnly })
	volumes, err := raid.Parse(config, disks)
	if err != nil {
		return nil, server.Error("SoftwareRAIDError", "%v", err)
	}
	return volumes, nil
}

func (s *Steps) makeRAID(ctx context.Context, config map[string]any) (any, error) {
	volumes, err := s.volumes(ctx, config)
	if err != nil {
		return nil, err
	}
	made, err := s.RAID.Create(ctx, volumes)
	if err != nil {
		return nil, server.Error("SoftwareRAIDError", "%v", err)
	}
	return made, nil
}

// deleteRAID stops every array and leaves nothing that would make it again.
func (s *Steps) deleteRAID(ctx context.Context, _ json.RawMessage, _ func(agentapi.Progress)) (any, error) {
	node := s.currentNode()
	if len(agentapi.KeptVolumes(node)) > 0 {
		return nil, server.Error("SoftwareRAIDError", "skip_block_devices keeps volumes, and this agent deletes all arrays or none: take the volume_name entries away first")
	}
	disks, err := s.disks(ctx)
	if err == nil {
		disks, err = agentapi.Unskipped(node, disks)
	}
	if err != nil {
		return nil, err
	}
	parts, err := s.RAID.Parts(disks)
	if err != nil {
		return nil, err
	}
	stopped, err := s.RAID.Stop(ctx, disks, true)
	if err != nil {
		return nil, server.Error("SoftwareRAIDError", "%v", err)
	}
	// The tables that led to the parts go too.
	disks = slices.DeleteFunc(disks, func(d agentapi.Disk) bool {
		return !slices.ContainsFunc(parts, func(p raid.Part) bool { return p.Disk == d.Name })
	})
	wipe, err := s.toErase(disks, disks)
	if err != nil {
		return nil, err
	}
	if _, err := erase.Metadata(ctx, wipe, erase.Options{Unguarded: true}); err != nil {
		return nil, server.Error("SoftwareRAIDError", "%v", err)
	}
	s.Log.Info("arrays deleted", "arrays", len(stopped), "parts", len(parts))
	return map[string]any{"arrays": len(stopped), "parts": len(parts)}, nil
}

// wantsRAID tells whether the node is one whose arrays stay when it is cleaned.
func wantsRAID(n agentapi.Node) bool {
	return raid.Software(n.RAIDConfig) || raid.Software(n.TargetRAIDConfig)
}

// arrays are those that run and are to stay, assembled first if need be. Arrays of a node that is to have none are
// stopped: what a tenant made must not keep disks from being erased.
func (s *Steps) arrays(ctx context.Context, node agentapi.Node, disks []agentapi.Disk) ([]raid.Array, error) {
	if s.RAID.Tool == nil {
		return nil, nil
	}
	kept := agentapi.KeptVolumes(node)
	if wantsRAID(node) || len(kept) > 0 {
		if err := s.RAID.Assemble(ctx, disks); err != nil {
			return nil, err
		}
		return s.RAID.Running()
	}
	if _, err := s.RAID.Stop(ctx, disks, false); err != nil {
		return nil, server.Error("SoftwareRAIDError", "%v", err)
	}
	return nil, nil
}

// split takes disks that hold arrays out of wanted, puts the arrays in, and says why of each disk that was taken
// out. found are all disks: an array with a part on one that is not wanted is left alone, whole. So is a disk with a
// part of a volume that is to be kept, whether the volume runs or not.
func (s *Steps) split(node agentapi.Node, found, wanted []agentapi.Disk, arrays []raid.Array) (left []agentapi.Disk, why map[string]string, err error) {
	why, left = map[string]string{}, slices.Clone(wanted)
	kept := agentapi.KeptVolumes(node)
	for _, a := range arrays {
		keep, skipped := slices.Contains(kept, a.Name), onSkipped(a, found, wanted)
		for _, d := range a.Disks {
			switch {
			case keep:
				why[d] = fmt.Sprintf("left alone: it holds the volume %s, which is in skip_block_devices", a.Name)
			case skipped:
				why[d] = fmt.Sprintf("left alone: it holds %s, which has a part on a disk in skip_block_devices", a.Device)
			case why[d] == "":
				why[d] = fmt.Sprintf("left alone: it holds %s, which is erased in its place", a.Device)
			}
		}
		switch {
		case keep:
			why[a.Device] = "left alone: it is in skip_block_devices"
		case skipped:
			why[a.Device] = "left alone: it has a part on a disk in skip_block_devices"
		default:
			left = append(left, agentapi.Disk{Name: a.Device, Size: a.Size})
		}
	}
	if len(kept) > 0 {
		parts, err := raid.Arrays{Machine: s.Machine, Log: s.Log}.Parts(wanted)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range parts {
			if slices.Contains(kept, p.Name) {
				why[p.Disk] = fmt.Sprintf("left alone: it holds the volume %s, which is in skip_block_devices", p.Name)
			}
		}
	}
	return slices.DeleteFunc(left, func(d agentapi.Disk) bool { return why[d.Name] != "" }), why, nil
}

// onSkipped tells whether an array has a part on a disk that is there and not wanted.
func onSkipped(a raid.Array, found, wanted []agentapi.Disk) bool {
	return slices.ContainsFunc(a.Disks, func(name string) bool {
		is := func(d agentapi.Disk) bool { return d.Name == name }
		return slices.ContainsFunc(found, is) && !slices.ContainsFunc(wanted, is)
	})
}

// rootArray is the volume that the node's configuration calls the root volume, if it runs.
func rootArray(node agentapi.Node, arrays []raid.Array) (agentapi.Disk, bool) {
	for _, config := range []map[string]any{node.RAIDConfig, node.TargetRAIDConfig} {
		list, _ := config["logical_disks"].([]any)
		for i, v := range list {
			object, _ := v.(map[string]any)
			if root, _ := object["is_root_volume"].(bool); !root {
				continue
			}
			name, _ := object["volume_name"].(string)
			if name == "" {
				name = fmt.Sprintf("md%d", i)
			}
			if at := slices.IndexFunc(arrays, func(a raid.Array) bool { return a.Name == name }); at >= 0 {
				return agentapi.Disk{Name: arrays[at].Device, Size: arrays[at].Size}, true
			}
		}
	}
	return agentapi.Disk{}, false
}
