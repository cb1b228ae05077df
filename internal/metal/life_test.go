package metal

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"testing"
)

// fixture is testdata/life.json: states, transitions and verbs as Ironic has them, August 2026.
type fixture struct {
	States []struct {
		State  State
		Stable bool
		Target *State
	}
	Transitions []struct {
		From  State
		Event Event
		To    State
	}
	Verbs []struct {
		Target Verb
		Event  Event
		Min    string
	}
}

func readFixture(t *testing.T) fixture {
	t.Helper()
	data, err := os.ReadFile("testdata/life.json")
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLifeEqualsFixture(t *testing.T) {
	f := readFixture(t)
	if len(f.States) != 30 || len(f.Transitions) != 93 || len(f.Verbs) != 15 {
		t.Fatalf("the fixture has %d states, %d transitions, %d verbs: want 30, 93, 15", len(f.States), len(f.Transitions), len(f.Verbs))
	}
	for _, tr := range f.Transitions {
		if to, ok := Next(tr.From, tr.Event); !ok || to != tr.To {
			t.Errorf("%q, %q leads to %q (%v), want %q", tr.From, tr.Event, to, ok, tr.To)
		}
	}
	ours := 0
	for s := range life {
		ours += len(Events(s))
	}
	if ours != len(f.Transitions) {
		t.Errorf("the table has %d transitions, the fixture %d", ours, len(f.Transitions))
	}
	if len(States) != len(f.States) || len(life) != len(f.States) {
		t.Errorf("States has %d, life %d, the fixture %d states", len(States), len(life), len(f.States))
	}
	for _, s := range f.States {
		info, known := States[s.State]
		if !known {
			t.Errorf("%q is not in States", s.State)
			continue
		}
		if (info.Kind == Stable) != s.Stable {
			t.Errorf("%q is %s, the fixture says stable=%v", s.State, info.Kind, s.Stable)
		}
		want := State("")
		if s.Target != nil {
			want = *s.Target
		}
		if info.Target != want {
			t.Errorf("%q has target %q, want %q", s.State, info.Target, want)
		}
	}
}

func TestVerbsEqualFixture(t *testing.T) {
	f := readFixture(t)
	if len(Verbs) != len(f.Verbs) {
		t.Errorf("Verbs has %d, the fixture %d", len(Verbs), len(f.Verbs))
	}
	for _, v := range f.Verbs {
		minor, err := strconv.Atoi(v.Min)
		if err != nil {
			t.Fatalf("fixture: %v", err)
		}
		info, known := Verbs[v.Target]
		if !known || info.Event != v.Event || info.Min != minor {
			t.Errorf("%q is {%q 1.%d} (%v), want {%q 1.%d}", v.Target, info.Event, info.Min, known, v.Event, minor)
		}
	}
}

func TestEveryVerbIsPossibleSomewhereAndLeadsWhereItSays(t *testing.T) {
	for verb, info := range Verbs {
		possible := false
		for s := range life {
			to, ok := Next(s, info.Event)
			possible = possible || ok
			// An abort of a failed service and the like depend on the state; those verbs declare no target.
			if ok && info.Target != "" && States[to].Kind == Busy && info.Target != States[to].Target && verb != VerbClean {
				t.Errorf("%s in %q leads to %q, whose target is %q, not %q", verb, s, to, States[to].Target, info.Target)
			}
		}
		if !possible {
			t.Errorf("%s is possible in no state", verb)
		}
	}
}

func TestBusyAndWaitingStatesCanFail(t *testing.T) {
	for s, info := range States {
		if info.Kind != Busy && info.Kind != Waiting {
			continue
		}
		to, ok := Next(s, EventFail)
		if !ok {
			t.Errorf("%q cannot fail: work in it that breaks would be stuck", s)
			continue
		}
		if k := States[to].Kind; k != Failed && k != Stable {
			t.Errorf("%q fails into %q, which is %s and does not rest", s, to, k)
		}
	}
}

func TestWaitingStatesHaveALimitAndOthersNone(t *testing.T) {
	for s, info := range States {
		if (info.Kind == Waiting) != (info.Limit > 0) {
			t.Errorf("%q is %s and has the limit %s", s, info.Kind, info.Limit)
		}
	}
}

// reach lists every state that events lead to from one.
func reach(from State) map[State]bool {
	seen := map[State]bool{from: true}
	for todo := []State{from}; len(todo) > 0; todo = todo[1:] {
		for _, e := range Events(todo[0]) {
			if to, _ := Next(todo[0], e); !seen[to] {
				seen[to] = true
				todo = append(todo, to)
			}
		}
	}
	return seen
}

func TestEveryStateIsReachableAndNoneIsATrap(t *testing.T) {
	fromEnroll := reach(Enroll)
	for s := range States {
		if !fromEnroll[s] {
			t.Errorf("%q cannot be reached from enroll", s)
		}
		if !reach(s)[Available] {
			t.Errorf("from %q a node never becomes available again", s)
		}
	}
}

func TestNextKnowsNothingElse(t *testing.T) {
	for s := range States {
		if to, ok := Next(s, "explode"); ok {
			t.Errorf("%q explodes into %q", s, to)
		}
		for _, e := range Events(s) {
			if _, known := States[mustNext(t, s, e)]; !known {
				t.Errorf("%q, %q leads to a state that States does not know", s, e)
			}
		}
	}
	if _, ok := Next("no such state", EventDone); ok {
		t.Error("an unknown state has a future")
	}
	if !slices.IsSorted(Events(DeployWait)) {
		t.Error("Events is not sorted")
	}
}

func mustNext(t *testing.T, s State, e Event) State {
	t.Helper()
	to, ok := Next(s, e)
	if !ok {
		t.Fatalf("%q lists %q and does not know it", s, e)
	}
	return to
}

func TestTarget(t *testing.T) {
	for _, c := range []struct{ s, want, got State }{
		{Active, "", ""},
		{Manageable, Available, ""},
		{Cleaning, "", Available},
		{Cleaning, Manageable, Manageable},
		{DeployFailed, "", Active},
	} {
		if got := Target(c.s, c.want); got != c.got {
			t.Errorf("Target(%q, %q) = %q, want %q", c.s, c.want, got, c.got)
		}
	}
}
