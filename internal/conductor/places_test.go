package conductor

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// apart is how many places a run passes undisturbed before it is killed again. Each run is killed at several
// places, so that a plan of a hundred needs a dozen runs and not a hundred; what a death spoils still shows,
// for the end and the effects of each run are compared.
const apart = 12

// deathPlaces are where the conductors of one plan can be killed, in runs that follow each other: claimed and not
// begun, and before and after the commit of every save.
type deathPlaces struct {
	all  []string // those of an undisturbed run, in order, each with its number: "before power on (2)"
	left []string // where no run has been killed yet

	passed map[string]int // of the run so far
	since  int            // places passed since the run was killed last
	deaths []string       // of the run
}

// each does a run undisturbed and then others until somebody was killed at every place. A run gives what it did
// to the machine, which must always be the same.
func (p *deathPlaces) each(t *testing.T, run func() (effects map[string]int)) {
	t.Helper()
	fresh := func() map[string]int {
		p.passed, p.since, p.deaths = map[string]int{}, apart, nil
		return run()
	}
	want := fresh()
	if len(p.all) < 4 {
		t.Fatalf("only %d places to be killed at: the hook is not called", len(p.all))
	}
	for p.left = slices.Clone(p.all); len(p.left) > 0 && !t.Failed(); {
		next := p.left[0]
		if got := fresh(); !maps.Equal(got, want) {
			t.Errorf("%s: effects %v, undisturbed %v", p.label(), got, want)
		}
		if len(p.deaths) == 0 {
			t.Fatalf("nobody came to %q", next)
		}
	}
}

// pass tells whether whoever passes the place is killed there. The first death of a run is at the first place
// that is left, so every run gets on.
func (p *deathPlaces) pass(where string) (dies bool) {
	p.passed[where]++
	at := fmt.Sprintf("%s (%d)", where, p.passed[where])
	if p.left == nil {
		p.all = append(p.all, at)
		return false
	}
	i := slices.Index(p.left, at)
	if p.since++; i < 0 || p.since < apart {
		return false
	}
	p.left, p.since, p.deaths = slices.Delete(p.left, i, i+1), 0, append(p.deaths, at)
	if strings.HasPrefix(where, "before ") {
		p.passed[where]-- // the save comes again
	}
	return true
}

// label tells the run from others.
func (p *deathPlaces) label() string {
	if len(p.deaths) == 0 {
		return "undisturbed"
	}
	return "killed " + strings.Join(p.deaths, ", ")
}

// mortal is a conductor's hook: from the place where it is killed on, nothing that it does counts.
func (p *deathPlaces) mortal() func(where string) error {
	dead := false
	return func(where string) error {
		if dead || where != "dead?" && p.pass(where) {
			dead = true
			return errStop
		}
		return nil
	}
}
