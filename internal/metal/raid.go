package metal

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// raidLevels are the levels of logical disks. Source: rest-api reference §3.1.
var raidLevels = []string{"JBOD", "0", "1", "2", "5", "6", "1+0", "5+0", "6+0"}

// LogicalDiskProperties describes the keys of a logical disk in target_raid_config.
var LogicalDiskProperties = map[string]string{
	"controller":               "Name of the RAID controller; \"software\" for an array that the kernel makes.",
	"disk_type":                "Kind of the physical disks: hdd or ssd. Any kind will do when it is left out.",
	"interface_type":           "Bus of the physical disks: sata, scsi or sas. Any bus will do when it is left out.",
	"is_root_volume":           "Whether the instance boots from this logical disk. At most one logical disk may; false when it is left out.",
	"number_of_physical_disks": "How many physical disks the logical disk is made of; as few as its level needs when it is left out.",
	"physical_disks":           "The physical disks it is made of, as the controller names them. Needs controller.",
	"raid_level":               "RAID level: JBOD, 0, 1, 2, 5, 6, 1+0, 5+0 or 6+0. Required.",
	"share_physical_disks":     "Whether other logical disks may use the same physical disks; false when it is left out.",
	"size_gb":                  "Size in GiB, a whole number, or MAX for all the space there is. Required.",
	"volume_name":              "Name of the logical disk; the controller chooses one when it is left out.",
}

// CheckRAIDConfig tells what is wrong with a target RAID configuration; an empty one is none and is fine. The error
// is a phrase.
func CheckRAIDConfig(config map[string]any) error {
	if len(config) == 0 {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(config)) {
		if key != "logical_disks" {
			return fmt.Errorf("the key %q is not known: there is logical_disks only", short(key))
		}
	}
	disks, ok := config["logical_disks"].([]any)
	if !ok || len(disks) == 0 {
		return errors.New("logical_disks must be a list of at least one logical disk")
	}
	roots := 0
	for i, v := range disks {
		disk, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("logical disk %d is not an object", i+1)
		}
		if err := checkLogicalDisk(disk); err != nil {
			return fmt.Errorf("logical disk %d: %w", i+1, err)
		}
		if root, _ := disk["is_root_volume"].(bool); root {
			roots++
		}
	}
	if roots > 1 {
		return errors.New("more than one logical disk is the root volume (is_root_volume)")
	}
	return nil
}

func checkLogicalDisk(disk map[string]any) error {
	for _, key := range []string{"size_gb", "raid_level"} {
		if disk[key] == nil {
			return fmt.Errorf("%s is missing", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(disk)) {
		check, known := diskChecks[key]
		if !known {
			return fmt.Errorf("the key %q is not known: there are %s", short(key), strings.Join(slices.Sorted(maps.Keys(diskChecks)), ", "))
		}
		if want := check(disk[key]); want != "" {
			return fmt.Errorf("%s must be %s", key, want)
		}
	}
	if disk["physical_disks"] != nil && disk["controller"] == nil {
		return errors.New("physical_disks needs controller")
	}
	return nil
}

// diskChecks say what each key must be, "" if it is.
var diskChecks = map[string]func(any) string{
	"size_gb": func(v any) string {
		if n, ok := v.(float64); v == "MAX" || ok && n >= 0 && n == math.Trunc(n) {
			return ""
		}
		return "a whole number of GiB that is not negative, or \"MAX\""
	},
	"raid_level":           oneOf(raidLevels...),
	"disk_type":            oneOf("hdd", "ssd"),
	"interface_type":       oneOf("sata", "scsi", "sas"),
	"volume_name":          isText,
	"controller":           isText,
	"is_root_volume":       isBool,
	"share_physical_disks": isBool,
	"number_of_physical_disks": func(v any) string {
		if n, ok := v.(float64); ok && n > 0 && n == math.Trunc(n) {
			return ""
		}
		return "a whole number greater than 0"
	},
	"physical_disks": physicalDisks,
}

func oneOf(words ...string) func(any) string {
	return func(v any) string {
		if s, ok := v.(string); ok && slices.Contains(words, s) {
			return ""
		}
		return "one of " + strings.Join(words, ", ")
	}
}

func isText(v any) string {
	if _, ok := v.(string); ok {
		return ""
	}
	return "a string"
}

func isBool(v any) string {
	if _, ok := v.(bool); ok {
		return ""
	}
	return "true or false"
}

// physicalDisks are names, or at least two objects that describe disks.
func physicalDisks(v any) string {
	const want = "a list of strings, or of at least two objects"
	list, ok := v.([]any)
	if !ok {
		return want
	}
	texts, objects := 0, 0
	for _, one := range list {
		switch one.(type) {
		case string:
			texts++
		case map[string]any:
			objects++
		}
	}
	if texts == len(list) || objects == len(list) && objects >= 2 {
		return ""
	}
	return want
}

// WantedDisks are the logical disks of a target configuration that a create_configuration step is to make: its
// arguments may leave the root volume or the others out. The error is a phrase.
func WantedDisks(config, args map[string]any) ([]any, error) {
	all, _ := config["logical_disks"].([]any)
	if len(all) == 0 {
		return nil, errors.New("it has no target_raid_config; set it with PUT states/raid first")
	}
	root, others := wanted(args["create_root_volume"]), wanted(args["create_nonroot_volumes"])
	var out []any
	for _, v := range all {
		disk, _ := v.(map[string]any)
		if isRoot, _ := disk["is_root_volume"].(bool); isRoot && root || !isRoot && others {
			out = append(out, v)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("its target_raid_config has none of the volumes that the step is to make")
	}
	return out, nil
}

// wanted is true unless somebody said otherwise.
func wanted(v any) bool {
	b, said := v.(bool)
	return b || !said
}

func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
