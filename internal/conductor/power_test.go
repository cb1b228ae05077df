package conductor

import (
	"context"
	"testing"
	"time"

	"ingot/internal/metal"
)

// ByButton is the world's: its machines have a button.
func (w *world) ByButton(context.Context, *metal.Node, metal.Power) (bool, error) {
	return w.button, nil
}

// TestAPowerRequestThatWasNotMade: a conductor dies when it has noted that it asks a machine, and has not asked. Its successor
// does not wait as long as for a machine that was asked; a soft request is given its whole time.
func TestAPowerRequestThatWasNotMade(t *testing.T) {
	for _, c := range []struct {
		journey, dies string
		allowed       time.Duration
	}{
		{"power on", "after switch on", time.Hour},
		{"power off", "after switch off", time.Hour},
		{"reboot", "after switch off", time.Hour},
		{"undeploy", "after power off", time.Hour},
		{"soft reboot", "after switch off", 1},
	} {
		t.Run(c.journey, func(t *testing.T) {
			t.Parallel()
			j := named(t, c.journey)
			w := newWorld(t)
			w.tune = func(k *Config) { k.PowerGrace, k.PowerDoubt, k.SoftPowerLimit = time.Hour, 1, c.allowed }
			j.start(w)
			seen, dead := 0, false
			w.run(w.conductor("c1", func(where string) error {
				if where == c.dies {
					seen++ // the step is entered, then its try is noted
				}
				if dead = dead || seen == 2; dead {
					return errStop
				}
				return nil
			}))
			if !dead {
				t.Fatal("nobody died")
			}
			j.arrived(t, w, "asked again")
		})
	}
}

// TestAButtonIsNotPressedAgainInDoubt: the second press would switch off what the first has switched on.
func TestAButtonIsNotPressedAgainInDoubt(t *testing.T) {
	for _, button := range []bool{false, true} {
		w := newWorld(t)
		w.button = button
		w.tune = func(k *Config) { k.PowerGrace, k.PowerDoubt = time.Hour, time.Second }
		r, op := &runner{c: w.conductor("c1", nil)}, &Op{row: liveRow(), Node: w.node}
		r.hw.Power, op.Rec.Unsure, op.Rec.AskedAt = w, true, time.Now().Add(-time.Minute)
		if o, err := r.see(t.Context(), op, metal.PowerOn); (err == nil) != button || button && o.kind != "again" {
			t.Errorf("by button %v: %+v %v", button, o, err)
		}
		op.Rec.AskedAt = time.Now().Add(-2 * time.Hour)
		if _, err := r.see(t.Context(), op, metal.PowerOn); err == nil {
			t.Errorf("by button %v: it waits for ever", button)
		}
	}
}
