package journal

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// maxFile is the most of one file that is packed: a conductor takes 16 MiB of answer, in base64.
const maxFile = 2 << 20

// pseudo are the files of the running kernel that are worth having. The kernel's command line is not
// among them: it may hold a token.
var pseudo = []string{"proc/mounts", "proc/partitions", "proc/meminfo", "proc/modules", "proc/net/route", "proc/net/dev", "proc/mdstat"}

// Collect packs the agent's log, the kernel's, what the machine is made of, and some of the kernel's
// tables below root. What cannot be read is left out, or says why in its place.
func Collect(root string, ring *Ring, dmesg []byte, inventory func() (any, error)) ([]byte, error) {
	files := []File{{"agent.log", ring.Text()}, {"dmesg", tail(dmesg)}, {"inventory.json", describe(inventory)}}
	for _, name := range pseudo {
		if data, err := os.ReadFile(filepath.Join(root, name)); err == nil {
			files = append(files, File{name, tail(data)})
		}
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

func tail(b []byte) []byte { return b[max(0, len(b)-maxFile):] }
