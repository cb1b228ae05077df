package conductor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"ingot/internal/metal"
	"ingot/internal/secret"
	"ingot/internal/store"
)

const (
	// allocationRetry is how long nodes that are held by something else are left before they are looked at again.
	allocationRetry = time.Second
	// allocationPatience is how long an allocation waits for nodes that would fit and are held.
	allocationPatience = time.Minute
	// allocationPause is the least time between two looks for allocations: every commit is a reason to look.
	allocationPause = 50 * time.Millisecond
)

// allocations gives nodes to allocations until ctx ends.
func (c *Conductor) allocations(ctx context.Context) {
	for ctx.Err() == nil {
		changed := c.db.Changed()
		wait := c.allocateAll(ctx)
		pause := time.NewTimer(allocationPause)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
		due := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-due.C:
		}
		due.Stop()
	}
}

// allocateAll gives nodes to all allocations that are due, and tells how long nothing else is.
func (c *Conductor) allocateAll(ctx context.Context) time.Duration {
	for ctx.Err() == nil {
		wait, err := c.untilAllocation(ctx)
		if err == nil && wait > 0 {
			return wait
		}
		id := int64(0)
		if err == nil {
			id, err = c.allocateOne(ctx)
		}
		if err == nil && id == 0 { // another conductor has it
			return allocationRetry
		}
		if err == nil {
			continue
		}
		if ctx.Err() == nil {
			c.log.Warn("allocation cannot be worked on", "error", err)
			c.postpone(ctx, id)
		}
		return allocationRetry
	}
	return 0
}

// untilAllocation is how long no allocation is due, at most a second: other processes may add some.
func (c *Conductor) untilAllocation(ctx context.Context) (wait time.Duration, err error) {
	wait = time.Second
	err = c.db.Read(ctx, func(tx *store.Tx) error { // an empty look costs no write
		due, err := tx.NextAllocation()
		if err != nil || due.IsZero() {
			return err
		}
		now, err := tx.Now()
		wait = min(wait, due.Sub(now))
		return err
	})
	return wait, err
}

// postpone leaves an allocation that went wrong for a while, so that it does not stand before the others.
func (c *Conductor) postpone(ctx context.Context, id int64) {
	if id == 0 {
		return
	}
	_ = c.db.Write(ctx, func(tx *store.Tx) error { return tx.PostponeAllocation(id, 30*allocationRetry) })
}

// allocateOne gives a node to the allocation that is due, in one transaction: the allocation is held, then a node that is free
// is, then both are written. A conductor that dies before the commit has done nothing, and another takes the allocation
// at once. It gives the allocation's row, 0 if none was due.
func (c *Conductor) allocateOne(ctx context.Context) (id int64, err error) {
	err = c.db.Write(ctx, func(tx *store.Tx) error {
		a, err := tx.DueAllocation()
		if err != nil || a == nil {
			return err
		}
		id = a.ID
		now, err := tx.Now()
		if err != nil {
			return err
		}
		if taken, err := tx.InstanceTaken(a.UUID); err != nil || taken {
			return errors.Join(err, c.failAllocation(tx, a, now, "a node has an instance of this UUID"))
		}
		n, err := freeNode(tx, a)
		switch {
		case err != nil:
			return err
		case n != nil:
			return errors.Join(c.give(tx, a, n, now), c.mayDie("an allocation"))
		}
		fitting, err := tx.FittingNodes(a)
		if err != nil {
			return err
		}
		if a.GiveUpAt.IsZero() {
			a.GiveUpAt = now.Add(allocationPatience)
		}
		if fitting > 0 && now.Before(a.GiveUpAt) {
			a.DueAt = now.Add(allocationRetry)
			return tx.SaveAllocation(a)
		}
		why, err := whyNone(tx, a, fitting)
		if err != nil {
			return err
		}
		return c.failAllocation(tx, a, now, why)
	})
	return id, err
}

// mayDie is where tests kill a conductor, before an allocation that was given a node is committed.
func (c *Conductor) mayDie(where string) error {
	if c.crash == nil {
		return nil
	}
	return c.crash(where)
}

// freeNode finds a node for the allocation and holds it, nil if none is free.
func freeNode(tx *store.Tx, a *metal.Allocation) (*metal.Node, error) {
	var not []int64
	for {
		n, err := tx.FreeNode(a, not)
		if err != nil || n == nil {
			return nil, err
		}
		// It was found before it was held: what is true now is what counts.
		live, err := tx.LiveOperation(n.ID)
		if err != nil {
			return nil, err
		}
		traits, err := tx.Traits(n.ID)
		if err != nil {
			return nil, err
		}
		if ok, _ := a.Accepts(n, traits[n.ID], live != nil); ok {
			return n, nil
		}
		not = append(not, n.ID)
	}
}

func (c *Conductor) give(tx *store.Tx, a *metal.Allocation, n *metal.Node, now time.Time) error {
	a.State, a.NodeID, a.LastError, a.UpdatedAt = metal.Allocated, n.ID, "", now
	info := n.InstanceInfo.Expose()
	info["traits"] = append([]string{}, a.Traits...) // deploy templates are found by them
	n.InstanceInfo, n.InstanceUUID, n.UpdatedAt = secret.NewMap(info), a.UUID, now
	c.log.Info("node allocated", "allocation", a.UUID, "node", n.UUID)
	return errors.Join(tx.SaveAllocation(a), tx.SaveNode(n), tx.AppendEvent(n.ID, metal.HistoryEvent{Kind: "request", Who: c.config.Host,
		Why: "The node was given to allocation " + a.UUID + "."}))
}

func (c *Conductor) failAllocation(tx *store.Tx, a *metal.Allocation, now time.Time, why string) error {
	a.State, a.UpdatedAt = metal.AllocationError, now
	a.LastError = fmt.Sprintf("Failed to process allocation %s: %s.", a.UUID, why)
	c.log.Info("allocation failed", "allocation", a.UUID, "why", why)
	return tx.SaveAllocation(a)
}

// whyNone says why there is no node, from what most nodes lack to what few do. It tells of no node that the owner of the
// allocation may not have.
func whyNone(tx *store.Tx, a *metal.Allocation, fitting int) (string, error) {
	if fitting > 0 {
		return fmt.Sprintf("%d nodes match, and all were held by other operations for %s", fitting, allocationPatience), nil
	}
	counts, err := tx.CountForAllocation(a)
	if err != nil {
		return "", err
	}
	class := fmt.Sprintf("resource class %s", a.ResourceClass)
	switch {
	case counts.OfClass == 0:
		return "no node has " + class + ifAny(a.Owner, " and project %s as owner or lessee"), nil
	case counts.Ready == 0:
		return fmt.Sprintf("none of the %d nodes with %s is available, without an instance, not in maintenance and of a known power state", counts.OfClass, class), nil
	case counts.WithTraits == 0:
		return fmt.Sprintf("none of the %d available nodes with %s has all of the traits %s", counts.Ready, class, strings.Join(a.Traits, ", ")), nil
	}
	return fmt.Sprintf("none of the %d available nodes with %s and the traits is among the candidate nodes", counts.WithTraits, class), nil
}

func ifAny(value, format string) string {
	if value == "" {
		return ""
	}
	return fmt.Sprintf(format, value)
}
