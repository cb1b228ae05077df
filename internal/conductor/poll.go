package conductor

import (
	"context"
	"runtime/debug"
	"sync"
	"time"

	"ingot/internal/fault"
	"ingot/internal/store"
)

// How long an agent that is asked may take. They are short: nothing else waits for one, and a machine that is off answers
// nothing at all.
const (
	knockLimit  = 3 * time.Second       // to be connected and to have shown its certificate
	answerLimit = 5 * time.Second       // to answer what needs no work
	tellLimit   = 20 * time.Second      // to tell what its machine is made of, or take in what its node is
	workLimit   = 15 * time.Second      // until it answers while its command goes on running
	pollLease   = 45 * time.Second      // all of it; a conductor that died keeps its agents from others as long
	pollBatch   = 64                    // rows claimed at once, and at least as many results written at once
	pollBreath  = 50 * time.Millisecond // between two claims, and before what was heard is written: what comes meanwhile goes with it
)

// poller asks the agents that call nobody. It works beside the conductor's workers and takes none of them: an operation that
// waits for an agent is a row, as ever, and is woken when there is something to see.
type poller struct {
	c     *Conductor
	turns *turns
	where whereabouts
	left  chan struct{} // told when a lane became free
	heard chan polled   // what came of asking, for the one that writes
	work  sync.WaitGroup

	mu    sync.Mutex
	known map[int64]*acquaintance // by node, guarded by mu
}

// poll asks agents until ctx ends.
func (c *Conductor) poll(ctx context.Context) {
	p := newPoller(c)
	var writer sync.WaitGroup
	writer.Go(p.write)
	tidy := time.NewTicker(time.Minute)
	defer tidy.Stop()
	for ctx.Err() == nil {
		changed := c.db.Changed()
		p.claimAll(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(pollBreath):
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-p.turns.freed:
		case <-p.left:
		case <-time.After(p.untilDue(ctx)):
		case <-tidy.C:
			p.forgetOld()
		}
	}
	p.work.Wait()
	close(p.heard)
	writer.Wait()
	p.forgetAll()
	p.letGo()
}

// letGo gives back what was being asked when the server ended: others go on at once.
func (p *poller) letGo() {
	write, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := p.c.db.Write(write, func(tx *store.Tx) error { return tx.DropPollLeases(p.c.config.Host) }); err != nil {
		p.c.log.Warn("the agents that were being asked are asked again when their leases end", "error", err)
	}
}

func newPoller(c *Conductor) *poller {
	return &poller{c: c, turns: newTurns(max(c.config.PollWorkers, 1), max(c.config.PollSlowWorkers, 1), 100*time.Millisecond), left: make(chan struct{}, 1),
		heard: make(chan polled, 4*pollBatch), known: map[int64]*acquaintance{},
		where: whereabouts{found: map[int64]*foundAt{}, slots: make(chan struct{}, pollBatch)}}
}

// untilDue is how long nobody needs to be asked, at most a second: other processes may add work.
func (p *poller) untilDue(ctx context.Context) time.Duration {
	wait := time.Second
	_ = p.c.db.Read(ctx, func(tx *store.Tx) error {
		due, err := tx.NextPoll(p.c.scope())
		if err != nil || due.IsZero() {
			return err
		}
		now, err := tx.Now()
		if err == nil {
			wait = min(wait, max(due.Sub(now), 5*time.Millisecond))
		}
		return err
	})
	return wait
}

// claimAll has everybody asked who is due, as long as there are lanes for it.
func (p *poller) claimAll(ctx context.Context) {
	for ctx.Err() == nil && p.due(ctx) {
		var lanes []func()
		for len(lanes) < pollBatch {
			leave, ok := p.turns.enter()
			if !ok {
				break
			}
			lanes = append(lanes, leave)
		}
		if len(lanes) == 0 {
			return // the end of one announces itself
		}
		began := time.Now()
		rows, err := p.claim(ctx, len(lanes))
		if err != nil && ctx.Err() == nil {
			p.c.log.Warn("agents to be asked cannot be claimed", "error", err)
		}
		for _, leave := range lanes[len(rows):] {
			leave()
		}
		for i, row := range rows {
			p.work.Go(func() {
				defer p.leave(lanes[i])
				p.ask(ctx, row, began)
			})
		}
		if len(rows) == 0 {
			return
		}
	}
}

func (p *poller) leave(lane func()) {
	lane()
	select {
	case p.left <- struct{}{}:
	default: // told already
	}
}

// due tells whether a look for work is worth a write lock.
func (p *poller) due(ctx context.Context) (is bool) {
	err := p.c.db.Read(ctx, func(tx *store.Tx) error {
		at, err := tx.NextPoll(p.c.scope())
		if err != nil || at.IsZero() {
			return err
		}
		now, err := tx.Now()
		is = !at.After(now)
		return err
	})
	return err == nil && is
}

func (p *poller) claim(ctx context.Context, n int) (rows []*store.Poll, err error) {
	err = p.c.db.Write(ctx, func(tx *store.Tx) error {
		rows, _, err = tx.ClaimPolls(p.c.config.Host, p.c.scope(), n, pollLease)
		return err
	})
	return rows, err
}

// ask asks one agent within its lease, and hands what came of it to the writer.
func (p *poller) ask(ctx context.Context, row *store.Poll, began time.Time) {
	late := began.Sub(row.DueAt)
	call, cancel := context.WithDeadline(ctx, began.Add(pollLease-5*time.Second)) // what is written in time is written under the lease
	defer cancel()
	a := polled{row: row}
	if err := p.guarded(func() error { p.turnTo(call, &a); return nil }); err != nil {
		a = polled{row: row, err: err}
	}
	if ctx.Err() != nil {
		return // this server ends: its leases are dropped when it starts, or run out
	}
	p.c.watch.Polled(a.outcome(), max(late, 0))
	p.heard <- a
}

// turnTo asks an agent that was met, or looks for it.
func (p *poller) turnTo(ctx context.Context, a *polled) {
	known := p.acquainted(a.row)
	if known == nil || a.row.Awaits == store.AwaitAnswer {
		known = p.recall(ctx, a.row)
	}
	if known != nil {
		p.look(ctx, a, known)
		return
	}
	p.meet(ctx, a, nil)
}

// guarded turns a panic into an error: one machine's odd answer must not end everybody's server.
func (p *poller) guarded(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			p.c.log.Error("poll panicked", "panic", v, "stack", string(debug.Stack()))
			err = fault.New(fault.Internal, "a defect of this server: asking the agent panicked; its log has the details")
		}
	}()
	return f()
}
