package cli

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"ingot/internal/client"
	"ingot/internal/fault"
	"ingot/internal/metal"
)

// goal is where an operation should end.
type goal interface {
	// ended tells whether the node rests again, and if so whether where it should.
	ended(s *client.States) (over, well bool)
	describe(n *client.Node) string
}

// rest is a goal among provision states.
type rest struct{ want []metal.State }

func (r rest) ended(s *client.States) (bool, bool) {
	if slices.Contains(r.want, s.ProvisionState) && s.TargetProvisionState == "" {
		return true, true
	}
	kind := metal.States[s.ProvisionState].Kind
	return kind == metal.Failed || s.TargetProvisionState == "", false
}

func (rest) describe(n *client.Node) string { return being(n.State()) }

// stopped is the goal of an abort: the node rests, wherever. A node that is held, or waits, has not been stopped yet.
type stopped struct{}

func (stopped) ended(s *client.States) (bool, bool) {
	switch metal.States[s.ProvisionState].Kind {
	case metal.Stable, metal.Failed:
		return true, true
	}
	return false, false
}

func (stopped) describe(n *client.Node) string { return being(n.State()) }

// power is a goal among power states.
type power struct{ want metal.Power }

func (p power) ended(s *client.States) (bool, bool) {
	return s.TargetPowerState == "", s.PowerState == p.want && (s.LastError == "" || metal.States[s.ProvisionState].Kind == metal.Failed)
}

func (power) describe(n *client.Node) string { return n.PowerState }

// lostLimit is how long a waiting command goes on without a server: operations survive its restart.
const lostLimit = 2 * time.Minute

// follower watches one node's operation and tells a person about it.
type follower struct {
	c      *client.Client
	ident  string
	poll   time.Duration // between two looks, at most
	screen *screen
	after  string // the newest event that is told or older than the operation
	story  bool   // the server has why and events; an upstream Ironic has not
	teller teller
}

// follow begins before the verb is sent, so that no event of it is missed and none before it is told.
func (a *app) follow(ctx context.Context, cmd *cobra.Command, c *client.Client, ident string) (*follower, error) {
	f := &follower{c: c, ident: ident, poll: a.Poll, screen: newScreen(cmd.ErrOrStderr())}
	if _, err := c.States(ctx, ident); err != nil {
		return nil, err
	}
	events, err := c.Events(ctx, ident, "")
	switch {
	case fault.KindOf(err) == fault.NotFound: // the node is there, so it is the path that is not
		return f, nil
	case err != nil:
		return nil, err
	}
	f.story = true
	if len(events) > 0 {
		f.after = events[len(events)-1].UUID
	}
	return f, nil
}

// until returns when the goal is reached, with nil, or when the operation ended elsewhere, the limit is
// over (0: none), ctx ends or the server has been away too long.
func (f *follower) until(ctx context.Context, what string, g goal, limit time.Duration) error {
	defer f.screen.finish()
	waitCtx := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		waitCtx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	var lostSince time.Time
	gap := f.poll / 8 // short operations are over at once; long ones are looked at less and less
	for {
		s, err := f.look(waitCtx)
		switch {
		case waitCtx.Err() != nil:
			return f.gaveUp(ctx, what, limit)
		case isUnreachable(err):
			if lostSince.IsZero() {
				lostSince = time.Now()
			}
			if time.Since(lostSince) > lostLimit {
				return err
			}
			f.screen.status(status{key: "lost", age: patience, every: waitingEvery,
				text: "the server does not answer; the operation is its own, waiting for it to come back"})
		case err != nil:
			return err
		default:
			lostSince = time.Time{}
			if over, well := g.ended(s); over {
				return f.end(ctx, what, s, well)
			}
		}
		if pause(waitCtx, gap) != nil {
			return f.gaveUp(ctx, what, limit)
		}
		gap = min(2*gap, f.poll)
	}
}

// look reads the states first and the story after: when the states say that it is over, the events of its
// end are there to be told.
func (f *follower) look(ctx context.Context) (*client.States, error) {
	s, err := f.c.States(ctx, f.ident)
	if err != nil || !f.story {
		if err == nil {
			f.screen.status(status{key: string(s.ProvisionState), text: string(s.ProvisionState), age: patience})
		}
		return s, err
	}
	events, err := f.c.Events(ctx, f.ident, f.after)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		f.after = e.UUID
		if line, ok := f.teller.line(e); ok {
			f.screen.line(line)
		}
	}
	w, err := f.c.Why(ctx, f.ident)
	if err != nil {
		return nil, err
	}
	switch {
	case w.Step != "" || w.WaitingFor != "":
		f.screen.status(whyStatus(w, time.Now()))
	case w.Holder == "" && w.Since != nil: // accepted, and nobody works on it yet
		f.screen.status(status{key: "accepted", text: "accepted, waiting for a conductor" + lasting(w, time.Now()), age: time.Since(*w.Since), every: waitingEvery})
	}
	return s, nil
}

func (f *follower) end(ctx context.Context, what string, s *client.States, well bool) error {
	if well {
		return nil
	}
	text := s.LastError
	if text == "" {
		text = "the server gives no reason"
	}
	err := operationFailed("%s of node %s failed, it is %s: %s", what, f.ident, s.ProvisionState, text)
	if kind := metal.States[s.ProvisionState].Kind; kind == metal.Failed || s.ProvisionState == metal.Enroll || s.ProvisionState == metal.Error {
		if flags := hiddenFlags(text); flags != "" && s.ProvisionState == metal.DeployFailed {
			return hint(err, "give them again: ingot node rebuild %s --wait %s", f.ident, flags)
		}
		n, looked := f.c.Node(ctx, f.ident)
		return hint(err, "%s", mending(f.ident, s, looked == nil && n.Maintenance))
	}
	return hint(err,
		"ingot node why %s says what can be done; ingot node events %s and ingot node logs %s say what happened", f.ident, f.ident, f.ident)
}

// gaveUp says that only the waiting ended.
func (f *follower) gaveUp(ctx context.Context, what string, limit time.Duration) error {
	err := errors.New("stopped waiting")
	if ctx.Err() == nil {
		err = errors.New("not done after " + span(limit))
	}
	return hint(err, "the %s goes on: ingot node why %s", what, f.ident)
}

func isUnreachable(err error) bool {
	var u *client.Unreachable
	return errors.As(err, &u)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
