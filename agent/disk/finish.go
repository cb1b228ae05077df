package disk

import (
	"bytes"
	"context"
	"fmt"

	"ingot/internal/image"
)

// finish makes a verified image a bootable disk. The order matters: the first MiB, without which nothing
// boots, is written when everything else is durable.
func (j *job) finish(ctx context.Context) error {
	s := j.scatter
	l, err := newLayout(s.head, j.dev.size)
	if err != nil {
		return err
	}
	if err := j.dev.zero(ctx, l.old.off, l.old.n); err != nil {
		return as(writeError, err)
	}
	if _, err := j.dev.WriteAt(s.tail, j.dev.size-mib); err != nil {
		return as(writeError, err)
	}
	if err := j.dev.flush(); err != nil {
		return as(writeError, err)
	}
	if err := j.placeDrive(ctx, l); err != nil {
		return err
	}
	if err := j.writeTable(l); err != nil {
		return as(writeError, err)
	}
	j.told(l)
	return nil
}

// told fills in the report once all is on the disk.
func (j *job) told(l *layout) {
	s := j.scatter
	j.report.describe(l.table)
	j.report.Downloaded, j.report.ImageSize = j.fetcher.count.Load(), s.off
	j.report.Written, j.report.Zeroed, j.report.Punched = s.written, s.zeroed, j.dev.punch
	j.report.Reread = j.disk.reread() == nil
}

// placeDrive writes the config drive into the image's own partition for it, or into a new one.
func (j *job) placeDrive(ctx context.Context, l *layout) error {
	if j.drive == nil {
		return nil
	}
	c := canvas{l.head, j.dev}
	p, ok, err := findDrive(c, l.table.Partitions)
	if err != nil {
		return err
	}
	if !ok {
		if p, err = j.newDrive(ctx, l); err != nil {
			return err
		}
	}
	j.report.Drive = &p
	return j.drive.write(c, p)
}

// newDrive makes the partition and clears what old data the drive will not cover.
func (j *job) newDrive(ctx context.Context, l *layout) (image.Partition, error) {
	p, err := l.addDrive()
	if err != nil {
		return p, err
	}
	return p, as(deployError, j.dev.zero(ctx, p.Start+j.drive.size, p.Size-j.drive.size))
}

// writeTable writes the backup table, then the first MiB, each durably, and reads the latter back.
func (j *job) writeTable(l *layout) error {
	if backup, at := l.seal(); backup != nil {
		if _, err := j.disk.WriteAt(backup, at); err != nil {
			return err
		}
	}
	if err := j.disk.flush(); err != nil {
		return err
	}
	if _, err := j.disk.WriteAt(l.head, 0); err != nil {
		return err
	}
	if err := j.disk.flush(); err != nil {
		return err
	}
	if err := j.disk.dropCache(0, mib); err != nil {
		return err
	}
	back := make([]byte, mib)
	if _, err := j.disk.ReadAt(back, 0); err != nil {
		return err
	}
	if !bytes.Equal(back, l.head) {
		return fmt.Errorf("the first MiB does not read back from %s as it was written", j.disk.path)
	}
	table, err := image.ParseTable(back)
	if err != nil {
		return err
	}
	l.table = table
	return nil
}
