package disk

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"ingot/internal/image"
)

// fsID is how an fstab names a file system: by its own id or label, or by its partition's. What it does not name
// is empty.
type fsID struct {
	uuid  []byte // 16 bytes, or 4 for a FAT, as they read
	label string
	part  image.GUID
}

// fstab is what an image expects of the disk it is on. The partitions that are made beside it are given these ids:
// else a system that looks for its EFI system partition would stop at its first boot.
type fstab struct{ root, esp, swap fsID }

var (
	longID  = regexp.MustCompile(`^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	shortID = regexp.MustCompile(`^[0-9a-fA-F]{4}-[0-9a-fA-F]{4}$`)
	label   = regexp.MustCompile(`^[A-Za-z0-9_. -]{1,11}$`) // what a FAT can have, too
)

// parseFstab reads fstab(5). Lines that it does not understand are the image's affair.
func parseFstab(text string) (f fstab) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		switch {
		case fields[1] == "/":
			f.root.take(fields[0])
		case fields[1] == "/boot/efi" || fields[1] == "/efi":
			f.esp.take(fields[0])
		case fields[2] == "swap":
			f.swap.take(fields[0])
		}
	}
	return f
}

// take reads the first field of a line.
func (id *fsID) take(spec string) {
	kind, value, ok := strings.Cut(spec, "=")
	if !ok {
		kind, value = byLink(spec)
	}
	value = strings.Trim(value, `"`)
	switch {
	case kind == "UUID" && (longID.MatchString(value) || shortID.MatchString(value)):
		id.uuid, _ = hex.DecodeString(strings.ReplaceAll(value, "-", ""))
	case kind == "LABEL" && label.MatchString(value):
		id.label = value
	case kind == "PARTUUID" && longID.MatchString(value):
		id.part = image.MustGUID(strings.ToLower(value))
	}
}

// byLink is for the names that udev makes.
func byLink(path string) (kind, value string) {
	for kind, prefix := range map[string]string{"UUID": "/dev/disk/by-uuid/", "LABEL": "/dev/disk/by-label/", "PARTUUID": "/dev/disk/by-partuuid/"} {
		if value, ok := strings.CutPrefix(path, prefix); ok {
			return kind, value
		}
	}
	return "", ""
}

// String is for messages and tests.
func (id fsID) String() string { return fmt.Sprintf("%x %q %s", id.uuid, id.label, id.part) }
