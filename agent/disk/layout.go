package disk

import (
	"ingot/internal/image"
)

// driveSize is the size of a config drive partition, and so of the largest config drive.
const driveSize = 64 * mib

// mbrLimit is the first byte an MBR entry cannot reach: 2^32 sectors of 512 bytes.
const mbrLimit = int64(512) << 32

// layout is the partition table the disk will have, in memory until it is written last of all.
type layout struct {
	head  []byte
	disk  int64
	table *image.Table
	gpt   *gptEdit // nil for an MBR
	old   run      // the image's own backup table, superfluous once the table is stretched; n is 0 if there is none
}

// newLayout takes the table in head and stretches it over the disk. It fails with a DeploymentError if
// the disk has no room for it.
func newLayout(head []byte, disk int64) (*layout, error) {
	table, err := image.ParseTable(head)
	if err != nil {
		return nil, fail(deployError, "The image has no usable partition table: %s.", err)
	}
	l := &layout{head: head, disk: disk, table: table}
	if table.Kind == image.MBR {
		return l, nil
	}
	if l.gpt, err = editGPT(head, table.SectorSize, disk); err != nil {
		return nil, fail(deployError, "The image's partition table does not fit this disk: %s.", err)
	}
	l.old = l.oldBackup()
	return l, nil
}

// oldBackup is where the image has its backup table, if no partition is there.
func (l *layout) oldBackup() run {
	h, sectors := l.gpt.h, l.gpt.arraySectors()
	if h.OtherLBA <= sectors || h.OtherLBA >= l.gpt.last || h.OtherLBA-sectors <= h.LastUsable {
		return run{}
	}
	r := run{int64(h.OtherLBA-sectors) * h.SectorSize, int64(sectors+1) * h.SectorSize}
	for _, p := range l.table.Partitions {
		if p.Start < r.off+r.n && r.off < p.End() {
			return run{}
		}
	}
	return r
}

// addDrive makes the config drive's partition: 64 MiB at the end of the disk, on a MiB boundary.
func (l *layout) addDrive() (image.Partition, error) {
	end := min(l.disk, mbrLimit)
	if l.gpt != nil {
		end = l.gpt.end()
	}
	start := alignDown(end-driveSize, mib)
	if start < l.table.End() || start < mib {
		return image.Partition{}, fail(deployError, "There is no room for the config drive: the image's last partition ends at byte %d, "+
			"and the last 64 MiB of the disk begin at byte %d.", l.table.End(), start)
	}
	number, err := l.add(start)
	if err != nil {
		return image.Partition{}, err
	}
	if l.table, err = l.parse(); err != nil {
		return image.Partition{}, err
	}
	for _, p := range l.table.Partitions {
		if p.Number == number {
			return p, nil
		}
	}
	return image.Partition{}, fail(deployError, "The config drive's partition is not in the table it was added to.")
}

func (l *layout) add(start int64) (int, error) {
	if l.gpt == nil {
		return addMBR(l.head, start)
	}
	number, err := l.gpt.add(image.TypeLinuxData, newGUID(), start, driveSize, "config-2")
	if err != nil {
		return 0, fail(deployError, "There is no room for the config drive: %s.", err)
	}
	return number, nil
}

// addMBR makes a Linux partition of driveSize in a free primary slot.
func addMBR(head []byte, start int64) (int, error) {
	for i := range 4 {
		e := head[446+16*i : 446+16*(i+1)]
		if e[4] != 0 {
			continue
		}
		clear(e)
		copy(e[1:], []byte{0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff}) // CHS out of range: use the LBA
		le.PutUint32(e[8:], uint32(start/512))
		le.PutUint32(e[12:], driveSize/512)
		return i + 1, nil
	}
	return 0, fail(deployError, "There is no room for the config drive: all four primary partitions of the MBR are used.")
}

// parse seals the table and reads it back as a stranger would.
func (l *layout) parse() (*image.Table, error) {
	l.seal()
	table, err := image.ParseTable(l.head)
	if err != nil {
		return nil, fail(deployError, "The changed partition table does not read back: %s.", err)
	}
	return table, nil
}

// seal finishes head and gives the backup table and its place; nothing for an MBR.
func (l *layout) seal() (backup []byte, at int64) {
	if l.gpt == nil {
		return nil, 0
	}
	return l.gpt.seal()
}
