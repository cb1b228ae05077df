package installed

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	maxFstab = 1 << 20 // bytes
	maxMount = 4 << 10 // bytes of a path
)

// wantedBelow are the parts of an installed system that are mounted with it, in this order.
var wantedBelow = []string{"/usr", "/var", "/var/log", "/home", "/opt", "/srv", "/boot", "/boot/efi", "/efi"}

// line is one of an fstab that is to be mounted.
type line struct {
	source string // UUID=…, LABEL=…, PARTUUID=…, PARTLABEL=… or a path below /dev
	at     string
	subvol string // of btrfs; "": none is named
	kind   string // of the file system, as the fstab calls it
	odd    bool   // what is mounted is not told by the device and subvol alone
}

// parseFstab gives the lines of an fstab that are worth mounting, in the order in which they can be.
func parseFstab(data string) []line {
	found := slices.DeleteFunc(readFstab(data), func(l line) bool { return !slices.Contains(wantedBelow, l.at) })
	slices.SortStableFunc(found, func(a, b line) int {
		return slices.Index(wantedBelow, a.at) - slices.Index(wantedBelow, b.at)
	})
	return slices.CompactFunc(found, func(a, b line) bool { return a.at == b.at })
}

// readFstab reads all lines. Source of the form: fstab(5).
func readFstab(data string) []line {
	var found []line
	for text := range strings.Lines(data) {
		text = strings.TrimSpace(text)
		f := strings.Fields(text)
		if strings.HasPrefix(text, "#") || len(f) < 3 || len(text) > maxMount {
			continue
		}
		l := line{source: unescape(f[0]), at: path.Clean(unescape(f[1])), kind: f[2]}
		if len(f) > 3 {
			for o := range strings.SplitSeq(f[3], ",") {
				name, ok := strings.CutPrefix(o, "subvol=")
				if ok && subvolume.MatchString(name) {
					l.subvol = name
				}
				l.odd = l.odd || ok && l.subvol != name || strings.HasPrefix(o, "subvolid=") || o == "bind" || o == "rbind"
			}
		}
		found = append(found, l)
	}
	return found
}

// subvolume is a btrfs subvolume's path that fits into mount's options.
var subvolume = regexp.MustCompile(`^[A-Za-z0-9@_./+-]{1,255}$`)

// unescape reads the octal escapes of fstab: a space is \040.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// tags are the folders in which udev has a link for each device, by the word in an fstab.
var tags = map[string]string{"UUID": "by-uuid", "LABEL": "by-label", "PARTUUID": "by-partuuid", "PARTLABEL": "by-partlabel"}

var tagValue = regexp.MustCompile(`^[A-Za-z0-9_.:+-]{1,128}$`)

// devicePath is where the device of an fstab's line is; "" if it names none: a network, a virtual file system, or a name
// that is no name.
func devicePath(source string) string {
	if word, value, ok := strings.Cut(source, "="); ok {
		value = strings.Trim(value, `"`)
		if folder := tags[word]; folder != "" && tagValue.MatchString(value) {
			if word == "PARTUUID" {
				value = strings.ToLower(value)
			}
			return path.Join("/dev/disk", folder, value)
		}
		return ""
	}
	if p := path.Clean(source); strings.HasPrefix(p, "/dev/") && p == source {
		return p
	}
	return ""
}
