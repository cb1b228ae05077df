package image

import (
	"strings"

	"ingot/internal/fault"
)

// CheckDeclared refuses what a node's instance_info says of its image, where that can be known to be wrong without the
// image: a type or format that is not written here. A kernel or a ramdisk makes an image that does not say its type
// one of a partition. Source: images reference §1, §2.
func CheckDeclared(info map[string]any) error {
	text := func(key string) string { s, _ := info[key].(string); return strings.TrimSpace(s) }
	switch kind := text("image_type"); {
	case kind == "partition":
		return fault.New(fault.Invalid, "Partition images are not supported: use a whole-disk image.")
	case kind != "" && kind != "whole-disk":
		return fault.New(fault.Invalid, "The image_type in instance_info is %.40q: it can be \"whole-disk\" only.", kind)
	case kind == "" && (text("kernel") != "" || text("ramdisk") != ""):
		return fault.New(fault.Invalid, "instance_info has a kernel or a ramdisk, which makes the image that of a partition, and these are not supported: "+
			"remove both and use a whole-disk image, or set image_type to \"whole-disk\".")
	}
	switch format := text("image_disk_format"); format {
	case "", string(Unknown), string(Raw), GPT, string(QCOW2):
		return nil
	default:
		return fault.New(fault.Invalid, "The image_disk_format in instance_info is %.40q, which is not written: give a raw or qcow2 image.", format)
	}
}
