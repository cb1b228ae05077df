package image

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"ingot/internal/fault"
)

// Declared is what a node's instance_info says of its image.
type Declared struct {
	Partition bool
	RootGB    int64 // of a partition image
	SwapMB    int64 // 0 for none
}

// maxDeclared bounds sizes, so that they stay numbers in any unit.
const maxDeclared = 1 << 30

// ReadDeclared refuses what a node's instance_info says of its image, where that can be known to be wrong without the
// image: a type, a format or a partition that is not written here. A kernel or a ramdisk makes an image that does not
// say its type one of a partition. Source: images reference §1, §2.
func ReadDeclared(info map[string]any) (d Declared, err error) {
	text := func(key string) string { s, _ := info[key].(string); return strings.TrimSpace(s) }
	switch kind := text("image_type"); {
	case kind == "partition":
		d.Partition = true
	case kind != "" && kind != "whole-disk":
		return d, fault.New(fault.Invalid, "The image_type in instance_info is %.40q: it can be \"whole-disk\" or \"partition\".", kind)
	case kind == "" && (text("kernel") != "" || text("ramdisk") != ""):
		return d, fault.New(fault.Invalid, "instance_info has a kernel or a ramdisk, which makes the image that of a partition; here such an image boots with "+
			"the kernel inside it: remove both and set image_type to \"partition\", or to \"whole-disk\" if it is one.")
	}
	switch format := strings.ToLower(text("image_disk_format")); {
	case format == "", format == string(Unknown), format == string(Raw), format == string(QCOW2):
	case format == GPT && !d.Partition, format == string(ISO) && !d.Partition:
	default:
		return d, fault.New(fault.Invalid, "The image_disk_format in instance_info is %.40q, which is not written: give a raw or qcow2 image.", format)
	}
	if !d.Partition {
		return d, nil
	}
	return d, d.partition(info)
}

// partition reads how the disk is to be divided.
func (d *Declared) partition(info map[string]any) error {
	sizes := map[string]int64{}
	for _, key := range []string{"root_gb", "swap_mb", "ephemeral_gb"} {
		n, ok := whole(info[key])
		if info[key] != nil && (!ok || n < 0 || n > maxDeclared) {
			return fault.New(fault.Invalid, "%s in instance_info is not a whole number from 0 to %d.", key, maxDeclared)
		}
		sizes[key] = n
	}
	switch preserve := info["preserve_ephemeral"]; {
	case sizes["root_gb"] == 0:
		return fault.New(fault.Invalid, "A partition image needs root_gb in instance_info: the size of the root partition in GiB, at least 1.")
	case sizes["ephemeral_gb"] > 0:
		return fault.New(fault.Invalid, "Ephemeral partitions are not supported: remove ephemeral_gb from instance_info.")
	case preserve != nil && preserve != false && !strings.EqualFold(asText(preserve), "false"):
		return fault.New(fault.Invalid, "preserve_ephemeral is not supported, as there are no ephemeral partitions: remove it from instance_info.")
	}
	d.RootGB, d.SwapMB = sizes["root_gb"], sizes["swap_mb"]
	return nil
}

func asText(v any) string { s, _ := v.(string); return strings.TrimSpace(s) }

// whole reads a whole number, as JSON gives it or as text.
func whole(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case float64:
		return int64(v), v == math.Trunc(v) && math.Abs(v) < 1<<53
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	case string:
		n, err := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		return n, err == nil
	}
	return 0, false
}
