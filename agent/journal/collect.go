package journal

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ingot/internal/secret"
)

const (
	// maxFile is the most of one file that is packed, maxFiles the most of all: a conductor takes some tens of
	// MiB of answer, in base64.
	maxFile  = 2 << 20
	maxFiles = 16 << 20
)

// pseudo are the files of the running kernel that are worth having, and the names that upstream's agents have for
// the same. The kernel's command line is not among them: it may hold a token.
var pseudo = []struct{ path, name string }{
	{"proc/mounts", "mount"}, {"proc/mdstat", "mdstat"}, {"proc/partitions", "partitions"}, {"proc/meminfo", "meminfo"}, {"proc/modules", "modules"},
	{"proc/net/route", "route"}, {"proc/net/dev", "net_dev"}, {"proc/bus/pci/devices", "pci"}, {"proc/interrupts", "interrupts"}, {"proc/uptime", "uptime"},
}

// Sources are what logs are collected from.
type Sources struct {
	Root      string // where proc is
	Ring      *Ring
	Dmesg     []byte
	Inventory func() (any, error)
	// More are made by whoever knows the machine better: disks, interfaces, boot entries.
	More []File
	// Hide are values that must not be in the logs, wherever they come from.
	Hide []secret.Secret
}

// Collect packs the agent's log, the kernel's, what the machine is made of, and some of the kernel's tables. The
// names of files are those of upstream's archive where there is such a thing there: journal, dmesg, mount and so on.
// What cannot be read is left out, or says why in its place; secrets are replaced by a mask.
func Collect(s Sources) ([]byte, error) {
	files := []File{{"journal", s.Ring.Text()}, {"dmesg", s.Dmesg}, {"inventory.json", describe(s.Inventory)}}
	for _, p := range pseudo {
		if data, err := os.ReadFile(filepath.Join(s.Root, p.path)); err == nil {
			files = append(files, File{p.name, data})
		}
	}
	files = append(files, s.More...)
	left := maxFiles
	for i := range files {
		// Masked first: half a secret is not found any more, and is one too many.
		files[i].Data = tail(scrub(files[i].Data, s.Hide), min(maxFile, left))
		left -= len(files[i].Data)
	}
	return Archive(files, time.Now())
}

func describe(inventory func() (any, error)) []byte {
	v, err := inventory()
	if err != nil {
		return fmt.Appendf(nil, "%v\n", err)
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Appendf(nil, "%v\n", err)
	}
	return append(text, '\n')
}

func tail(b []byte, most int) []byte { return b[max(0, len(b)-max(most, 0)):] }
