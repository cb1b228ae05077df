package steps

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"ingot/agent/erase"
	"ingot/agent/server"
	"ingot/internal/agentapi"
)

type eraser func(context.Context, []erase.Disk, erase.Options) (map[string]erase.Result, error)

func (s *Steps) eraseMetadata(ctx context.Context, _ json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	return s.eraseDisks(ctx, erase.Metadata, progress)
}

func (s *Steps) eraseExpress(ctx context.Context, _ json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	return s.eraseDisks(ctx, erase.Express, progress)
}

// eraseEverything takes one argument, ours: verify, "all" (what it does without) or "samples".
func (s *Steps) eraseEverything(ctx context.Context, raw json.RawMessage, progress func(agentapi.Progress)) (any, error) {
	var args struct {
		Verify string `json:"verify"`
	}
	if err := decode(raw, &args); err != nil {
		return nil, err
	}
	if args.Verify != "" && args.Verify != "all" && args.Verify != "samples" {
		return nil, server.Error("InvalidCommandParamsError", "verify is %q, and must be all or samples", args.Verify)
	}
	return s.eraseDisks(ctx, func(ctx context.Context, disks []erase.Disk, o erase.Options) (map[string]erase.Result, error) {
		o.Sample = args.Verify == "samples"
		return erase.Everything(ctx, disks, o)
	}, progress)
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
	arrays, err := s.arrays(ctx, node, wanted)
	if err != nil {
		return nil, err
	}
	wanted, whyNot, err := s.split(node, found, wanted, arrays)
	if err != nil {
		return nil, err
	}
	disks, err := s.toErase(found, wanted)
	if err != nil {
		return nil, err
	}
	how, err := wipe(ctx, disks, s.eraseOptions(node, progress))
	s.Log.Info("disks wiped", "result", words(how), "disks", len(disks))
	switch {
	case errors.Is(err, erase.ErrProtected):
		return nil, server.Error("ProtectedDeviceError", "%v%s", err, meanwhile(how))
	case err != nil:
		return nil, server.Error("BlockDeviceEraseError", "%v%s", err, meanwhile(how))
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
		did := how[s.Machine.Device(d.Name)]
		e := agentapi.Erased{Size: d.Size, How: cmp.Or(did.How, whyNot[d.Name], excluded), Model: d.Model, Proof: did.Proof}
		if d.Serial != nil {
			e.Serial = *d.Serial
		}
		if d.WWN != nil {
			e.WWN = *d.WWN
		}
		result[d.Name] = e
	}
	for _, a := range arrays {
		did := how[s.Machine.Device(a.Device)]
		result[a.Device] = agentapi.Erased{Size: a.Size, How: cmp.Or(did.How, whyNot[a.Device]), Proof: did.Proof}
	}
	for name, why := range s.Machine.NoDisks() {
		result[name] = agentapi.Erased{How: "left alone: " + why}
	}
	return result, nil
}

func words(how map[string]erase.Result) map[string]string {
	out := map[string]string{}
	for path, r := range how {
		out[path] = r.How
	}
	return out
}

// meanwhile tells what became of the other disks when one could not be wiped.
func meanwhile(how map[string]erase.Result) string {
	var all []string
	for _, path := range slices.Sorted(maps.Keys(how)) {
		all = append(all, filepath.Base(path)+" "+how[path].How)
	}
	if len(all) == 0 {
		return ""
	}
	return "; meanwhile: " + strings.Join(all, ", ")
}

// toErase joins disks with their partitions and with what they can do by themselves. found are all disks.
func (s *Steps) toErase(found, wanted []agentapi.Disk) ([]erase.Disk, error) {
	var disks []erase.Disk
	for _, d := range wanted {
		parts, err := s.Machine.Partitions(d.Name)
		if err != nil {
			return nil, err
		}
		disk := erase.Disk{Path: s.Machine.Device(d.Name), ReadOnly: d.ReadOnly, Kind: kindOf(d), Controller: controllerOf(d)}
		disk.Shared = disk.Controller != "" && slices.ContainsFunc(found, func(other agentapi.Disk) bool {
			return controllerOf(other) == disk.Controller &&
				!slices.ContainsFunc(wanted, func(w agentapi.Disk) bool { return w.Name == other.Name && !other.ReadOnly })
		})
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
