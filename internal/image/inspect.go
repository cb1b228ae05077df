package image

import (
	"ingot/internal/fault"
)

// Info is what an accepted image is.
type Info struct {
	Format      Format // Raw or QCOW2
	Compression Format // Gzip, Zstd, XZ, or "" for none
	Table       *Table // nil for a partition image
	// Root is what a partition image holds; nil for a whole disk.
	Root *FileSystem
	// Size is how many bytes it decodes to at least, as a header announces it; 0 is unknown.
	Size int64
}

// End is the least number of bytes that the image must have, and what ends there.
func (i Info) End() (int64, string) {
	if i.Root != nil {
		return i.Root.Size, "file system"
	}
	return i.Table.End(), "last partition"
}

// toRaw is the advice for every format that qemu-img can read.
const toRaw = "convert it with \"qemu-img convert -O raw\" and compress the result with zstd"

// refusals says of each format we do not write what it is and what to do about it.
var refusals = map[Format]string{
	QCOW2: "The image is a qcow2 inside another format: take that off and give the qcow2 itself, " +
		"which can be compressed inside (\"qemu-img convert -c -O qcow2\").",
	QED:        "The image is qed, which is not supported: " + toRaw + ".",
	VMDK:       "The image is a VMware disk (vmdk), which is not supported: " + toRaw + ".",
	VHD:        "The image is a Virtual PC disk (vhd), which is not supported: " + toRaw + ".",
	VHDX:       "The image is a Hyper-V disk (vhdx), which is not supported: " + toRaw + ".",
	VDI:        "The image is a VirtualBox disk (vdi), which is not supported: " + toRaw + ".",
	ISO:        "The image is an ISO 9660 or UDF medium, not a whole-disk image: use the distribution's cloud or disk image.",
	LUKS:       "The image is an encrypted LUKS volume, not a whole-disk image: decrypt it and give the disk image.",
	Bzip2:      "The image is compressed with bzip2, which is not supported: unpack it and compress it with zstd.",
	LZ4:        "The image is compressed with lz4, which is not supported: unpack it and compress it with zstd.",
	Zip:        "The image is a zip archive: unpack it and give the disk image, compressed with zstd.",
	Tar:        "The image is a tar archive: unpack it and give the disk image, compressed with zstd.",
	Filesystem: "The image is a single file system, not a whole-disk image: it has no partition table, so a machine cannot boot it.",
	HTML:       "The image is a web page: the URL leads to HTML, not to a disk image.",
	Unknown: "The image is not a whole-disk image: it starts with neither a GPT nor an MBR partition table, " +
		"nor with a known image format.",
	Gzip: "The image is compressed twice (gzip inside): unpack it and compress it once, with zstd.",
	Zstd: "The image is compressed twice (zstd inside): unpack it and compress it once.",
	XZ:   "The image is compressed twice (xz inside): unpack it and compress it once, with zstd.",
}

// Inspect decides from the first HeadSize decoded bytes (or all, if fewer) whether an image may be
// written. declared is the disk_format the user gave: "", "unknown", "raw" and "gpt" agree with a
// whole-disk image, any other word contradicts it. A refusal is a fault.Invalid. A bare qcow2 is OpenQCOW2's.
func Inspect(head []byte, declared string) (Info, error) {
	format := Detect(head)
	if format != Raw {
		return Info{}, fault.New(fault.Invalid, "%s", refusals[format])
	}
	table, err := ParseTable(head)
	if err != nil {
		return Info{}, fault.New(fault.Invalid, "The image is not a usable whole-disk image: %s.", err)
	}
	switch declared {
	case "", "unknown", "raw", "gpt":
		return Info{Format: Raw, Table: table}, nil
	}
	return Info{}, fault.New(fault.Invalid, "The image is declared as %.40q but its content is raw (%s): correct the declared disk format.",
		declared, table.Kind)
}

// InspectPartition is Inspect for the image of one partition, which is an ext4: what it boots with is read from it.
func InspectPartition(head []byte, declared string) (Info, error) {
	switch format := Detect(head); format {
	case Filesystem:
	case Raw:
		return Info{}, fault.New(fault.Invalid, "The image is that of a whole disk, not of a partition: it has a partition table. Set image_type to \"whole-disk\".")
	case Unknown:
		return Info{}, fault.New(fault.Invalid, "The image is not that of a partition: no known file system is in it.")
	default:
		return Info{}, fault.New(fault.Invalid, "%s", refusals[format])
	}
	root, err := ParseExt4(head)
	if err != nil {
		return Info{}, fault.New(fault.Invalid, "The partition image cannot be used: %s. The agent reads ext4 only; deploy other file systems as a whole-disk image.", err)
	}
	switch declared {
	case "", "unknown", "raw":
		return Info{Format: Raw, Root: root}, nil
	}
	return Info{}, fault.New(fault.Invalid, "The image is declared as %.40q but its content is a raw partition: correct the declared disk format.", declared)
}
