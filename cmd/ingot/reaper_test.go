package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// death is a kill -9 of servers.
type death struct {
	who   string // apiDies, conductorDies or bothDie
	at    string // before this save is committed; or a moment
	nth   int    // of the saves of that name in one life, from 1; 0: at is a moment
	after bool   // the save is committed, and nobody is told
}

const apiDies, conductorDies, bothDie = "api", "conductor", "both"

func (d death) String() string {
	out := d.who + " at " + d.at
	if d.nth > 1 {
		out += fmt.Sprintf(" (%d)", d.nth)
	}
	if d.after {
		out += ", committed"
	}
	return out
}

func deadly(t *testing.T) (full bool) {
	t.Helper()
	full = os.Getenv("INGOT_LAB_FULL") == "1"
	if !full && os.Getenv("INGOT_LAB") != "1" {
		t.Skip("skipped: set INGOT_LAB=1 to kill servers at each step, for a minute, or INGOT_LAB_FULL=1 at each save")
	}
	return full
}

// moments are the saves of a life in which nobody died, as deaths of nobody yet: those that are chosen, or all. chosen is asked of
// each, with how often it was seen.
func moments(saves []string, full bool, chosen func(at string, nth int) bool) (out []death) {
	seen := map[string]int{}
	for _, at := range saves {
		seen[at]++
		if chosen(at, seen[at]) || full {
			out = append(out, death{at: at, nth: seen[at]})
		}
	}
	return out
}

// reap lets servers die, in some worlds side by side. life is one with such a death, and says of what kind that was and how it ended;
// over looks at a world behind all of its lives.
func reap[W any, D fmt.Stringer](t *testing.T, deaths []D, born func(*testing.T) W, life func(W, D) (kind, end string), over func(W)) {
	t.Helper()
	const worlds = 4
	var mu sync.Mutex
	ends := map[string]int{} // how many lives ended so; guarded by mu
	t.Run("worlds", func(t *testing.T) {
		for i := range worlds {
			t.Run(fmt.Sprint(i+1), func(t *testing.T) {
				t.Parallel()
				w := born(t)
				for n := i; n < len(deaths); n += worlds {
					began := time.Now()
					kind, end := life(w, deaths[n])
					t.Logf("%s: %s, %.1f s", deaths[n], end, time.Since(began).Seconds())
					mu.Lock()
					ends[kind+": "+end]++
					mu.Unlock()
				}
				over(w)
			})
		}
	})
	t.Logf("%d deaths; how the lives ended:", len(deaths))
	for _, end := range slices.Sorted(maps.Keys(ends)) {
		t.Logf("%4d %s", ends[end], end)
	}
}
