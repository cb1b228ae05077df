package conductor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestTakeOverOfWhatWaits kills a conductor while its operation waits and holds no lease, and sees what the
// history says when another goes on.
func TestTakeOverOfWhatWaits(t *testing.T) { onEach(t, testTakeOverOfWhatWaits) }

func testTakeOverOfWhatWaits(t *testing.T) {
	for _, c := range []struct {
		name, host string
		alive      bool // the first conductor
		want       string
	}{
		{"the same name again", "c1", true, "Conductor c1 took the operation over from an earlier run of itself"},
		{"another, the first is gone", "c2", false, "Conductor c2 took the operation over from conductor c1"},
		{"another, beside the first", "c2", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := journeys[slices.IndexFunc(journeys, func(j journey) bool { return j.name == "deploy" })].begin(t)
			w.silent = true
			first := w.conductor("c1", nil)
			if c.alive {
				if err := first.Register(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			w.untilItWaits(first)
			w.silent = false
			w.run(w.conductor(c.host, nil))
			var seen []metal.HistoryEvent
			w.write(func(tx *store.Tx) error {
				n, err := tx.NodeByID(w.node.ID)
				if err != nil {
					return err
				}
				all, err := tx.Events(n, store.Page{Limit: 1000})
				seen = slices.DeleteFunc(all, func(e metal.HistoryEvent) bool { return e.Kind != "takeover" })
				return err
			})
			if c.want == "" && len(seen) == 0 {
				return
			}
			if len(seen) != 1 || seen[0].Step != "wait for agent" || !strings.HasPrefix(seen[0].Why, c.want) || c.want == "" {
				t.Errorf("take-overs told: %+v", seen)
			}
		})
	}
}

// untilItWaits works until nothing is due.
func (w *world) untilItWaits(c *Conductor) {
	w.t.Helper()
	for {
		row, err := c.claim(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if row == nil {
			var live *store.Operation
			w.write(func(tx *store.Tx) (err error) { live, err = tx.LiveOperation(w.node.ID); return err })
			if live != nil && time.Until(live.DueAt) < time.Second {
				continue // due in a moment: the database's clock is coarser
			}
			return
		}
		c.work(w.t.Context(), row, time.Now())
	}
}

func TestWhatIsLeftBehindIsSaid(t *testing.T) {
	text := leftBehind(leftBehind("deploy: the cause", "power on"), "insert boot media")
	if text != "deploy: the cause; could not be undone: power on, insert boot media" {
		t.Error(text)
	}
}
