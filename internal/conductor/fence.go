package conductor

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"ingot/internal/metal"
)

// lease is until when this process may act for an operation, as it was last renewed.
type lease struct{ end atomic.Pointer[time.Time] }

// until sets a new end: a moment before the request that renewed it, plus its length, so that it ends no later
// by this clock than by the database's.
func (l *lease) until(end time.Time) { l.end.Store(&end) }

func (l *lease) ends() time.Time { return *l.end.Load() }

// errOver is what a call is refused with whose lease has run out: another conductor may be at work.
var errOver = errors.New("the lease has run out: another conductor may hold the operation")

// check is the fence before every outside call. It looks at both clocks: the steady one goes on while a process is
// stopped, and the one on the wall while a whole machine sleeps.
func (l *lease) check() error {
	now, end := time.Now(), l.ends()
	if !now.Before(end) || !now.Round(0).Before(end.Round(0)) { // Round(0) leaves the wall's time
		return errOver
	}
	return nil
}

// fenced puts the fence before everything that changes a machine. Drivers ask it again before each request they
// send; this is for those that speak in one.
func fenced(h Part) Part {
	if h.Power != nil {
		h.Power = fencedPower{h.Power}
	}
	if h.Boot != nil {
		h.Boot = fencedBoot{h.Boot}
	}
	if h.Media != nil {
		h.Media = fencedMedia{h.Media}
	}
	if h.Steps != nil {
		h.Steps = fencedSteps{h.Steps}
	}
	if h.Mode != nil {
		h.Mode = fencedMode{h.Mode}
	}
	if h.Secure != nil {
		h.Secure = fencedSecure{h.Secure}
	}
	if h.Network != nil {
		h.Network = fencedNetwork{h.Network}
	}
	return h
}

// Under other names, for an embedded field may not be called as one of its methods.
type (
	powering = Power
	booting  = Booter
	holding  = Media
	stepping = Stepper
)

type fencedPower struct{ powering }

func (f fencedPower) SetPower(ctx context.Context, n *metal.Node, want metal.Power) error {
	if err := metal.Fence(ctx); err != nil {
		return err
	}
	return f.powering.SetPower(ctx, n, want)
}

type fencedBoot struct{ booting }

func (f fencedBoot) SetBootDevice(ctx context.Context, n *metal.Node, d metal.BootDevice) error {
	if err := metal.Fence(ctx); err != nil {
		return err
	}
	return f.booting.SetBootDevice(ctx, n, d)
}

type fencedMedia struct{ holding }

func (f fencedMedia) InsertMedia(ctx context.Context, n *metal.Node, url string) error {
	if err := metal.Fence(ctx); err != nil {
		return err
	}
	return f.holding.InsertMedia(ctx, n, url)
}

func (f fencedMedia) EjectMedia(ctx context.Context, n *metal.Node) error {
	if err := metal.Fence(ctx); err != nil {
		return err
	}
	return f.holding.EjectMedia(ctx, n)
}

type fencedMode struct{ BootModer }

func (f fencedMode) SetBootMode(ctx context.Context, n *metal.Node, mode string) (bool, error) {
	if err := metal.Fence(ctx); err != nil {
		return false, err
	}
	return f.BootModer.SetBootMode(ctx, n, mode)
}

type fencedSecure struct{ SecureBooter }

func (f fencedSecure) SetSecureBoot(ctx context.Context, n *metal.Node, on bool) (bool, error) {
	if err := metal.Fence(ctx); err != nil {
		return false, err
	}
	return f.SecureBooter.SetSecureBoot(ctx, n, on)
}

func (f fencedSecure) ResetSecureBootKeys(ctx context.Context, n *metal.Node, how metal.KeyReset) error {
	if err := metal.Fence(ctx); err != nil {
		return err
	}
	return f.SecureBooter.ResetSecureBootKeys(ctx, n, how)
}

type fencedSteps struct{ stepping }

func (f fencedSteps) RunStep(ctx context.Context, n *metal.Node, kind metal.StepKind, s metal.Step, key string) (string, error) {
	if err := metal.Fence(ctx); err != nil {
		return "", err
	}
	return f.stepping.RunStep(ctx, n, kind, s, key)
}

type fencedNetwork struct{ Network }

func (f fencedNetwork) Plug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, string, error) {
	if err := metal.Fence(ctx); err != nil {
		return nil, "", err
	}
	return f.Network.Plug(ctx, n, w, role)
}

func (f fencedNetwork) Unplug(ctx context.Context, n *metal.Node, w metal.Wiring, role metal.NetworkRole) (metal.Notes, error) {
	if err := metal.Fence(ctx); err != nil {
		return nil, err
	}
	return f.Network.Unplug(ctx, n, w, role)
}

func (f fencedNetwork) AttachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string, live bool) error {
	if err := metal.Fence(ctx); err != nil {
		return err
	}
	return f.Network.AttachVIF(ctx, n, w, vif, live)
}

func (f fencedNetwork) DetachVIF(ctx context.Context, n *metal.Node, w metal.Wiring, vif string) error {
	if err := metal.Fence(ctx); err != nil {
		return err
	}
	return f.Network.DetachVIF(ctx, n, w, vif)
}
