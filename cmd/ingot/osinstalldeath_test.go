package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestREQ09AServerIsKilledDuringAnInstallation: the one server dies before the machine has the secrets, and when it has them. What needs
// none any more is completed; what does asks for them by name, and goes on once it is given them.
func TestREQ09AServerIsKilledDuringAnInstallation(t *testing.T) {
	d := newDoomed(t, plainAgent(t), newKillable)
	for _, l := range []struct {
		dies    death
		secrets bool
		want    string
	}{
		{death{who: bothDie, at: "deploy/wait for agent", nth: 1}, true, "deploy failed"},
		{death{who: bothDie, at: whenScripts}, false, "active"},
	} {
		if end := d.life(l.dies, l.secrets); end != l.want {
			t.Errorf("%s, with secrets: %v: it ended in %s, want %s", l.dies, l.secrets, end, l.want)
		}
	}
	d.quiet()
}

// phases are saves of an installation, one in each of its parts, and the moment when scripts run.
var phases = []string{"deploy/check image", "deploy/wait for agent", "deploy/verify os parameters", "deploy/write image", "deploy/install os", whenScripts,
	"deploy/install boot entry", "deploy/start instance"}

// dying is a death, and whether the installation has values that are kept nowhere.
type dying struct {
	death
	secrets bool
}

// TestREQ09InstallationsSurviveDeath: the one server dies, API and conductor together, in each part of an installation; with all of it
// at each save.
func TestREQ09InstallationsSurviveDeath(t *testing.T) {
	installationsDie(t, newKillable, []string{bothDie})
}

// TestREQ09InstallationsSurviveDeathApart: API and conductor are processes of their own, on PostgreSQL, and one of them dies, or both.
func TestREQ09InstallationsSurviveDeathApart(t *testing.T) {
	installationsDie(t, newKillablePair, []string{apiDies, conductorDies, bothDie})
}

func installationsDie(t *testing.T, servers func(*testing.T, string, []string, func(string)) *killable, whose []string) {
	full := deadly(t)
	program := plainAgent(t)
	moments := []death{{at: whenScripts}}
	t.Run("calm", func(t *testing.T) {
		d := newDoomed(t, program, servers)
		if end := d.life(death{}, true); end != "active" {
			t.Fatalf("where nobody dies it ends in %s", end)
		}
		seen := map[string]int{}
		for _, at := range d.saves {
			if seen[at]++; full || seen[at] == 1 && slices.Contains(phases, at) {
				moments = append(moments, death{at: at, nth: seen[at]})
			}
		}
		if len(moments) < len(phases) {
			t.Fatalf("of %v only %v were seen: %v", phases, moments, d.saves)
		}
	})
	var all []dying
	for _, m := range moments {
		for _, m.who = range whose {
			for _, m.after = range []bool{false, true} {
				if m.after && (!full || m.nth == 0 || len(whose) == 1) { // one server's own gate cannot tell a commit from none
					continue
				}
				all = append(all, dying{m, true})
				if full || m.who == bothDie {
					all = append(all, dying{m, false})
				}
			}
		}
	}
	perish(t, all, func(t *testing.T) *doomed { return newDoomed(t, program, servers) })
}

// perish lets servers die, in some worlds side by side.
func perish(t *testing.T, all []dying, born func(*testing.T) *doomed) {
	t.Helper()
	const worlds = 4
	var mu sync.Mutex
	ends := map[string]int{} // how many installations ended so; guarded by mu
	t.Run("worlds", func(t *testing.T) {
		for i := range worlds {
			t.Run(fmt.Sprint(i+1), func(t *testing.T) {
				t.Parallel()
				d := born(t)
				for n := i; n < len(all); n += worlds {
					began, kind := time.Now(), strings.ReplaceAll(fmt.Sprintf("with secrets: %v", all[n].secrets), "with secrets: false", "without secrets")
					end := d.life(all[n].death, all[n].secrets)
					t.Logf("%s, %s: %s, %.1f s", all[n].death, kind, end, time.Since(began).Seconds())
					mu.Lock()
					ends[fmt.Sprintf("%s died, %s: %s", all[n].who, kind, end)]++
					mu.Unlock()
				}
				d.quiet()
			})
		}
	})
	t.Logf("%d deaths; how the installations ended:", len(all))
	for _, end := range slices.Sorted(maps.Keys(ends)) {
		t.Logf("%4d %s", ends[end], end)
	}
}
