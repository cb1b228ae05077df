package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
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

// The moments that are no saves.
const (
	whenWaiting   = "rescue wait" // the state
	whenFinalized = "finalize"    // the machine was told to let the user in, and has not answered yet
	whenRescued   = "rescue"      // the state
)

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

// want is how the rescue must end; "": by being complete, or by asking for the password again.
func (d death) want() string {
	switch {
	case d.who == conductorDies, d.at == whenFinalized, d.at == whenRescued, strings.HasPrefix(d.at, "unrescue/"):
		return "rescue" // whoever knows the hash lives, or it is not needed any more
	case d.at == whenWaiting:
		return "rescue failed" // the hash was lost with the API
	}
	return ""
}

func deadly(t *testing.T) (full bool) {
	t.Helper()
	full = os.Getenv("INGOT_LAB_FULL") == "1"
	if !full && os.Getenv("INGOT_LAB") != "1" {
		t.Skip("skipped: set INGOT_LAB=1 to kill servers at each step, for a minute, or INGOT_LAB_FULL=1 at each save")
	}
	return full
}

// TestRescueSurvivesDeath: the one server dies, API and conductor together, at each save of a rescue and of its end.
func TestRescueSurvivesDeath(t *testing.T) {
	deadly(t)
	var deaths []death
	for _, at := range calmly(t, newMortal, true) {
		deaths = append(deaths, death{who: bothDie, at: at.at, nth: at.nth})
	}
	reap(t, deaths, newMortal)
}

// TestRescueSurvivesDeathApart: API and conductor are processes of their own, on PostgreSQL. At each step of a rescue and of
// its end one of them dies, or both do: in turns, or all of it at each save, before its commit and after.
func TestRescueSurvivesDeathApart(t *testing.T) {
	full := deadly(t)
	var deaths []death
	all := []string{apiDies, conductorDies, bothDie}
	for _, who := range all {
		for _, at := range []string{whenWaiting, whenFinalized, whenRescued} {
			deaths = append(deaths, death{who: who, at: at})
		}
	}
	for i, at := range calmly(t, newApart, full) {
		at.who = all[i%len(all)]
		if !full {
			deaths = append(deaths, at)
			continue
		}
		for _, at.who = range all {
			for _, at.after = range []bool{false, true} {
				deaths = append(deaths, at)
			}
		}
	}
	reap(t, deaths, newApart)
}

// calmly leads a machine through a rescue in which nobody dies, and gives its saves, or the first of each step.
func calmly(t *testing.T, born func(*testing.T) *mortal, full bool) (saves []death) {
	t.Helper()
	t.Run("calm", func(t *testing.T) {
		m := born(t)
		m.life(death{})
		seen, steps := map[string]int{}, map[string]bool{}
		for _, at := range m.saves {
			seen[at]++
			step, _, _ := strings.Cut(at, " tried")
			step, _, _ = strings.Cut(step, " done")
			if full || !steps[step] {
				saves = append(saves, death{at: at, nth: seen[at]})
			}
			steps[step] = true
		}
		if len(steps) < 25 {
			t.Errorf("only %d steps were seen: %v", len(steps), m.saves)
		}
	})
	return saves
}

// reap lets servers die, in some worlds side by side.
func reap(t *testing.T, deaths []death, born func(*testing.T) *mortal) {
	t.Helper()
	const worlds = 4
	var mu sync.Mutex
	ends := map[string]int{} // how many rescues ended so; guarded by mu
	t.Run("worlds", func(t *testing.T) {
		for i := range worlds {
			t.Run(fmt.Sprint(i+1), func(t *testing.T) {
				t.Parallel()
				m := born(t)
				for d := i; d < len(deaths); d += worlds {
					began := time.Now()
					end := m.life(deaths[d])
					t.Logf("%s: %s, %.1f s", deaths[d], end, time.Since(began).Seconds())
					mu.Lock()
					ends[deaths[d].who+" died: "+end]++
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%d deaths; how the rescues ended:", len(deaths))
	for _, end := range slices.Sorted(maps.Keys(ends)) {
		t.Logf("%4d %s", ends[end], end)
	}
}
