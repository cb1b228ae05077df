package disk

import (
	"time"

	"ingot/internal/image"
)

// Report says what was written. Sizes and places are bytes.
type Report struct {
	RootUUID   string            // MBR: the disk signature as 0x%08x; GPT: the PARTUUID of the root partition
	Table      string            // "gpt" or "mbr"
	DiskID     string            // GPT: the disk's GUID; MBR: the disk signature
	SectorSize int64             // that the table counts in
	Partitions []image.Partition // config drive included, in the order of the table
	ESP        *image.Partition  // the EFI system partition, for the boot entry; nil if there is none
	Drive      *image.Partition  // the config drive; nil if none was given

	Format      string // "raw" or "qcow2"
	Compression string // of the whole: "zstd", "gzip", "xz" or "" for none
	Downloaded  int64  // as the digest counts
	ImageSize   int64  // after decompression
	Written     int64  // data put on the disk
	Zeroed      int64  // holes
	Punched     bool   // holes were zeroed by the disk's own means, not by writing
	Breaks      int    // connections lost and continued
	Reread      bool   // the kernel has taken the new table
	Took        time.Duration
}

// describe fills in what the final table says.
func (r *Report) describe(t *image.Table) {
	r.Table, r.DiskID, r.SectorSize, r.Partitions = t.Kind, t.ID, t.SectorSize, t.Partitions
	r.RootUUID = t.ID
	if t.Kind == image.GPT {
		r.RootUUID = rootOf(t).UUID
	}
	for i := range t.Partitions {
		if t.Partitions[i].IsESP() {
			r.ESP = &t.Partitions[i]
			break
		}
	}
}

// rootOf is the partition typed as Linux root, else the largest that is not the ESP.
func rootOf(t *image.Table) image.Partition {
	var root image.Partition
	for _, p := range t.Partitions {
		if p.Type == image.TypeLinuxRoot.String() {
			return p
		}
		if !p.IsESP() && p.Size > root.Size {
			root = p
		}
	}
	if root.Number == 0 {
		return t.Partitions[0]
	}
	return root
}
