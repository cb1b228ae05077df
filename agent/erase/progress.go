package erase

import (
	"path/filepath"
	"slices"
	"sync"

	"ingot/internal/agentapi"
)

// maxParts bounds how many disks are told of one by one.
const maxParts = 32

// tally adds up how far the disks are, each and together. It is safe for concurrent use.
type tally struct {
	say func(agentapi.Progress) // nil: nobody listens

	mu  sync.Mutex
	now agentapi.Progress
}

// tally starts with every disk at nothing. The unit "devices" counts a disk as one, "bytes" by its size.
func (o Options) tally(what, unit string, disks []Disk) *tally {
	t := &tally{say: o.Progress, now: agentapi.Progress{What: what, Unit: unit}}
	for _, d := range disks {
		total := int64(1)
		if unit == "bytes" {
			total, _ = sizeOf(d.Path) // opening it will tell the error
		}
		t.now.Total += total
		if len(t.now.Parts) < maxParts {
			t.now.Parts = append(t.now.Parts, agentapi.Part{Name: filepath.Base(d.Path), Total: total})
		}
	}
	return t
}

func (t *tally) add(path string, n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.now.Done += n
	name := filepath.Base(path)
	for i := range t.now.Parts {
		if t.now.Parts[i].Name == name {
			t.now.Parts[i].Done += n
		}
	}
	if t.say != nil {
		now := t.now
		now.Parts = slices.Clone(t.now.Parts)
		t.say(now)
	}
}
