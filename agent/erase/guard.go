package erase

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"
)

// Partition types of cluster file systems. Source: agent protocol reference §12.6.
var protectedTypes = map[uuid.UUID]string{
	uuid.MustParse("37AFFC90-EF7D-4E96-91C3-2D7AE055B174"): "GPFS",
	uuid.MustParse("AA31E02A-400F-11DB-9590-000C2911D1B8"): "VMFS",
}

const (
	protectedMBRType = 0xfb // VMFS
	// maxEntries is the most of a GPT that is looked at; 128 is what every tool makes.
	maxEntries = 512
)

// guard refuses a disk that seems to be shared by a cluster: wiping it would destroy other machines' data.
// It reads what is there; a disk that cannot be read is not guarded, the wipe will say why.
func guard(r io.ReaderAt, partitions []Span) error {
	starts := []int64{0}
	for _, p := range partitions {
		starts = append(starts, p.Start)
	}
	for _, at := range starts {
		if gfs2(r, at) {
			return fmt.Errorf("%w: it holds a GFS2 file system", ErrProtected)
		}
	}
	if name := protectedPartition(r); name != "" {
		return fmt.Errorf("%w: it has a partition of type %s", ErrProtected, name)
	}
	return nil
}

// gfs2 looks for the superblock, 64 KiB from the start, whose first four bytes are its magic number,
// big-endian. Source: Linux, Documentation/filesystems/gfs2.
func gfs2(r io.ReaderAt, at int64) bool {
	var head [8]byte
	_, err := r.ReadAt(head[:], at+64<<10)
	return err == nil && binary.BigEndian.Uint32(head[:]) == 0x01161970 && binary.BigEndian.Uint32(head[4:]) == 1
}

// protectedPartition reads the partition table and gives the name of the first protected type in it.
func protectedPartition(r io.ReaderAt) string {
	var mbr [512]byte
	if n, err := r.ReadAt(mbr[:], 0); n < len(mbr) || err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	if mbr[510] == 0x55 && mbr[511] == 0xaa {
		for i := range 4 {
			if mbr[446+16*i+4] == protectedMBRType {
				return "VMFS"
			}
		}
	}
	for _, sector := range []int64{512, 4096} {
		if name := protectedGPT(r, sector); name != "" {
			return name
		}
	}
	return ""
}

// protectedGPT reads the primary GPT of a disk with the given sector size. Source: UEFI specification 2.10,
// §5.3. Its checksums are not looked at: a damaged table is a reason to look, not to wipe.
func protectedGPT(r io.ReaderAt, sector int64) string {
	var head [92]byte
	if _, err := r.ReadAt(head[:], sector); err != nil || !bytes.HasPrefix(head[:], []byte("EFI PART")) {
		return ""
	}
	at := binary.LittleEndian.Uint64(head[72:])
	count := min(binary.LittleEndian.Uint32(head[80:]), maxEntries)
	size := binary.LittleEndian.Uint32(head[84:])
	if size < 128 || size > 4096 || at > 1<<40 {
		return ""
	}
	var guid [16]byte
	for i := range int64(count) {
		if _, err := r.ReadAt(guid[:], int64(at)*sector+i*int64(size)); err != nil {
			return ""
		}
		if name, ok := protectedTypes[fromGPT(guid)]; ok {
			return name
		}
	}
	return ""
}

// fromGPT turns the mixed order of a GUID on disk into the order of its text.
func fromGPT(b [16]byte) uuid.UUID {
	return uuid.UUID{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]}
}
