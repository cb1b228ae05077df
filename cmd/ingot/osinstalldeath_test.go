package main

import (
	"fmt"
	"slices"
	"testing"
)

// TestREQ09AServerIsKilledDuringAnInstallation: the one server dies before the machine has the secrets, and when it has them. What needs
// none any more is completed; what does asks for them by name, and goes on once it is given them.
func TestREQ09AServerIsKilledDuringAnInstallation(t *testing.T) {
	d := newDoomed(t, plainAgent(t), newKillable)
	for _, l := range []struct {
		dying
		want string
	}{
		{dying{death{who: bothDie, at: "deploy/wait for agent", nth: 1}, withValues}, "deploy failed"},
		{dying{death{who: bothDie, at: whenScripts}, noValues}, "active"},
	} {
		if end := d.life(l.death, l.has); end != l.want {
			t.Errorf("%s: it ended in %s, want %s", l.dying, end, l.want)
		}
	}
	d.quiet()
}

// phases are saves of an installation, one in each of its parts, and the moment when scripts run.
var phases = []string{"deploy/check image", "deploy/wait for agent", "deploy/verify os parameters", "deploy/write image", "deploy/install os", whenScripts,
	"deploy/install boot entry", "deploy/start instance"}

// has is what an installation has that is kept nowhere.
type has string

const (
	noValues    has = "without secrets"
	withValues  has = "with secrets"
	withPackage has = "with secrets and a package" // of the variant that has one, with user and password
)

// dying is a death in such an installation.
type dying struct {
	death
	has
}

func (d dying) String() string { return fmt.Sprintf("%s, %s", d.death, d.has) }

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
	kinds := []has{withValues, noValues}
	if mounts() {
		kinds = append(kinds, withPackage)
	}
	saves := map[has][]death{}
	t.Run("calm", func(t *testing.T) {
		d := newDoomed(t, program, servers)
		for _, kind := range kinds {
			if end := d.life(death{}, kind); end != "active" {
				t.Fatalf("where nobody dies it ends in %s", end)
			}
			saves[kind] = append(moments(d.saves, full, func(at string, nth int) bool { return nth == 1 && slices.Contains(phases, at) }), death{at: whenScripts})
			if len(saves[kind]) < len(phases) {
				t.Fatalf("of %v only %v were seen: %v", phases, saves[kind], d.saves)
			}
			if kind == withPackage {
				saves[kind] = append(saves[kind], death{at: whenPackage})
			}
		}
	})
	var all []dying
	for _, kind := range kinds {
		for _, m := range saves[kind] {
			for _, m.who = range whose {
				for _, m.after = range []bool{false, true} {
					if m.after && (!full || m.nth == 0 || len(whose) == 1) { // one server's own gate cannot tell a commit from none
						continue
					}
					if full || kind == withValues || m.who == bothDie || m.at == whenPackage {
						all = append(all, dying{m, kind})
					}
				}
			}
		}
	}
	reap(t, all, func(t *testing.T) *doomed { return newDoomed(t, program, servers) },
		func(d *doomed, one dying) (kind, end string) {
			return fmt.Sprintf("%s died, %s", one.who, one.has), d.life(one.death, one.has)
		}, (*doomed).quiet)
}
