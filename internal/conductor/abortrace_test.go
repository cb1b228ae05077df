package conductor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// TestAnAbortIsSeenWhenItComes asks for an abort just before each save of a walk, while the runner holds the lease and
// has not renewed it since: the operation ends by itself, and does not sleep until an event or a limit first.
func TestAnAbortIsSeenWhenItComes(t *testing.T) { onEach(t, testAnAbortIsSeenWhenItComes) }

func testAnAbortIsSeenWhenItComes(t *testing.T) {
	for _, name := range []string{"provide", "clean by hand, out of band"} { // one ends up waiting for an agent, one is held
		for at, more := 0, true; more; at++ {
			t.Run(fmt.Sprintf("%s, save %d", name, at), func(t *testing.T) {
				w := named(t, name).begin(t)
				defer w.close()
				w.silent = true
				saves := 0
				cond := w.conductor("c1", func(where string) error {
					if strings.HasPrefix(where, "before ") {
						if saves == at {
							w.write(func(tx *store.Tx) error { return tx.AskAbort(w.node.ID, "operator") })
						}
						saves++
					}
					return nil
				})
				live := w.untilItSleeps(cond)
				if more = saves > at; !more {
					return
				}
				n, _ := w.state()
				if live != nil || n.ProvisionState != metal.CleanFailed || !strings.Contains(n.LastError, "aborted by request of operator") {
					t.Errorf("%q, %q, lives on: %v", n.ProvisionState, n.LastError, live != nil)
				}
			})
		}
	}
}

// untilItSleeps works until no operation lives, or the one that does is due much later. It gives that one.
func (w *world) untilItSleeps(c *Conductor) (live *store.Operation) {
	w.t.Helper()
	for {
		w.untilItWaits(c)
		w.write(func(tx *store.Tx) (err error) { live, err = tx.LiveOperation(w.node.ID); return err })
		if live == nil || time.Until(live.DueAt) > time.Minute {
			return live
		}
	}
}
