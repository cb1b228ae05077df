package conductor

import (
	"context"
	"strings"
	"testing"
	"time"

	"ingot/internal/metal"
	"ingot/internal/store"
)

// panicking is a drive whose driver has a defect.
type panicking struct{ holding }

func (panicking) Media(context.Context, *metal.Node) (string, error) { panic("an odd reply") }

// TestASweepThatPanicsEndsNoServer: the row is due again later, and is nobody's until then.
func TestASweepThatPanicsEndsNoServer(t *testing.T) {
	w := newWorld(t)
	c := w.conductor("c1", nil)
	hw := c.hardware["test"]
	hw.Media = panicking{w}
	c.hardware["test"] = hw
	w.write(func(tx *store.Tx) error {
		return tx.EnsureSweeps([]store.Sweep{{Kind: sweepLeft, NodeID: w.node.ID, Note: anyMedium}})
	})
	s := &sweeper{c: c, kinds: []string{sweepLeft}}
	row, err := s.claim(t.Context())
	if err != nil || row == nil {
		t.Fatal(row, err)
	}
	c.sweep(t.Context(), row)
	w.write(func(tx *store.Tx) (err error) { row, err = tx.SweepOf(w.node.ID, sweepLeft); return err })
	if row == nil || time.Until(row.DueAt) < 10*time.Second || !row.LeaseUntil.IsZero() {
		t.Errorf("%+v", row)
	}
}

// TestAWalkThatPanicsFails wherever that happens: in what is asked of a step besides its run, or in a save.
func TestAWalkThatPanicsFails(t *testing.T) { onEach(t, testAWalkThatPanicsFails) }

func testAWalkThatPanicsFails(t *testing.T) {
	for where, tamper := range map[string]func(*step){
		"skip": func(s *step) { s.skip = func(*Op) bool { panic("a defect") } },
		"save": func(s *step) {
			s.run = func(_ *runner, _ context.Context, op *Op) (Outcome, error) {
				op.Change(func(*metal.Node) { panic("a defect") })
				return done, nil
			}
		},
		"late": func(s *step) {
			s.limit, s.limitOf = time.Nanosecond, nil
			s.run = func(*runner, context.Context, *Op) (Outcome, error) { return again(1, "it"), nil }
			s.late = func(*runner, context.Context, *Op) string { panic("a defect") }
		},
	} {
		t.Run(where, func(t *testing.T) {
			w := named(t, "provide").begin(t)
			defer w.close()
			c := w.conductor("c1", nil)
			c.tamper = func(all []step) { tamper(&all[1]) } // the first is for machines that are not cleaned
			w.run(c)
			n, _ := w.state()
			if n.ProvisionState != metal.CleanFailed || where != "late" && !strings.Contains(n.LastError, "a defect of this server") {
				t.Errorf("%q, %q", n.ProvisionState, n.LastError)
			}
		})
	}
}
