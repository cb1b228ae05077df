package heartbeat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"ingot/internal/agentapi"
)

var quiet = slog.New(slog.DiscardHandler)

// beats runs a heart for d of made-up time and gives when it beat. do is called at each beat.
func beats(t *testing.T, d time.Duration, do func(h *Heart, n int) error) (at []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		start := time.Now()
		var h *Heart
		h = New(300*time.Second, quiet, func(context.Context) error {
			at = append(at, time.Since(start))
			return do(h, len(at))
		})
		h.Run(ctx)
	})
	return at
}

func TestSteadyBeat(t *testing.T) {
	at := beats(t, time.Hour, func(*Heart, int) error { return nil })
	if at[0] != 0 {
		t.Errorf("the first came after %v", at[0])
	}
	for i := 1; i < len(at); i++ {
		if gap := at[i] - at[i-1]; gap < 90*time.Second || gap > 180*time.Second {
			t.Errorf("gap of %v", gap)
		}
	}
	if len(at) < 20 || len(at) > 41 {
		t.Errorf("%d in an hour", len(at))
	}
}

func TestFailedBeatsComeFaster(t *testing.T) {
	at := beats(t, time.Hour, func(*Heart, int) error { return errors.New("no") })
	for i := 1; i < len(at); i++ {
		if gap := at[i] - at[i-1]; gap < 5*time.Second || gap > 10*time.Second {
			t.Errorf("gap of %v", gap)
		}
	}
	if len(at) < 300 {
		t.Errorf("%d in an hour", len(at))
	}
}

func TestForcedBeatComesSoonButNotAtOnce(t *testing.T) {
	at := beats(t, time.Minute, func(h *Heart, n int) error {
		if n <= 3 {
			h.Force()
			h.Force() // two wishes are one beat
		}
		return nil
	})
	if len(at) != 4 {
		t.Fatalf("%d beats: %v", len(at), at)
	}
	for i := 1; i < len(at); i++ {
		if gap := at[i] - at[i-1]; gap != 5*time.Second {
			t.Errorf("gap of %v", gap)
		}
	}
}

func TestHungBeatIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var n int
		New(time.Minute, quiet, func(ctx context.Context) error { n++; <-ctx.Done(); return ctx.Err() }).Run(ctx)
		if n < 3 {
			t.Errorf("%d beats in two minutes", n)
		}
	})
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		name     string
		err      error
		failures int
		min, max time.Duration
		found    bool
	}{
		{"at once", nil, 0, 0, 0, true},
		{"after five", errors.New("no"), 5, 5 * time.Second, 31 * time.Second, true},
		{"locked thrice", fmt.Errorf("x: %w", agentapi.ErrLocked), 3, 48 * time.Second, 55 * time.Second, true},
		{"never", errors.New("no"), 1 << 30, 8 * time.Minute, 10 * time.Minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, n := time.Now(), 0
				got, err := Find(t.Context(), quiet, func(context.Context) (string, error) {
					if n++; n <= c.failures {
						return "", c.err
					}
					return "node", nil
				})
				if d := time.Since(start); d < c.min || d > c.max || c.found != (err == nil) || c.found != (got == "node") {
					t.Errorf("%q, %v after %v", got, err, d)
				}
			})
		})
	}
}

func TestFindStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := Find(ctx, quiet, func(context.Context) (int, error) { return 0, errors.New("no") })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
