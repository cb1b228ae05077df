package disk

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"ingot/internal/agentapi"
	"ingot/internal/image"
	"ingot/internal/source"
)

// progressEvery is how often Request.Progress is called.
const progressEvery = 500 * time.Millisecond

// Request is one image for one disk.
type Request struct {
	Device      string             // a block device, or a file of the disk's size
	Image       agentapi.ImageInfo // where it is and its SHA-256 or SHA-512
	ConfigDrive string             // base64 of gzip of a file system image, or a URL of that; "" for none
	// Progress is called twice a second, and at the end, from another goroutine, with the bytes
	// downloaded and in all. It may be nil.
	Progress func(agentapi.Progress)

	// fetch changes how patient downloads are; tests set it.
	fetch source.Options
	// esp is the size of the EFI system partition, if not 0; tests set it, to have less to read.
	esp int64
}

// WriteImage puts the image on the disk as the package's doc says. It returns when everything is durable,
// or with an *agentapi.CommandError and a disk that cannot boot.
func WriteImage(ctx context.Context, r Request) (Report, error) {
	began := time.Now()
	j := &job{request: r}
	err := j.request.access()
	if err == nil {
		err = j.run(ctx)
	}
	j.report.Took = time.Since(began)
	return j.report, err
}

// job is one WriteImage under way.
type job struct {
	request Request
	report  Report
	cancel  context.CancelFunc // ends the download and what hangs on it

	digest  source.Digest
	drive   *drive
	disk    *device // all of it
	dev     *device // where the image goes: the disk, or a window on the partition for it
	parts   *parts  // nil for a whole-disk image
	fetcher *fetcher
	ranges  *source.Ranges // parts of what the fetcher downloads
	scatter *scatter
}

func (j *job) run(ctx context.Context) error {
	ctx, j.cancel = context.WithCancel(ctx)
	defer j.cancel()
	var err error
	if j.digest, err = wanted(ctx, j.request); err != nil {
		return err
	}
	if j.drive, err = loadDrive(ctx, j.request.ConfigDrive, j.request.open()); err != nil {
		return err
	}
	if j.disk, err = openDevice(j.request.Device); err != nil {
		return fail(writeError, "The disk %s cannot be written: %s.", j.request.Device, err)
	}
	defer j.disk.close()
	if j.dev = j.disk; j.request.Image.ImageType == partitionType {
		if j.parts, err = divide(j.request.Image.Partitions, j.disk, cmp.Or(j.request.esp, espSize), j.drive != nil); err != nil {
			return err
		}
		j.dev = j.disk.window(j.parts.root.Start, j.parts.root.Size)
	}
	body, err := source.Open(ctx, j.request.Image.URLs, j.request.fetch)
	if err != nil {
		return as(downloadError, err)
	}
	defer body.Close()
	size := body.Size()

	var work sync.WaitGroup
	defer work.Wait()
	defer j.cancel() // before waiting
	j.fetcher, j.ranges = newFetcher(body, j.digest.Hash()), body.Ranges()
	work.Go(func() { j.fetcher.run(ctx) })
	work.Go(func() { j.watch(ctx, size) })
	if err := j.transfer(ctx, size); err != nil {
		return named(j.request.Image.ID, err)
	}
	j.report.Breaks = body.Breaks() // all is read: the fetcher is done with it
	finish := j.finish
	if j.parts != nil {
		finish = j.finishParts
	}
	if err := finish(ctx); err != nil {
		return j.undo(err)
	}
	return nil
}

// partitionType is the image_type of a partition image.
const partitionType = "partition"

// options are how the image is read.
func (j *job) options() image.Options {
	o := image.Options{Declared: j.request.Image.DiskFormat, MaxSize: j.dev.size, Partition: j.parts != nil}
	o.Shallow = j.request.Image.Shallow
	for _, f := range j.request.Image.Permitted {
		o.Permitted = append(o.Permitted, image.Format(f))
	}
	return o
}

// clearEnds takes away what makes the disk, and the place for the image, look like anything.
func (j *job) clearEnds() error {
	if j.parts != nil {
		if err := j.disk.clearEnds(); err != nil {
			return err
		}
	}
	return j.dev.clearEnds()
}

// wanted is the digest the image must have. Only SHA-2 is taken, as a value or a checksum file's URL.
func wanted(ctx context.Context, r Request) (source.Digest, error) {
	i := r.Image
	spec := i.Checksum
	if i.HashValue != "" {
		if spec = i.HashValue; i.HashAlgo != "" && !strings.Contains(spec, "://") {
			spec = i.HashAlgo + ":" + spec
		}
	}
	switch {
	case len(i.URLs) == 0:
		return source.Digest{}, fail(paramsError, "image_info has no urls.")
	case spec == "" || spec == "auto":
		return source.Digest{}, fail(paramsError, "image_info has no checksum: give os_hash_algo and os_hash_value.")
	case i.ImageType != "" && i.ImageType != "whole-disk" && i.ImageType != partitionType:
		return source.Digest{}, fail(paramsError, "Images of type %.40q are not supported: whole-disk and partition images are.", i.ImageType)
	case strings.Contains(spec, "://"):
		d, err := source.Checksum(ctx, i.URLs[0], spec, r.fetch)
		return d, as(downloadError, err)
	}
	d, err := source.ParseDigest(spec, i.AllowMD5)
	return d, as(paramsError, err)
}

// transfer brings the image to the disk, all but its held-back parts, and checks the digest. size is that
// of the download, -1 if unknown. Failing after the first write, it leaves no partition table behind.
func (j *job) transfer(ctx context.Context, size int64) error {
	first, err := j.fetcher.peek()
	if err != nil && err != io.EOF {
		return err
	}
	if image.Detect(first[:min(len(first), 64)]) == image.QCOW2 {
		return j.transferQCOW2(ctx)
	}
	decoder, err := image.NewDecoder(j.fetcher, j.options())
	if err != nil {
		return refused(err)
	}
	defer decoder.Close()
	head, err := j.inspect(decoder, size)
	if err != nil {
		return err
	}
	j.scatter = newScatter(ctx, j.dev, head)
	if err := j.clearEnds(); err != nil {
		return j.undo(as(writeError, err))
	}
	ahead := newDecoded()
	var decoding sync.WaitGroup
	defer decoding.Wait()
	decoding.Go(func() { ahead.run(ctx, decoder) })
	if err = j.scatterAll(ahead); err != nil {
		j.cancel() // so that the decoder does not wait for the network
		return j.undo(as(writeError, err))
	}
	if err = j.verify(decoder.Info(), ahead.err); err != nil {
		return j.undo(err)
	}
	return nil
}

// inspect decides, before the first write, whether this image may go on this disk, and gives its head.
func (j *job) inspect(d *image.Decoder, size int64) ([]byte, error) {
	info := d.Info()
	j.report.Format, j.report.Compression = string(info.Format), string(info.Compression)
	if info.Compression == "" && size >= 0 {
		if size > j.dev.size {
			return nil, fail(writeError, "The image is larger than the %[2]s: it has %[1]d bytes, the %[2]s %[3]d.", size, j.dev.what, j.dev.size)
		}
		if end, what := info.End(); size < end {
			return nil, fail(invalidImage, "The image is cut short: it has %d bytes, its %s ends at byte %d.", size, what, end)
		}
	}
	head := make([]byte, image.HeadSize)
	n, err := readFull(d, head)
	if err != nil && err != io.EOF {
		return nil, refused(err)
	}
	return head[:n], j.fits(info, head[:n])
}

// fits sees that the image's partition table can be the disk's, or that the disk can hold its file system. head is
// the image's first MiB, or all of it.
func (j *job) fits(info image.Info, head []byte) error {
	if j.parts != nil {
		if info.Root.Block < j.dev.sector {
			return fail(invalidImage, "The image's file system has blocks of %d bytes, this disk has sectors of %d.", info.Root.Block, j.dev.sector)
		}
		return nil
	}
	t := info.Table
	if j.dev.block && t.SectorSize != j.dev.sector {
		return fail(invalidImage, "The image is made for disks with sectors of %d bytes, this disk has sectors of %d.", t.SectorSize, j.dev.sector)
	}
	_, err := newLayout(append(append([]byte(nil), head...), zeros[:image.HeadSize-len(head)]...), j.dev.size)
	return err
}

// scatterAll writes until the decoder has no more. Why it stopped is the decoder's to say.
func (j *job) scatterAll(ahead *decoded) error {
	for block := range ahead.full {
		if err := j.scatter.put(block); err != nil {
			return err
		}
		ahead.free <- block[:blockSize]
	}
	return j.scatter.settle()
}

// verify compares the digest of all that was downloaded, once it all is. A stream that does not decode is
// more likely damaged on the way than made so, and the digest tells.
func (j *job) verify(info image.Info, decodeErr error) error {
	var refusal error
	if decodeErr != nil {
		if refusal = refused(decodeErr); refusal.(*agentapi.CommandError).Type != invalidImage { //nolint:errorlint // refused makes nothing else
			return refusal
		}
	}
	if _, err := io.Copy(io.Discard, j.fetcher); err != nil {
		return as(downloadError, err)
	}
	if got := hex.EncodeToString(j.fetcher.hash.Sum(nil)); got != j.digest.Hex {
		return fail(checksumError, "The image %s has the %s checksum %s, but %s was expected.", j.request.Image.ID, j.digest.Algorithm, got, j.digest.Hex)
	}
	if refusal != nil {
		return refusal
	}
	if end, what := info.End(); j.scatter.off < end {
		return fail(invalidImage, "The image is cut short: it has %d bytes, its %s ends at byte %d.", j.scatter.off, what, end)
	}
	return nil
}

// undo leaves a disk that cannot boot, and says so if even that fails.
func (j *job) undo(err error) error {
	wipeErr := j.scatter.erase()
	if j.parts != nil {
		wipeErr = errors.Join(wipeErr, j.disk.eraseEnds())
	}
	if wipeErr != nil {
		c := *as(writeError, err).(*agentapi.CommandError) //nolint:errorlint // as makes nothing else
		c.Details += fmt.Sprintf(" Clearing the ends of the disk after that failed, too: %s.", wipeErr)
		return &c
	}
	return as(writeError, err)
}

// watch reports progress until ctx ends, and once more then.
func (j *job) watch(ctx context.Context, total int64) {
	if j.request.Progress == nil {
		return
	}
	tell := func() {
		j.request.Progress(agentapi.Progress{What: "writing image", Done: j.fetcher.count.Load(), Total: max(0, total), Unit: "bytes"})
	}
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			tell()
		case <-ctx.Done():
			tell()
			return
		}
	}
}
