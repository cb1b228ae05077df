package inventory

import (
	"cmp"
	"context"
	"reflect"
	"time"

	"ingot/internal/agentapi"
)

// Patience is how disks are waited for: a controller finds its disks one after another, some seconds after
// its module was loaded, and disks take their time to spin up. Zero fields mean the defaults.
type Patience struct {
	Quiet time.Duration // how long the list must not change; default 5 s
	Limit time.Duration // after that the list is taken as it is; default 60 s
	Every time.Duration // between two looks; default 500 ms
}

func (p Patience) withDefaults() Patience {
	return Patience{
		Quiet: cmp.Or(p.Quiet, 5*time.Second),
		Limit: cmp.Or(p.Limit, time.Minute),
		Every: cmp.Or(p.Every, 500*time.Millisecond),
	}
}

// Settle looks until there are disks, enough is satisfied with them, and they have been the same for
// p.Quiet; or for p.Limit. It gives what was found last. A machine without disks takes the whole limit.
func (m Machine) Settle(ctx context.Context, p Patience, enough func([]agentapi.Disk) bool) ([]agentapi.Disk, error) {
	p = p.withDefaults()
	start := time.Now()
	changed := start
	disks, err := m.Disks()
	for {
		settled := err == nil && len(disks) > 0 && time.Since(changed) >= p.Quiet && enough(disks)
		if settled || time.Since(start) >= p.Limit {
			return disks, err
		}
		timer := time.NewTimer(p.Every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return disks, ctx.Err()
		case <-timer.C:
		}
		var now []agentapi.Disk
		if now, err = m.Disks(); err != nil || !reflect.DeepEqual(now, disks) {
			changed = time.Now()
		}
		disks = now
	}
}

// Any is satisfied with whatever disks there are.
func Any([]agentapi.Disk) bool { return true }
