package vswitch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ingot/internal/fault"
	"ingot/internal/metal"
)

const (
	lookEvery     = 200 * time.Millisecond // while a switch applies
	staleTries    = 3                      // somebody else may change a port now and then, not always
	rollbackLimit = time.Minute            // the way back must not end with the caller's patience
)

// carryOut makes the changes and reads back that they are there. If one fails, those that were made are taken back. What
// the switch is still about to do is in waiting.
func (d *Driver) carryOut(ctx context.Context, n *metal.Node, list []change) (waiting string, err error) {
	made, err := d.apply(ctx, n, list)
	if err == nil {
		waiting, err = d.verify(ctx, n, list)
	}
	if err == nil {
		return waiting, nil
	}
	return "", d.rollBack(ctx, n, made, err)
}

// isolate makes changes that lead off a network. One that fails keeps no other from being made, and none is taken back.
func (d *Driver) isolate(ctx context.Context, n *metal.Node, list []change) (waiting string, err error) {
	made, err := d.apply(ctx, n, list)
	if err != nil {
		made, err = nil, nil // several at once were refused, or one was: each by itself
		for _, c := range list {
			if failed := d.set(ctx, n, c); failed != nil {
				err = errors.Join(err, failed)
				continue
			}
			made = append(made, c)
		}
	}
	waiting, wrong := d.verify(ctx, n, made)
	return waiting, errors.Join(err, wrong)
}

// apply sends the changes, several as one where the switch can. made are those that may have taken effect.
func (d *Driver) apply(ctx context.Context, n *metal.Node, list []change) (made []change, err error) {
	if len(list) > 1 {
		known, err := d.client.setPorts(ctx, list)
		if known && err == nil {
			return list, nil
		}
		if known && !stale(err) {
			return list, d.client.explain(err, "change %d ports", len(list)) // all or none, says the API; the way back looks
		}
	}
	for _, c := range list {
		made = append(made, c)
		if err := d.set(ctx, n, c); err != nil {
			return made, err
		}
	}
	return made, nil
}

// set makes one change. A port that has changed since it was read is read again: it may be as it shall be, by a request
// of ours whose answer was lost.
func (d *Driver) set(ctx context.Context, n *metal.Node, c change) error {
	for try := 1; ; try++ {
		err := d.client.setPort(ctx, c.at, c.revision, c.to)
		if !stale(err) || try == staleTries {
			return d.client.explain(err, "%s", c)
		}
		state, err := d.client.port(ctx, c.at)
		if err != nil {
			return err
		}
		if err := ours(n, c.at, state); err != nil {
			return err
		}
		if c.to == (setting{state.network(), state.Owner}) {
			return nil
		}
		c.revision = state.Revision
	}
}

// verify reads back, until each port is as it was set or the switch has had its time.
func (d *Driver) verify(ctx context.Context, n *metal.Node, list []change) (waiting string, err error) {
	deadline := time.Now().Add(d.config.ApplyTimeout)
	for {
		waiting, wrong, err := d.look(ctx, n, list)
		if err != nil || waiting == "" && wrong == nil {
			return "", err
		}
		if !time.Now().Before(deadline) {
			return waiting, wrong
		}
		t := time.NewTimer(lookEvery)
		select {
		case <-ctx.Done():
			t.Stop()
			if wrong == nil {
				wrong = ctx.Err()
			}
			return "", wrong
		case <-t.C:
		}
	}
}

// look compares each port with what it was set to. wrong is what may still become right.
func (d *Driver) look(ctx context.Context, n *metal.Node, list []change) (waiting string, wrong, err error) {
	for _, c := range list {
		state, err := d.client.port(ctx, c.at)
		if err != nil {
			return "", nil, err
		}
		if err := ours(n, c.at, state); err != nil {
			return "", nil, err
		}
		switch now := (setting{state.network(), state.Owner}); {
		case state.State == failed && now == c.to:
			return "", nil, fault.New(fault.Unavailable, "The switch could not %s: %s", c, state.Message)
		case now != c.to:
			wrong = fault.New(fault.Unavailable, "The switch API accepted to %s and still shows it %s.", c, shown(now))
		case state.State == pending:
			waiting = fmt.Sprintf("the switch has not yet finished to %s", c)
		}
	}
	return waiting, wrong, nil
}

func shown(s setting) string {
	switch {
	case s.network == "":
		return "isolated"
	case s.owner == "":
		return "on network " + s.network + " as nobody's"
	}
	return "on network " + s.network
}

// rollBack takes back what was made, the newest first, and adds to the error what could not be. The caller's time may be
// up; its fence still holds.
func (d *Driver) rollBack(ctx context.Context, n *metal.Node, made []change, cause error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackLimit)
	defer cancel()
	var left []string
	for _, c := range slices.Backward(made) {
		if err := d.takeBack(ctx, n, c); err != nil {
			d.log.Warn("a switch port could not be set back", "node", n.UUID, "switch", c.at.Switch, "port", c.at.Port, "network", c.from.network, "err", err)
			left = append(left, fmt.Sprintf("%s, which was %s", c.at, shown(c.from)))
		}
	}
	if len(left) == 0 {
		return cause
	}
	text, _ := fault.PublicOf(cause)
	return fault.Wrap(fault.KindOf(cause), cause, "%s What was done before could not be taken back: look at %s.", text, strings.Join(left, "; "))
}

// takeBack sets a port to what it was, if it is what we made of it.
func (d *Driver) takeBack(ctx context.Context, n *metal.Node, c change) error {
	state, err := d.client.port(ctx, c.at)
	if err != nil {
		return err
	}
	if err := ours(n, c.at, state); err != nil {
		return err
	}
	if c.from == (setting{state.network(), state.Owner}) {
		return nil
	}
	back := change{c.at, state.Revision, c.to, c.from}
	if err := d.set(ctx, n, back); err != nil {
		return err
	}
	waiting, err := d.verify(ctx, n, []change{back})
	if err == nil && waiting != "" {
		err = fault.New(fault.Unavailable, "%s", waiting)
	}
	return err
}
