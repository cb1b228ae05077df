package image

import (
	"ingot/internal/fault"
)

// Info is what an accepted image is.
type Info struct {
	Format      Format // Raw, QCOW2, or ISO for one with a partition table
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
	QED:  "The image is qed, which is not supported: " + toRaw + ".",
	VMDK: "The image is a VMware disk (vmdk), which is not supported: " + toRaw + ".",
	VHD:  "The image is a Virtual PC disk (vhd), which is not supported: " + toRaw + ".",
	VHDX: "The image is a Hyper-V disk (vhdx), which is not supported: " + toRaw + ".",
	VDI:  "The image is a VirtualBox disk (vdi), which is not supported: " + toRaw + ".",
	ISO: "The image is an ISO 9660 or UDF medium (iso) without a partition table, not a whole-disk image, so no machine could boot it from a disk: " +
		"use the distribution's cloud or disk image.",
	LUKS:       "The image is an encrypted LUKS volume (luks), not a whole-disk image: decrypt it and give the disk image.",
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

// Inspect decides from the first HeadSize decoded bytes (or all, if fewer) whether an image may be written. A refusal is a
// fault.Invalid. A bare qcow2 is OpenQCOW2's.
func Inspect(head []byte, o Options) (Info, error) { return o.inspect(headView(head), head) }

// inspect is Inspect of a file of which more than the head may be at hand.
func (o Options) inspect(v *view, head []byte) (Info, error) {
	format, err := o.formatOf(v, head)
	if err != nil {
		return Info{}, err
	}
	if o.Partition {
		return o.inspectPartition(format, head)
	}
	return o.inspectDisk(format, head)
}

func (o Options) inspectDisk(format Format, head []byte) (Info, error) {
	switch {
	case format == Filesystem:
		return Info{}, fault.New(fault.Invalid, "%s", refusals[Filesystem])
	case Detect(head) == Unknown:
		return Info{}, fault.New(fault.Invalid, "The image is declared as raw and taken for it, but it is not a whole-disk image: it starts with neither a GPT nor an MBR, "+
			"so no machine could boot it.")
	}
	table, err := ParseTable(head)
	if err != nil {
		return Info{}, fault.New(fault.Invalid, "The image is %s, but not a usable whole-disk image: %s.", format.inWords(), err)
	}
	is := format
	if is == Raw {
		is = GPT
	}
	if err := o.accept(is); err != nil {
		return Info{}, err
	}
	return Info{Format: format, Table: table}, nil
}

// accept sees that a format is the declared one and permitted.
func (o Options) accept(f Format) error {
	if o.inner {
		return nil // what is outside was accepted
	}
	if err := o.agree(o.Declared, f); err != nil {
		return err
	}
	return o.permit(f)
}

// inspectPartition is for the image of one partition, which is an ext4: what it boots with is read from it.
func (o Options) inspectPartition(format Format, head []byte) (Info, error) {
	switch is := Detect(head); {
	case format == ISO:
		return Info{}, fault.New(fault.Invalid, "%s", refusals[ISO])
	case is == Raw:
		return Info{}, fault.New(fault.Invalid, "The image is that of a whole disk, not of a partition: it has a partition table. Set image_type to \"whole-disk\".")
	case is == Unknown:
		return Info{}, fault.New(fault.Invalid, "The image is not that of a partition: no known file system is in it.")
	}
	root, err := ParseExt4(head)
	if err != nil {
		return Info{}, fault.New(fault.Invalid, "The partition image cannot be used: %s. The agent reads ext4 only; deploy other file systems as a whole-disk image.", err)
	}
	return Info{Format: Raw, Root: root}, o.accept(Raw)
}
