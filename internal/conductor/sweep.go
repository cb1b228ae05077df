package conductor

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"ingot/internal/fault"
	"ingot/internal/store"
)

// SweepConfig is when work comes round by itself, and how much of it is done at a time. An interval of 0 or less
// is never.
type SweepConfig struct {
	PowerInterval    time.Duration // between two looks at a machine's power state; default 2m
	PowerWorkers     int           // machines that are asked at a time; default 8
	PowerPatience    time.Duration // how long a BMC that does not answer may keep one of the workers; default 2s
	PowerLimit       time.Duration // how long one machine may take to tell its power state; default 30s
	PowerRetries     int           // failures in a row before a machine is put into maintenance; default 3
	ForcePower       bool          // bring a machine back to the recorded state; default true
	RecoveryInterval time.Duration // between two looks at a machine that was put into maintenance; default 5m

	LeftInterval time.Duration // before a medium that could not be ejected is tried again; longer each time; default 1m

	HistoryInterval time.Duration // between two purges of events; default 24h
	HistoryEntries  int           // events kept of a node; 0: all; default 300
	HistoryDays     int           // days that events are kept whatever their number
	HistoryBatch    int           // events thrown away at once; default 1000

	ConductorInterval time.Duration // between two looks for conductors that are gone; default 24h
	ConductorTimeout  time.Duration // after which a silent one is forgotten; default 14 days
}

func sweepDefaults() SweepConfig {
	return SweepConfig{PowerInterval: 2 * time.Minute, PowerWorkers: 8, PowerPatience: 2 * time.Second, PowerLimit: 30 * time.Second, PowerRetries: 3,
		ForcePower: true, RecoveryInterval: 5 * time.Minute, LeftInterval: time.Minute, HistoryInterval: 24 * time.Hour, HistoryEntries: 300, HistoryBatch: 1000,
		ConductorInterval: 24 * time.Hour, ConductorTimeout: 14 * 24 * time.Hour}
}

// The kinds of sweeps. They are stored: never rename one.
const (
	sweepPower      = "power sync"  // of a slice of the nodes of a driver
	sweepCheck      = "power check" // of a node that is in trouble
	sweepHistory    = "history purge"
	sweepConductors = "conductor clean-up"
	sweepAnswered   = "answered requests"
)

// powerSlices is how many rows the nodes of one driver and group are spread over: several conductors share them,
// and the machines that are well cost no row of their own.
const powerSlices = 16

// sweepKind says how often a kind comes round and what it does. A function that returns nil has set the row's
// next time; ended tells that the row has gone.
type sweepKind struct {
	every func(SweepConfig) time.Duration
	do    func(*Conductor, context.Context, *store.Sweep) (ended bool, err error)
}

func sweepKinds() map[string]sweepKind {
	return map[string]sweepKind{
		sweepPower:      {func(c SweepConfig) time.Duration { return c.PowerInterval }, (*Conductor).syncPower},
		sweepCheck:      {func(c SweepConfig) time.Duration { return max(c.PowerInterval, c.RecoveryInterval) }, (*Conductor).checkPower},
		sweepLeft:       {func(c SweepConfig) time.Duration { return c.LeftInterval }, (*Conductor).lookLeft},
		sweepHistory:    {func(c SweepConfig) time.Duration { return c.HistoryInterval }, (*Conductor).purgeHistory},
		sweepConductors: {func(c SweepConfig) time.Duration { return c.ConductorInterval }, (*Conductor).forgetConductors},
		sweepAbandoned:  {func(SweepConfig) time.Duration { return time.Minute }, (*Conductor).failAbandoned},
		sweepStranded:   {func(SweepConfig) time.Duration { return strandedInterval }, (*Conductor).wakeStranded},
		sweepAnswered:   {func(SweepConfig) time.Duration { return 10 * time.Minute }, (*Conductor).pruneAnswered},
	}
}

// sweeper claims rows of some kinds and works on them, a bounded number at a time.
type sweeper struct {
	c     *Conductor
	kinds []string
	slots chan struct{}
}

// sweepers are the lanes of a conductor. Nodes in trouble have one of their own: however many BMCs are dead, the
// others' slices come round.
func (c *Conductor) sweepers() []*sweeper {
	on := slices.DeleteFunc(slices.Sorted(maps.Keys(sweepKinds())), func(k string) bool { return sweepKinds()[k].every(c.config.Sweep) <= 0 })
	all := slices.DeleteFunc(slices.Clone(on), func(k string) bool { return k == sweepCheck || k == sweepLeft })
	lanes := []*sweeper{{c, all, make(chan struct{}, 4)}}
	trouble := slices.DeleteFunc(on, func(k string) bool { return k != sweepCheck && k != sweepLeft })
	if len(trouble) > 0 {
		lanes = append(lanes, &sweeper{c, trouble, make(chan struct{}, 4*max(c.config.Sweep.PowerWorkers, 1))})
	}
	return lanes
}

// ensureSweeps makes the rows that this conductor's hardware needs, spread over their interval.
func (c *Conductor) ensureSweeps(ctx context.Context) error {
	return c.db.Write(ctx, func(tx *store.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		var rows []store.Sweep
		for _, kind := range []string{sweepHistory, sweepConductors, sweepAnswered, sweepAbandoned, sweepStranded} {
			rows = append(rows, store.Sweep{Kind: kind, DueAt: now.Add(c.jitter(time.Minute))})
		}
		for _, driver := range c.scope().Drivers {
			for i := range powerSlices {
				due := now.Add(c.config.Sweep.PowerInterval * time.Duration(i) / powerSlices)
				rows = append(rows, store.Sweep{Kind: sweepPower, Driver: driver, Group: c.config.Group, Slice: i, DueAt: due})
			}
		}
		return tx.EnsureSweeps(rows)
	})
}

// jitter is between 90 and 110 % of d: what began together drifts apart.
func (c *Conductor) jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// sweepLook is how long a sweeper waits at most before it looks for due rows: others may have made some.
const sweepLook = 5 * time.Second

// run works until ctx ends.
func (s *sweeper) run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	freed := make(chan struct{}, 1)
	for ctx.Err() == nil {
		s.claimAll(ctx, &work, freed)
		wait := time.NewTimer(s.untilDue(ctx))
		select {
		case <-ctx.Done():
		case <-freed:
		case <-wait.C:
		}
		wait.Stop()
	}
}

func (s *sweeper) claimAll(ctx context.Context, work *sync.WaitGroup, freed chan<- struct{}) {
	for {
		select {
		case s.slots <- struct{}{}:
		default:
			return // the end of one says so
		}
		row, err := s.claim(ctx)
		if err != nil && ctx.Err() == nil {
			s.c.log.Warn("sweeps cannot be claimed", "error", err)
		}
		if row == nil {
			<-s.slots
			return
		}
		work.Add(1)
		go func() {
			defer work.Done()
			s.c.sweep(ctx, row)
			<-s.slots
			select {
			case freed <- struct{}{}:
			default:
			}
		}()
	}
}

// untilDue is how long nothing needs to be claimed.
func (s *sweeper) untilDue(ctx context.Context) time.Duration {
	wait := sweepLook
	_ = s.c.db.Read(ctx, func(tx *store.Tx) error {
		due, err := tx.NextSweep(s.c.scope(), s.kinds)
		if err != nil || due.IsZero() {
			return err
		}
		now, err := tx.Now()
		if err == nil {
			wait = min(wait, max(due.Sub(now), 10*time.Millisecond))
		}
		return err
	})
	return wait
}

func (s *sweeper) claim(ctx context.Context) (row *store.Sweep, err error) {
	var due bool
	err = s.c.db.Read(ctx, func(tx *store.Tx) error { // an empty look costs no write
		at, err := tx.NextSweep(s.c.scope(), s.kinds)
		if err != nil || at.IsZero() {
			return err
		}
		now, err := tx.Now()
		due = !at.After(now)
		return err
	})
	if err != nil || !due {
		return nil, err
	}
	err = s.c.db.Write(ctx, func(tx *store.Tx) error {
		row, err = tx.ClaimSweep(s.c.config.Host, s.c.scope(), s.kinds, s.c.config.Lease)
		return err
	})
	return row, err
}

// sweep works on a claimed row, under its lease, and saves when it is due again.
func (c *Conductor) sweep(ctx context.Context, row *store.Sweep) {
	kind := sweepKinds()[row.Kind]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		defer cancel()
		c.keepSweep(ctx, *row)
	}()
	row.DueAt = time.Now().Add(c.jitter(kind.every(c.config.Sweep)))
	ended, err := c.swept(ctx, kind, row)
	if err == nil && !ended {
		err = c.db.Write(ctx, func(tx *store.Tx) error { return tx.SaveSweep(row) })
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrFenced) {
		c.log.Warn("sweep failed", "kind", row.Kind, "error", err)
		_ = c.db.Write(ctx, func(tx *store.Tx) error { return tx.SaveSweep(row) }) // or its lease runs out
	}
	cancel()
	<-kept
}

// swept does a row's work. One BMC's odd reply, or a defect of ours, must not end everybody's server, and again at each
// start: the row stays and is due at its next time.
func (c *Conductor) swept(ctx context.Context, kind sweepKind, row *store.Sweep) (ended bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("sweep panicked", "kind", row.Kind, "panic", p, "stack", string(debug.Stack()))
			ended, err = false, fault.New(fault.Internal, "a defect of this server: the sweep panicked; its log has the details")
		}
	}()
	return kind.do(c, ctx, row)
}

// keepSweep renews the lease until ctx ends, or it cannot in time: then what is done under it ends too.
func (c *Conductor) keepSweep(ctx context.Context, row store.Sweep) {
	end := time.Now().Add(c.config.Lease)
	tick := time.NewTicker(c.config.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked := time.Now()
		write, cancel := context.WithDeadline(ctx, end)
		err := c.db.Write(write, func(tx *store.Tx) error { return tx.RenewSweep(&row, c.config.Lease) })
		cancel()
		switch {
		case err == nil:
			end = asked.Add(c.config.Lease)
		case errors.Is(err, store.ErrFenced), time.Now().After(end):
			return
		}
	}
}

// purgeHistory throws old events away; what does not fit into one batch goes soon after.
func (c *Conductor) purgeHistory(ctx context.Context, row *store.Sweep) (bool, error) {
	s := c.config.Sweep
	if s.HistoryEntries <= 0 {
		return false, nil
	}
	return false, c.db.Write(ctx, func(tx *store.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		gone, err := tx.PurgeEvents(s.HistoryEntries, now.AddDate(0, 0, -s.HistoryDays), s.HistoryBatch)
		if gone >= s.HistoryBatch {
			row.DueAt = time.Now().Add(time.Second)
		}
		return err
	})
}

func (c *Conductor) forgetConductors(ctx context.Context, _ *store.Sweep) (bool, error) {
	return false, c.db.Write(ctx, func(tx *store.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		return tx.ForgetConductors(now.Add(-c.config.Sweep.ConductorTimeout))
	})
}

func (c *Conductor) pruneAnswered(ctx context.Context, _ *store.Sweep) (bool, error) {
	return false, c.db.Write(ctx, func(tx *store.Tx) error {
		now, err := tx.Now()
		if err != nil {
			return err
		}
		return tx.PruneOperations(now.Add(-time.Hour))
	})
}
