package main

import (
	"strings"
	"testing"
)

// The moments that are no saves.
const (
	whenWaiting   = "rescue wait" // the state
	whenFinalized = "finalize"    // the machine was told to let the user in, and has not answered yet
	whenRescued   = "rescue"      // the state
)

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

// TestRescueSurvivesDeath: the one server dies, API and conductor together, at each save of a rescue and of its end.
func TestRescueSurvivesDeath(t *testing.T) {
	deadly(t)
	var deaths []death
	for _, at := range calmly(t, newMortal, true) {
		deaths = append(deaths, death{who: bothDie, at: at.at, nth: at.nth})
	}
	rescuesDie(t, deaths, newMortal)
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
	rescuesDie(t, deaths, newApart)
}

// calmly leads a machine through a rescue in which nobody dies, and gives its saves, or the first of each step.
func calmly(t *testing.T, born func(*testing.T) *mortal, full bool) (saves []death) {
	t.Helper()
	t.Run("calm", func(t *testing.T) {
		m := born(t)
		m.life(death{})
		steps := map[string]bool{}
		saves = moments(m.saves, full, func(at string, _ int) bool {
			step, _, _ := strings.Cut(at, " tried")
			step, _, _ = strings.Cut(step, " done")
			first := !steps[step]
			steps[step] = true
			return first
		})
		if len(steps) < 25 {
			t.Errorf("only %d steps were seen: %v", len(steps), m.saves)
		}
	})
	return saves
}

// rescuesDie lets servers die in rescues.
func rescuesDie(t *testing.T, deaths []death, born func(*testing.T) *mortal) {
	t.Helper()
	reap(t, deaths, born, func(m *mortal, d death) (kind, end string) { return d.who + " died", m.life(d) }, func(*mortal) {})
}
