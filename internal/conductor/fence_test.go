package conductor

import (
	"context"
	"errors"
	"testing"
	"time"

	"ingot/internal/metal"
)

// counted is a machine that counts what reaches it.
type counted struct {
	powering
	Booter
	holding
	BootModer
	SecureBooter
	Network
	calls int
}

func (c *counted) Plug(context.Context, *metal.Node, metal.Wiring, metal.NetworkRole) (metal.Notes, string, error) {
	c.calls++
	return nil, "", nil
}
func (c *counted) Unplug(context.Context, *metal.Node, metal.Wiring, metal.NetworkRole) (metal.Notes, error) {
	c.calls++
	return nil, nil
}
func (c *counted) AttachVIF(context.Context, *metal.Node, metal.Wiring, string, bool) error {
	c.calls++
	return nil
}
func (c *counted) DetachVIF(context.Context, *metal.Node, metal.Wiring, string) error {
	c.calls++
	return nil
}

func (c *counted) SetPower(context.Context, *metal.Node, metal.Power) error { c.calls++; return nil }
func (c *counted) SetBootDevice(context.Context, *metal.Node, metal.BootDevice) error {
	c.calls++
	return nil
}
func (c *counted) InsertMedia(context.Context, *metal.Node, string) error { c.calls++; return nil }
func (c *counted) EjectMedia(context.Context, *metal.Node) error          { c.calls++; return nil }
func (c *counted) SetBootMode(context.Context, *metal.Node, string) (bool, error) {
	c.calls++
	return true, nil
}
func (c *counted) SetSecureBoot(context.Context, *metal.Node, bool) (bool, error) {
	c.calls++
	return true, nil
}
func (c *counted) ResetSecureBootKeys(context.Context, *metal.Node, metal.KeyReset) error {
	c.calls++
	return nil
}

// Nothing that changes a machine is asked for when the lease is over, by either clock.
func TestNoCallOutlivesItsLease(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name string
		end  time.Time
		ok   bool
	}{
		{"in time", now.Add(time.Hour), true},
		{"over", now.Add(-time.Second), false},
		// Round(0) takes the steady clock away, so that only the wall's counts: as after a machine slept.
		{"over by the wall's clock", now.Add(-time.Second).Round(0), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var l lease
			l.until(c.end)
			ctx := metal.WithFence(t.Context(), l.check)
			m := &counted{}
			h := fenced(Part{Power: m, Boot: m, Media: m, Mode: m, Secure: m, Network: m})
			n := &metal.Node{}
			_, modeErr := h.Mode.SetBootMode(ctx, n, metal.UEFI)
			_, secureErr := h.Secure.SetSecureBoot(ctx, n, true)
			_, _, plugErr := h.Network.Plug(ctx, n, metal.Wiring{}, metal.CleaningNetwork)
			_, unplugErr := h.Network.Unplug(ctx, n, metal.Wiring{}, metal.CleaningNetwork)
			all := []error{plugErr, unplugErr, h.Network.AttachVIF(ctx, n, metal.Wiring{}, "", true), h.Network.DetachVIF(ctx, n, metal.Wiring{}, ""),
				h.Power.SetPower(ctx, n, metal.PowerOn), h.Boot.SetBootDevice(ctx, n, metal.BootDevice{}),
				h.Media.InsertMedia(ctx, n, ""), h.Media.EjectMedia(ctx, n), modeErr, secureErr, h.Secure.ResetSecureBootKeys(ctx, n, "")}
			for i, err := range all {
				if (err == nil) != c.ok || err != nil && !errors.Is(err, errOver) {
					t.Errorf("call %d: %v", i, err)
				}
			}
			if want := map[bool]int{true: len(all)}[c.ok]; m.calls != want {
				t.Errorf("%d calls reached the machine, want %d", m.calls, want)
			}
		})
	}
}
