package disk

import (
	"context"
	"crypto/rand"
	"hash/crc32"
	"runtime"

	"ingot/internal/agentapi"
	"ingot/internal/image"
)

const (
	// espSize is that of upstream's EFI system partition. Source: agent protocol reference, [disk_utils].
	espSize = 550 * mib
	// gptEntries is how many entries a table of ours has, each of 128 bytes: the least that UEFI 2.10, 5.3.1, allows.
	gptEntries = 128
	// maxPartMB bounds what is asked for, so that sums stay numbers: 1 EiB.
	maxPartMB = 1 << 40
)

// parts is how a disk is divided for a partition image. A partition of no size is not made.
type parts struct {
	esp, swap, drive, root image.Partition
}

// divide finds places, in upstream's order, the root last, so that it can grow. It refuses what cannot be done
// before the disk is touched.
func divide(p *agentapi.Partitions, disk *device, esp int64, drive bool) (*parts, error) {
	if p == nil {
		p = &agentapi.Partitions{}
	}
	switch {
	case p.BootMode != "" && p.BootMode != "uefi":
		return nil, fail(paramsError, "Partition images are deployed to machines that boot with UEFI only, not with %.20q: use a whole-disk image.", p.BootMode)
	case p.DiskLabel != "" && p.DiskLabel != image.GPT:
		return nil, fail(paramsError, "Partition images get a GPT only, not %.20q: set the capability disk_label to gpt or remove it.", p.DiskLabel)
	case p.EphemeralMB != 0 || p.PreserveEphemeral:
		return nil, fail(paramsError, "Ephemeral partitions are not supported: set ephemeral_gb to 0 and preserve_ephemeral to false.")
	case p.RootMB < minDevice/mib || p.RootMB > maxPartMB || p.SwapMB < 0 || p.SwapMB > maxPartMB:
		return nil, fail(paramsError, "A partition image needs root_mb, of at least %d, and swap_mb, of 0 for none.", minDevice/mib)
	}
	var out parts
	at := int64(mib)
	for _, e := range []struct {
		part *image.Partition
		size int64
	}{{&out.esp, esp}, {&out.swap, p.SwapMB * mib}, {&out.drive, bool64(drive) * driveSize}, {&out.root, p.RootMB * mib}} {
		e.part.Start, e.part.Size = at, e.size
		at += e.size
	}
	if at+mib > disk.size {
		return nil, fail(writeError, "The disk is too small: the partitions need %d MiB with their table (root %d, swap %d), it has %d MiB.",
			at/mib+1, p.RootMB, p.SwapMB, disk.size/mib)
	}
	return &out, nil
}

func bool64(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// newTable is the table of a divided disk, in memory. Where the image's fstab names partitions by their ids, they
// get these ids.
func newTable(p *parts, disk *device, ids fstab) (*layout, error) {
	sector := max(disk.sector, 512)
	l := &layout{head: make([]byte, mib), disk: disk.size}
	emptyGPT(l.head, sector, disk.size)
	var err error
	if l.gpt, err = editGPT(l.head, sector, disk.size); err != nil {
		return nil, fail(deployError, "The disk takes no partition table: %s.", err)
	}
	rootType := image.TypeLinuxRoot
	if runtime.GOARCH != "amd64" {
		rootType = image.TypeLinuxData
	}
	for _, e := range []struct {
		part *image.Partition
		kind image.GUID
		id   image.GUID
		name string
	}{
		{&p.esp, image.TypeESP, ids.esp.part, "EFI system"},
		{&p.swap, image.TypeLinuxSwap, ids.swap.part, "swap"},
		{&p.drive, image.TypeLinuxData, image.GUID{}, "config-2"},
		{&p.root, rootType, ids.root.part, "root"},
	} {
		if e.part.Size == 0 {
			continue
		}
		if e.id == (image.GUID{}) {
			e.id = newGUID()
		}
		if e.part.Number, err = l.gpt.add(e.kind, e.id, e.part.Start, e.part.Size, e.name); err != nil {
			return nil, fail(deployError, "The partition table has no room: %s.", err)
		}
	}
	l.table, err = l.parse()
	return l, err
}

// emptyGPT writes a protective MBR and the header of a table without entries; sealing it makes the rest.
func emptyGPT(head []byte, sector, size int64) {
	head[450] = 0xee
	copy(head[447:], []byte{0, 2, 0})
	copy(head[451:], []byte{0xff, 0xff, 0xff})
	le.PutUint32(head[454:], 1)
	head[510], head[511] = 0x55, 0xaa
	h := head[sector : 2*sector]
	last := uint64(size/sector) - 1
	array := uint64(gptEntries * 128 / sector)
	copy(h, "EFI PART\x00\x00\x01\x00")
	le.PutUint32(h[12:], 92)
	le.PutUint64(h[24:], 1)
	le.PutUint64(h[32:], last)
	le.PutUint64(h[40:], 2+array)
	le.PutUint64(h[48:], last-array-1)
	id := newGUID()
	copy(h[56:], id[:])
	le.PutUint64(h[72:], 2)
	le.PutUint32(h[80:], gptEntries)
	le.PutUint32(h[84:], 128)
	le.PutUint32(h[88:], crc32.ChecksumIEEE(make([]byte, gptEntries*128)))
	le.PutUint32(h[16:], image.HeaderCRC(h[:92]))
}

// newGUID is a random one: version 4, in a GPT's byte order.
func newGUID() (id image.GUID) {
	rand.Read(id[:])
	id[7], id[8] = id[7]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

// finishParts is finish for a partition image that was verified: what the machine boots with is read from it, the
// other partitions are made, and when all is durable the table is written.
func (j *job) finishParts(ctx context.Context) error {
	if _, err := j.dev.WriteAt(j.scatter.tail, j.dev.size-mib); err != nil {
		return as(writeError, err)
	}
	if _, err := j.dev.WriteAt(j.scatter.head, 0); err != nil {
		return as(writeError, err)
	}
	if err := j.dev.flush(); err != nil {
		return as(writeError, err)
	}
	root, err := image.OpenExt4(j.dev)
	if err != nil {
		return fail(invalidImage, "The partition image cannot be read back: %s.", err)
	}
	boot, err := findBoot(root, runtime.GOARCH)
	if err != nil {
		return fail(invalidImage, "The image cannot boot: %s.", err)
	}
	l, err := newTable(j.parts, j.disk, boot.fstab)
	if err != nil {
		return err
	}
	if err := j.fillParts(ctx, boot); err != nil {
		return err
	}
	if err := j.writeTable(l); err != nil {
		return as(writeError, err)
	}
	j.told(l)
	j.report.RootUUID = root.FileSystem().UUID
	return nil
}

// fillParts makes what is in the partitions other than the root. Nothing of what was there before is left in them,
// but in the swap space, which is written before it is read.
func (j *job) fillParts(ctx context.Context, boot *bootFiles) error {
	p := j.parts
	esp := j.disk.window(p.esp.Start, p.esp.Size)
	if err := esp.zero(ctx, 0, esp.size); err != nil {
		return as(writeError, err)
	}
	if err := boot.fill(esp); err != nil {
		return as(deployError, err)
	}
	if p.swap.Size > 0 {
		if err := makeSwap(ctx, j.disk.window(p.swap.Start, p.swap.Size), boot.fstab.swap); err != nil {
			return as(writeError, err)
		}
	}
	if j.drive == nil {
		return as(writeError, j.disk.flush())
	}
	if err := j.disk.zero(ctx, p.drive.Start+j.drive.size, p.drive.Size-j.drive.size); err != nil {
		return as(deployError, err)
	}
	j.report.Drive = &p.drive
	return j.drive.write(canvas{dev: j.disk}, p.drive)
}

// makeSwap writes the header of swap space, version 1, in pages of 4 KiB. Source: kernel, include/linux/swap.h.
func makeSwap(ctx context.Context, dev *device, id fsID) error {
	const page = 4096
	if err := dev.writeZeros(ctx, 0, min(mib, dev.size)); err != nil {
		return err
	}
	b := make([]byte, page)
	le.PutUint32(b[1024:], 1)
	le.PutUint32(b[1028:], uint32(min(dev.size/page-1, 1<<32-1)))
	if len(id.uuid) != 16 {
		rand.Read(b[1036:1052])
		b[1042], b[1044] = b[1042]&0x0f|0x40, b[1044]&0x3f|0x80
	} else {
		copy(b[1036:], id.uuid)
	}
	if id.label == "" {
		id.label = "swap1" // as upstream names it
	}
	copy(b[1052:1068], id.label)
	copy(b[page-10:], "SWAPSPACE2")
	_, err := dev.WriteAt(b, 0)
	return err
}
