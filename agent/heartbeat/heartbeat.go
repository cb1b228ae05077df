// Package heartbeat is how the agent makes itself known to a control plane: it looks up which node it is,
// and then tells, until it stops, that it is alive and where.
//
// The rules of timing are the agent protocol reference's §4.2 and §4.4: a real conductor counts on them.
// It makes no connection itself (agentapi.Caller does) and runs no command. cmd/ingot-agent calls it.
//
// A lookup that fails is tried again until its limit; heartbeats are tried for ever, because a control
// plane that is being restarted comes back.
package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"ingot/internal/agentapi"
)

const (
	lookupLimit = 10 * time.Minute
	// callLimit is how long one request may take.
	callLimit   = 30 * time.Second
	firstWait   = time.Second
	longestWait = time.Minute
	// failedWait is the base of the wait after a heartbeat that was not taken, and what two heartbeats are
	// always apart.
	failedWait = 5 * time.Second
)

// lockedWaits is what a lookup waits in addition when another task holds the node: the last for ever.
var lockedWaits = []time.Duration{5 * time.Second, 10 * time.Second, 30 * time.Second}

// Find asks until it is told which node this is, at most ten minutes. ask is one try.
func Find[T any](ctx context.Context, log *slog.Logger, ask func(context.Context) (T, error)) (T, error) {
	limit := time.Now().Add(lookupLimit)
	var locked int
	for try := 0; ; try++ {
		got, err := once(ctx, ask)
		if err == nil {
			return got, nil
		}
		log.Warn("lookup was not answered", "try", try+1, "error", err)
		wait := backoff(try)
		if errors.Is(err, agentapi.ErrLocked) {
			wait += lockedWaits[min(locked, len(lockedWaits)-1)]
			locked++
		}
		if time.Now().Add(wait).After(limit) {
			return got, fmt.Errorf("no lookup answer in %v: %w", lookupLimit, err)
		}
		if !sleep(ctx, wait, nil) {
			return got, ctx.Err()
		}
	}
}

func once[T any](ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	return ask(ctx)
}

// backoff is random between a second and a bound that doubles, so that a rack that was powered on at once
// does not ask at once.
func backoff(try int) time.Duration {
	most := longestWait
	if try < 6 {
		most = min(most, firstWait<<try)
	}
	return between(firstWait, most)
}

// Heart sends heartbeats. Make it with New.
type Heart struct {
	interval time.Duration
	beat     func(context.Context) error
	log      *slog.Logger
	forced   chan struct{}
}

// New makes a heart that beats about every half of timeout, which the lookup gave. beat is one heartbeat.
func New(timeout time.Duration, log *slog.Logger, beat func(context.Context) error) *Heart {
	return &Heart{interval: timeout, beat: beat, log: log, forced: make(chan struct{}, 1)}
}

// Force asks for a heartbeat soon: something ended that the conductor waits for. It never blocks.
func (h *Heart) Force() {
	select {
	case h.forced <- struct{}{}:
	default: // one is asked for already
	}
}

// Run beats until ctx ends.
func (h *Heart) Run(ctx context.Context) {
	for {
		at := time.Now()
		_, err := once(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, h.beat(ctx) })
		wait := time.Duration(float64(h.interval) * (0.3 + 0.3*rand.Float64()))
		if err != nil && ctx.Err() == nil {
			h.log.Warn("heartbeat was not taken", "error", err)
			wait = between(failedWait, 2*failedWait)
		} else if err == nil {
			h.log.Debug("heartbeat taken")
		}
		if !sleep(ctx, wait-time.Since(at), h.forced) {
			return
		}
		// Forced: never sooner than 5 s after the one before, which the server may still be working on.
		if !sleep(ctx, failedWait-time.Since(at), nil) {
			return
		}
	}
}

// sleep gives false if ctx ended. early, if not nil, ends it early.
func sleep(ctx context.Context, d time.Duration, early <-chan struct{}) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-early:
	case <-t.C:
	}
	return ctx.Err() == nil
}

func between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + rand.N(high-low)
}
