package raid

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"

	"ingot/internal/agentapi"
)

const (
	mib = 1 << 20
	gib = 1 << 30
	// most is how many logical disks a configuration may have.
	most = 2
	// minComponent is the smallest part of a disk that an array is made of.
	minComponent = 64 * mib
)

// Volume is one logical disk of a configuration.
type Volume struct {
	Name  string
	Level string // Ironic's word: 0, 1, 1+0, 5, 6
	Size  int64  // bytes; 0: all that is left
	Root  bool
	Disks []agentapi.Disk
	raw   map[string]any
}

// levels are what a logical disk may be, with the fewest disks each needs and mdadm's word.
var levels = map[string]struct {
	least int
	word  string
}{
	"0": {2, "0"}, "1": {2, "1"}, "1+0": {2, "10"}, "5": {3, "5"}, "6": {4, "6"},
}

// component is how large a part of each of n disks a volume of size needs.
func component(level string, size int64, n int) int64 {
	data := map[string]int64{"0": int64(n), "1": 1, "5": int64(n - 1), "6": int64(n - 2)}[level]
	if level == "1+0" {
		return (2*size + int64(n) - 1) / int64(n)
	}
	return (size + data - 1) / data
}

var volumeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)

// Software tells whether a configuration asks for arrays of ours.
func Software(config map[string]any) bool {
	list, _ := config["logical_disks"].([]any)
	return slices.ContainsFunc(list, func(v any) bool {
		object, _ := v.(map[string]any)
		return object["controller"] == "software"
	})
}

// Parse reads and judges a configuration for a machine with these disks.
func Parse(config map[string]any, disks []agentapi.Disk) ([]Volume, error) {
	list, ok := config["logical_disks"].([]any)
	if !ok || len(list) == 0 {
		return nil, errors.New("the RAID configuration has no logical_disks")
	}
	if len(list) > most {
		return nil, fmt.Errorf("the RAID configuration has %d logical disks, and software RAID can have %d", len(list), most)
	}
	var volumes []Volume
	for i, v := range list {
		object, ok := v.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("logical disk %d is no object", i+1)
		}
		one, err := parseVolume(object, i, disks)
		if err != nil {
			return nil, fmt.Errorf("logical disk %d: %w", i+1, err)
		}
		volumes = append(volumes, one)
	}
	return volumes, together(volumes)
}

// together judges what no single volume can show.
func together(volumes []Volume) error {
	names, rest, roots := map[string]bool{}, 0, 0
	for _, v := range volumes {
		if names[v.Name] {
			return fmt.Errorf("two logical disks have the volume_name %s", v.Name)
		}
		names[v.Name] = true
		if v.Size == 0 {
			rest++
		}
		if v.Root {
			roots++
		}
	}
	switch {
	case rest > 1:
		return errors.New("only one logical disk can have the size MAX")
	case roots > 1:
		return errors.New("only one logical disk can be the root volume")
	case volumes[0].Level != "1":
		return errors.New("the first logical disk must have raid_level 1: the system boots from it")
	}
	return nil
}

func parseVolume(object map[string]any, nth int, disks []agentapi.Disk) (v Volume, err error) {
	if object["controller"] != "software" {
		return v, errors.New("its controller is not software: this agent makes software RAID only")
	}
	v = Volume{raw: object, Name: fmt.Sprintf("md%d", nth)}
	v.Level, _ = object["raid_level"].(string)
	kind, ok := levels[v.Level]
	if !ok {
		return v, errors.New("its raid_level is none of 0, 1, 1+0, 5, 6")
	}
	if name, given := object["volume_name"]; given {
		if v.Name, ok = name.(string); !ok || !volumeName.MatchString(v.Name) {
			return v, errors.New("its volume_name is no word of letters, digits, _, . and -, 32 at most")
		}
	}
	if root, given := object["is_root_volume"]; given {
		if v.Root, ok = root.(bool); !ok {
			return v, errors.New("its is_root_volume is neither true nor false")
		}
	}
	if v.Size, err = size(object["size_gb"]); err != nil {
		return v, err
	}
	if v.Disks, err = physical(object["physical_disks"], disks); err != nil {
		return v, err
	}
	if len(v.Disks) < kind.least {
		return v, fmt.Errorf("raid_level %s needs %d disks, and there are %d", v.Level, kind.least, len(v.Disks))
	}
	return v, nil
}

// size reads size_gb: GiB, or MAX.
func size(v any) (int64, error) {
	switch n := v.(type) {
	case string:
		if n == "MAX" {
			return 0, nil
		}
	case float64:
		if n >= 1 && n <= 1<<30 && n == float64(int64(n)) {
			return int64(n) * gib, nil
		}
	case json.Number:
		if i, err := n.Int64(); err == nil && i >= 1 && i <= 1<<30 {
			return i * gib, nil
		}
	}
	return 0, errors.New("its size_gb is neither a whole number of GiB nor MAX")
}

// physical chooses disks by hints, one for each object; without hints all.
func physical(v any, disks []agentapi.Disk) ([]agentapi.Disk, error) {
	if v == nil {
		return disks, nil
	}
	list, ok := v.([]any)
	if !ok || len(list) < 2 {
		return nil, errors.New("its physical_disks are no list of two or more objects of hints")
	}
	var chosen []agentapi.Disk
	for i, one := range list {
		object, ok := one.(map[string]any)
		if !ok || len(object) == 0 {
			return nil, fmt.Errorf("physical disk %d is no object of hints", i+1)
		}
		hints, err := agentapi.ParseHints(object)
		if err != nil {
			return nil, err
		}
		found := slices.IndexFunc(disks, func(d agentapi.Disk) bool {
			return hints.Match(d) && !slices.ContainsFunc(chosen, func(c agentapi.Disk) bool { return c.Name == d.Name })
		})
		if found < 0 {
			return nil, fmt.Errorf("no disk is left that the hints of physical disk %d mean", i+1)
		}
		chosen = append(chosen, disks[found])
	}
	return chosen, nil
}
