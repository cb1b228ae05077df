package bmc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
)

// resetTypes are what a system's Reset action accepts (DSP2046, ComputerSystem, ResetType).
var resetTypes = []string{"On", "ForceOn", "ForceOff", "GracefulShutdown", "GracefulRestart", "ForceRestart", "PowerCycle"}

// hardLimit is how long a machine may take to start or to stop when it is not asked politely. It is an
// emulated machine: a second is normal, more means the host is in trouble.
const hardLimit = time.Minute

func (b *BMC) powerState() string {
	if b.cfg.Machine.Powered() {
		return "On"
	}
	return "Off"
}

// reset is the action ComputerSystem.Reset. Asking for the state the machine is in is granted and does
// nothing. A graceful action is answered when the power button is pressed; the rest follows.
func (b *BMC) reset(r *http.Request) (reply, error) {
	var ask struct{ ResetType string }
	if err := readJSON(r, &ask); err != nil {
		return reply{}, err
	}
	b.counters.add("Reset." + ask.ResetType)
	if !slices.Contains(resetTypes, ask.ResetType) {
		return reply{}, problem{http.StatusBadRequest, "ActionParameterValueNotInList",
			"The value for the parameter ResetType in the action ComputerSystem.Reset is not in the list of acceptable values."}
	}
	if _, ok := b.faults.strike(RefusePower); ok {
		return reply{}, problem{http.StatusBadRequest, "ActionNotSupported",
			"The action ComputerSystem.Reset is not possible at this time: power control is locked."}
	}
	done := reply{status: http.StatusNoContent}
	if _, ok := b.faults.strike(PowerLies); ok {
		return done, nil
	}
	b.mu.Lock()
	if b.busy {
		b.mu.Unlock()
		return reply{}, problem{http.StatusServiceUnavailable, "ResourceInUse",
			"The change to the requested resource failed because the resource is in use: a reset is under way."}
	}
	b.busy = true
	if b.endSoft != nil { // a later word overrules the wait for the guest
		b.endSoft()
	}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.busy = false
		b.mu.Unlock()
	}()
	// The client may go away; the power must not stay half way.
	ctx, cancel := context.WithTimeout(b.ctx, hardLimit)
	defer cancel()
	return done, b.act(ctx, ask.ResetType)
}

func (b *BMC) act(ctx context.Context, resetType string) error {
	m := b.cfg.Machine
	switch resetType {
	case "On", "ForceOn":
		return m.PowerOn(ctx, b.nextBoot)
	case "ForceOff":
		return m.PowerOff(ctx, true)
	case "GracefulShutdown", "GracefulRestart":
		if m.Powered() {
			b.soft(resetType == "GracefulRestart")
		}
		return nil
	}
	// ForceRestart and PowerCycle: the same to a machine whose reset is a new start.
	if !m.Powered() {
		return problem{http.StatusConflict, "ActionNotSupported", "The action " + resetType + " is not possible while the system is off."}
	}
	if err := m.PowerOff(ctx, true); err != nil {
		return err
	}
	return m.PowerOn(ctx, b.nextBoot)
}

// soft presses the power button and waits in the background for the guest; then it starts the machine
// again if that was asked. Only one waits at a time: the next reset ends it.
func (b *BMC) soft(again bool) {
	ctx, cancel := context.WithTimeout(b.ctx, b.cfg.SoftLimit)
	b.mu.Lock()
	b.endSoft = cancel
	b.mu.Unlock()
	b.work.Go(func() {
		defer cancel()
		err := b.cfg.Machine.PowerOff(ctx, false)
		if err == nil && again {
			err = b.startAgain(ctx)
		}
		if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
			b.log.Warn("graceful power action did not end", "bmc", b.cfg.Name, "err", err)
		}
	})
}

// startAgain is the second half of a graceful restart, unless another reset came first.
func (b *BMC) startAgain(ctx context.Context) error {
	b.mu.Lock()
	if b.busy || ctx.Err() != nil {
		b.mu.Unlock()
		return nil
	}
	b.busy = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.busy = false
		b.mu.Unlock()
	}()
	return b.cfg.Machine.PowerOn(ctx, b.nextBoot)
}
