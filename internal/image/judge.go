package image

import (
	"errors"
	"io"
	"slices"
	"strings"

	"ingot/internal/fault"
)

// checks are the rules of the formats that have parts to be judged. A format without is judged where it is read, or is refused
// whatever it holds.
var checks = map[Format]func(*view) error{VMDK: checkVMDK, VHD: checkVHD, VHDX: checkVHDX, VDI: checkVDI, LUKS: checkLUKS, ISO: checkISO}

// Formats gives every format of disks that head starts as, each once. More than one is a file that two readers may understand
// in two ways.
func Formats(head []byte) []Format {
	var found []Format
	for _, s := range signatures {
		if _, disk := names[s.format]; disk && s.matches(head) && !slices.Contains(found, s.format) {
			found = append(found, s.format)
		}
	}
	if isBootSector(head) && !isFilesystem(head[:512]) {
		found = append(found, Raw)
	}
	return found
}

// several refuses a file that is of several formats, but for an ISO that has a partition table, too: that is how media are made
// which boot from a USB stick. Source: images reference §5.
func (r Rules) several(found []Format) error {
	hybrid := len(found) == 2 && slices.Contains(found, ISO) && slices.Contains(found, Raw)
	if r.Shallow || len(found) < 2 || hybrid {
		return nil
	}
	words := make([]string, len(found))
	for i, f := range found {
		words[i] = f.inWords()
	}
	return fault.New(fault.Invalid, "The image is of several formats at once: %s. No image of an honest maker is: give it in one.", strings.Join(words, ", and "))
}

// formatOf names the one format of a file that starts with head, which v reads. declared is the user's word: bytes that are
// nothing known are raw only if that says so. What is never written is refused here, with the worst that can be said of it.
func (o Options) formatOf(v *view, head []byte) (Format, error) {
	format := Detect(head)
	found := Formats(head)
	if len(found) > 0 && slices.Contains(found, format) {
		if err := o.several(found); err != nil {
			return "", err
		}
	}
	if format == Unknown && !v.cut && fixedVHD(v) {
		format = VHD
	}
	if check := checks[format]; check != nil && !(o.Shallow && format == ISO) {
		if err := unsafe(format, check(v)); err != nil {
			return "", err
		}
	}
	switch {
	case format == Unknown && strings.EqualFold(o.Declared, string(Raw)):
		return Raw, nil
	case format == ISO && slices.Contains(found, Raw) && !o.inner:
		return ISO, nil
	case format == Raw, format == Filesystem, format == Unknown && o.Partition:
		return format, nil
	}
	return "", fault.New(fault.Invalid, "%s", refusals[format])
}

// unsafe makes what a check found a refusal. What could not be seen is not held against an image that is refused anyhow.
func unsafe(f Format, err error) error {
	var reader broken
	switch {
	case err == nil, errors.Is(err, errUnseen):
		return nil
	case errors.As(err, &reader):
		return reader.error
	}
	return fault.New(fault.Invalid, "The image is %s and is not safe to read: %s.", f.inWords(), err)
}

// fixedVHD tells a fixed Virtual PC disk, which has its mark at its end alone.
func fixedVHD(v *view) bool {
	if v.size < vhdFooter {
		return false
	}
	b, err := v.bytes(v.size-vhdFooter, vhdFooter)
	return err == nil && string(b[:8]) == "conectix"
}

// Check judges a whole file, as far as can be done without decoding it: what it is, whether that is safe, permitted and as
// declared, and whether it is all there. r reads it at any place, size is its length. The errors are as NewDecoder's, or r's own.
func Check(r io.ReaderAt, size int64, o Options) (Info, error) {
	head := make([]byte, min(max(size, 0), HeadSize))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Info{}, err
	}
	switch Detect(head[:min(len(head), 64)]) {
	case Gzip, Zstd, XZ:
		d, err := NewDecoder(io.NewSectionReader(r, 0, size), o)
		if err != nil {
			return Info{}, err
		}
		d.Close()
		return d.Info(), nil
	case QCOW2:
		q, err := OpenQCOW2(r, size, o)
		if err != nil {
			return Info{}, err
		}
		return q.Info(), q.Walk()
	}
	info, err := o.inspect(newView(r, size), head)
	if err != nil {
		return info, err
	}
	switch end, what := info.End(); {
	case o.MaxSize > 0 && max(size, end) > o.MaxSize:
		return info, fault.New(fault.TooLarge, "The image needs %d bytes but the %s has %d.", max(size, end), o.place(), o.MaxSize)
	case size < end:
		return info, fault.New(fault.Invalid, "The image is cut short: it has %d bytes, its %s ends at byte %d.", size, what, end)
	}
	return info, nil
}
