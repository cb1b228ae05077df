package raid

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"ingot/internal/agentapi"
)

// Where the first partition begins. Source: agent protocol reference §12.7.
const (
	startUEFI = 551 * mib
	startBIOS = 8 * mib
)

// part is where a volume lies on one disk, bytes.
type part struct{ start, size int64 }

// layout places the volumes on their disks: by disk the partitions in order, and by volume the numbers of its
// partitions on its disks. The volume that takes what is left comes last.
func layout(volumes []Volume, uefi bool) (map[string][]part, [][]int, error) {
	first := int64(startBIOS)
	if uefi {
		first = startUEFI
	}
	disks := map[string][]part{}
	numbers := make([][]int, len(volumes))
	order := make([]int, len(volumes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return map[bool]int{true: 1, false: 0}[volumes[a].Size == 0] - map[bool]int{true: 1, false: 0}[volumes[b].Size == 0]
	})
	for _, i := range order {
		v := volumes[i]
		for _, d := range v.Disks {
			start := first
			if before := disks[d.Name]; len(before) > 0 {
				start = before[len(before)-1].start + before[len(before)-1].size
			}
			left := d.Size/mib*mib - mib - start // the last MiB is for the table's backup
			need := left
			if v.Size > 0 {
				// md keeps its own data before the volume's.
				need = (component(v.Level, v.Size, len(v.Disks))+mib-1)/mib*mib + 128*mib
			}
			if need > left || need < minComponent {
				return nil, nil, fmt.Errorf("volume %s needs %d MiB of %s, and %d are left", v.Name, max(need, minComponent)/mib, d.Name, max(left, 0)/mib)
			}
			disks[d.Name] = append(disks[d.Name], part{start, need})
			numbers[i] = append(numbers[i], len(disks[d.Name]))
		}
	}
	return disks, numbers, nil
}

// linuxRAID is A19D880F-05FC-4D3B-A006-743F0F84911E as it stands on a disk. Source: the list of partition types of
// the Discoverable Partitions Specification and gdisk, fd00.
var linuxRAID = [16]byte{0x0f, 0x88, 0x9d, 0xa1, 0xfc, 0x05, 0x3b, 0x4d, 0xa0, 0x06, 0x74, 0x3f, 0x0f, 0x84, 0x91, 0x1e}

const (
	entries   = 128
	entrySize = 128
)

// table makes a GPT: what stands at the begin of a disk, and what stands at its end. Source: UEFI specification
// 2.10, §5.2.3 and §5.3.
func table(size, sector int64, parts []part) (head, tail []byte, err error) {
	list := make([]byte, entries*entrySize)
	var ids [16 * (most + 1)]byte
	if _, err := rand.Read(ids[:]); err != nil {
		return nil, nil, err
	}
	for i, p := range parts {
		e := list[i*entrySize:]
		copy(e, linuxRAID[:])
		copy(e[16:], ids[16*i:16*i+16])
		e[16+7] = e[16+7]&0x0f | 0x40 // a random GUID says so
		binary.LittleEndian.PutUint64(e[32:], uint64(p.start/sector))
		binary.LittleEndian.PutUint64(e[40:], uint64((p.start+p.size)/sector-1))
	}
	last := size/sector - 1
	listSectors := (int64(len(list)) + sector - 1) / sector
	header := func(at, other, listAt int64) []byte {
		h := make([]byte, sector)
		copy(h, "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00")
		for off, v := range map[int]int64{24: at, 32: other, 40: 2 + listSectors, 48: last - listSectors - 1, 72: listAt} {
			binary.LittleEndian.PutUint64(h[off:], uint64(v))
		}
		copy(h[56:], ids[16*most:])
		binary.LittleEndian.PutUint32(h[80:], entries)
		binary.LittleEndian.PutUint32(h[84:], entrySize)
		binary.LittleEndian.PutUint32(h[88:], crc32.ChecksumIEEE(list))
		binary.LittleEndian.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
		return h
	}
	mbr := make([]byte, sector)
	mbr[446+2], mbr[446+4], mbr[446+5], mbr[446+6], mbr[446+7] = 2, 0xee, 0xff, 0xff, 0xff
	binary.LittleEndian.PutUint32(mbr[446+8:], 1)
	binary.LittleEndian.PutUint32(mbr[446+12:], uint32(min(last, 0xffffffff)))
	mbr[510], mbr[511] = 0x55, 0xaa
	padded := make([]byte, listSectors*sector)
	copy(padded, list)
	head = slices.Concat(mbr, header(1, last, 2), padded)
	tail = slices.Concat(padded, header(last, 1, last-listSectors))
	return head, tail, nil
}

// partition writes the table to a disk and makes the kernel read it.
func partition(device string, d agentapi.Disk, parts []part) error {
	sector := int64(d.LogicalSectors)
	if sector < 512 {
		sector = 512
	}
	head, tail, err := table(d.Size, sector, parts)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0)
	if err != nil {
		return err
	}
	defer f.Close() // what counts is flushed below
	if _, err := f.WriteAt(tail, d.Size/sector*sector-int64(len(tail))); err != nil {
		return err
	}
	if _, err := f.WriteAt(head, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0); err != nil {
		return fmt.Errorf("make the kernel read the partitions: %w", err)
	}
	return nil
}
