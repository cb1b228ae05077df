package image

import (
	"bytes"
	"encoding/binary"
)

// HeadSize is how many first bytes of a disk decide what it is: 1 MiB, the gap that partitioning tools
// leave before the first partition, which holds every partition table we accept.
const HeadSize = 1 << 20

// Format is what a run of bytes is. The values are Ironic's disk_format words where it has one.
type Format string

// The formats Detect knows.
const (
	Unknown    Format = "unknown"
	Raw        Format = "raw" // a whole disk: it starts with a partition table
	QCOW2      Format = "qcow2"
	QED        Format = "qed"
	VMDK       Format = "vmdk"
	VHD        Format = "vhd"
	VHDX       Format = "vhdx"
	VDI        Format = "vdi"
	ISO        Format = "iso"
	LUKS       Format = "luks"
	Gzip       Format = "gzip"
	Zstd       Format = "zstd"
	XZ         Format = "xz"
	Bzip2      Format = "bzip2"
	LZ4        Format = "lz4"
	Zip        Format = "zip"
	Tar        Format = "tar"
	Filesystem Format = "filesystem" // one file system without a partition table
	HTML       Format = "html"
)

// signature is a magic string at a fixed offset.
type signature struct {
	format Format
	offset int
	magic  string
}

// signatures are looked up in this order, first match wins: whatever has a foreign magic is refused, so
// a file that is two things at once is refused too. Sources: QEMU docs/interop (qcow2, qed), VHD and VHDX
// specifications, VMDK technical note 5.0, VirtualBox VDICore.h, LUKS on-disk format 6.1, ECMA-119 8.1,
// ECMA-167 3/9.1, RFC 1952, RFC 8878 3.1, the xz, bzip2, lz4, zip, ustar, squashfs and XFS formats.
var signatures = []signature{
	{QCOW2, 0, "QFI\xfb"},
	{QED, 0, "QED\x00"},
	{VHD, 0, "conectix"},
	{VHDX, 0, "vhdxfile"},
	{VMDK, 0, "KDMV"},
	{VMDK, 0, "COWD"},
	{VMDK, 0, "# Disk DescriptorFile"},
	{VDI, 0x40, "\x7f\x10\xda\xbe"},
	{LUKS, 0, "LUKS\xba\xbe"},
	{Gzip, 0, "\x1f\x8b"},
	{Zstd, 0, "\x28\xb5\x2f\xfd"},
	{XZ, 0, "\xfd7zXZ\x00"},
	{Bzip2, 0, "BZh"},
	{LZ4, 0, "\x04\x22\x4d\x18"},
	{Zip, 0, "PK\x03\x04"},
	{ISO, 32769, "CD001"},
	{ISO, 32769, "NSR02"},
	{ISO, 32769, "NSR03"},
	{ISO, 32769, "BEA01"},
}

// filesystems are looked for only where no partition table is: their magic may also be inside one.
var filesystems = []signature{
	{Filesystem, 54, "FAT"},
	{Filesystem, 82, "FAT32"},
	{Filesystem, 3, "NTFS    "},
	{Filesystem, 3, "EXFAT   "},
	{Filesystem, 1080, "\x53\xef"}, // ext2, ext3, ext4
	{Filesystem, 0, "XFSB"},
	{Filesystem, 0x10040, "_BHRfS_M"}, // btrfs
	{Filesystem, 0, "hsqs"},
	{Tar, 257, "ustar"},
}

func (s signature) matches(head []byte) bool {
	return len(head) >= s.offset+len(s.magic) && string(head[s.offset:s.offset+len(s.magic)]) == s.magic
}

// Detect names what starts with head. Give it HeadSize bytes, or all there is if that is less: with
// fewer it sees fewer formats. It never fails; Unknown is an answer.
func Detect(head []byte) Format {
	for _, s := range signatures {
		if s.matches(head) {
			return s.format
		}
	}
	if skippableFrame(head) {
		return Zstd
	}
	if isBootSector(head) && !isFilesystem(head[:512]) {
		return Raw
	}
	for _, s := range filesystems {
		if s.matches(head) {
			return s.format
		}
	}
	if looksLikeHTML(head) {
		return HTML
	}
	return Unknown
}

// skippableFrame tells a zstd stream that begins with metadata (RFC 8878, 3.1.2).
func skippableFrame(head []byte) bool {
	return len(head) >= 8 && binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50
}

func isBootSector(head []byte) bool {
	return len(head) >= 512 && head[510] == 0x55 && head[511] == 0xaa
}

// isFilesystem tells a FAT, NTFS or exFAT volume boot record from a partition table: both end in 55 AA.
func isFilesystem(sector []byte) bool {
	for _, s := range filesystems {
		if s.offset < 512 && s.format == Filesystem && s.matches(sector) {
			return true
		}
	}
	return false
}

func looksLikeHTML(head []byte) bool {
	start := bytes.ToLower(bytes.TrimLeft(head[:min(len(head), 512)], " \t\r\n\ufeff"))
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html")) ||
		bytes.HasPrefix(start, []byte("<?xml"))
}
