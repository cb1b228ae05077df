package main

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"ingot/internal/store"
	"ingot/internal/store/storetest"
)

var (
	walks    = flag.Int("walks", 0, "how many random walks on each database engine; 0: a few (INGOT_WALKS says so too)")
	walkSeed = flag.Uint64("walkseed", 0, "seed of the random walks; 0: a new one, or always the same where only a few walk")
)

// walkLength is how many things happen in one walk before the faults stop.
const walkLength = 60

// TestNothingStrands walks at random through verbs, right and wrong ones, faults of machines and agents, deaths of
// conductors at random saves, restarts, maintenance, changes and deletions, with several conductors on one database.
// Once the faults stop and the limits have passed, every node rests with a reason, nothing is left attached to
// its machine unsaid, and a next verb leads on. A walk that ends otherwise prints its seed and what happened, as
// little of it as still shows the defect.
func TestNothingStrands(t *testing.T) {
	count := *walks
	if n, err := strconv.Atoi(os.Getenv("INGOT_WALKS")); err == nil && count == 0 {
		count = n
	}
	seed := *walkSeed
	switch {
	case seed == 0 && count == 0:
		seed = 1 // go test ./... says the same twice
	case seed == 0:
		seed = rand.Uint64()
	}
	storetest.Each(t, func(t *testing.T, open func() *store.DB) {
		many := count
		if many == 0 {
			many = 3
		}
		engine := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
		steps, asked, told := 0, 0, map[string]int{}
		for walk := range many {
			actions := drawn(seed, uint64(walk))
			w := newWalk(t, open, walk)
			err := w.all(actions)
			steps, asked = steps+w.worked, asked+w.asked
			for k, v := range w.ended {
				told[k] += v
			}
			w.end()
			if err == nil {
				continue
			}
			var stranded *strandedError
			if !errors.As(err, &stranded) {
				t.Fatalf("seed %d, walk %d: %v", seed, walk, err)
			}
			few, last := shrunk(t, open, walk, actions, stranded)
			t.Fatalf("seed %d, walk %d on %s: %v\nreplay with -run TestNothingStrands/%s -walkseed %d -walks %d\nwhat happened, shrunk from %d to %d:\n%s\nhistory:\n%s",
				seed, walk, engine, last, engine, seed, walk+1, len(actions), len(few), listOf(few), last.history)
		}
		t.Logf("seed %d on %s: %d walks, %d of conductors' rounds, %d agents polled, 0 nodes stranded; came to rest: %v", seed, engine, many, steps, asked, told)
	})
}

// strandedError is what a walk must not end in.
type strandedError struct{ what, history string }

func (e *strandedError) Error() string { return e.what }

// shrunk leaves out of a failing walk what it fails without, within reason: chance in the timing may play its part.
func shrunk(t *testing.T, open func() *store.DB, first int, actions []action, last *strandedError) ([]action, *strandedError) {
	t.Helper()
	tries, end := 40, time.Now().Add(2*time.Minute)
	for size := len(actions) / 2; size > 0 && tries > 0; size /= 2 {
		for at := 0; at < len(actions) && tries > 0 && time.Now().Before(end); tries-- {
			less := append(append([]action(nil), actions[:at]...), actions[min(at+size, len(actions)):]...)
			w := newWalk(t, open, first)
			err := w.all(less)
			w.end()
			var stranded *strandedError
			if errors.As(err, &stranded) {
				actions, last = less, stranded
			} else {
				at += size
			}
		}
	}
	return actions, last
}

func listOf(actions []action) string {
	var b strings.Builder
	for _, a := range actions {
		fmt.Fprintln(&b, " ", a)
	}
	return b.String()
}

// action is one thing that happens in a walk. What its numbers mean is its kind's affair.
type action struct {
	kind    string
	node, n int
}

func (a action) String() string { return fmt.Sprintf("{%q, %d, %d},", a.kind, a.node, a.n) }

// kinds are what can happen, each as often as it is named.
var kinds = strings.Fields(`verb verb verb verb verb verb verb work work work work work work work work call call call call
	fault fault mend kill kill kill revive power power maintenance abort abort patch patch config delete sweep sweep button report forget`)

// drawn is a walk: the same for the same seed and number.
func drawn(seed, walk uint64) []action {
	r := rand.New(rand.NewPCG(seed, walk))
	out := make([]action, walkLength)
	for i := range out {
		out[i] = action{kinds[r.IntN(len(kinds))], r.IntN(walkNodes), r.IntN(1000)}
	}
	return out
}
