package conductor

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"ingot/internal/fault"
	"ingot/internal/metal"
	"ingot/internal/store"
)

// verbSync is the verb of a power change that nobody asked for: a machine is brought back to the recorded state.
const verbSync = "power sync"

// powerFailure is the fault of a node whose machine does not tell its power state, or does not keep it. Source:
// Ironic, ironic/common/faults.py.
const powerFailure = "power failure"

// unsynced are the states in which a machine's power is its plan's or nobody's affair. Source: Ironic,
// ironic/conductor/manager.py, SYNC_EXCLUDED_STATES.
var unsynced = []metal.State{metal.Enroll, metal.DeployWait, metal.CleanWait, metal.AdoptFailed}

// syncPower compares the power states of a slice of the nodes with what is recorded. A machine that is as it
// should be costs no write.
func (c *Conductor) syncPower(ctx context.Context, row *store.Sweep) (bool, error) {
	hardware := c.hardware[row.Driver]
	if hardware.Power == nil && hardware.Parts == nil {
		return false, nil
	}
	var nodes []*metal.Node
	var seen time.Time
	var faulty []int64
	err := c.db.Read(ctx, func(tx *store.Tx) (err error) {
		if seen, err = tx.Now(); err != nil {
			return err
		}
		if faulty, err = tx.FaultyNodes(row.Driver, row.Group, row.Slice, powerSlices, powerFailure, sweepCheck); err != nil {
			return err
		}
		nodes, err = tx.NodesToSync(row.Driver, row.Group, row.Slice, powerSlices, unsynced, sweepCheck)
		return err
	})
	if err != nil {
		return false, err
	}
	if len(faulty) > 0 && c.config.Sweep.RecoveryInterval > 0 { // each gets a row of its own, whoever gave it the fault
		if err := c.db.Write(ctx, func(tx *store.Tx) error { return c.suspect(tx, faulty) }); err != nil {
			return false, err
		}
	}
	var work sync.WaitGroup
	for _, n := range nodes {
		hw, _ := hardware.Of(n)
		if hw.Power == nil {
			continue
		}
		if n.PowerState == "" && hw.Validator != nil && hw.Validator.Validate(n) != nil {
			continue // it was never reached and cannot be
		}
		release, ok := c.lanes.enter(ctx)
		if !ok {
			break
		}
		work.Add(1)
		go func() {
			defer work.Done()
			is, err := c.askPower(ctx, hw, n, release)
			if ctx.Err() != nil || err == nil && is == n.PowerState {
				return
			}
			if err := c.settle(ctx, n, nil, seen, is, err); err != nil && ctx.Err() == nil {
				c.log.Warn("power state cannot be recorded", "node", n.UUID, "error", err)
			}
		}()
	}
	work.Wait()
	return false, ctx.Err()
}

// suspect makes rows for nodes that are in trouble already.
func (c *Conductor) suspect(tx *store.Tx, nodes []int64) error {
	now, err := tx.Now()
	if err != nil {
		return err
	}
	rows := make([]store.Sweep, len(nodes))
	for i, id := range nodes {
		rows[i] = store.Sweep{Kind: sweepCheck, NodeID: id, Failures: c.config.Sweep.PowerRetries + 1, DueAt: now.Add(c.jitter(c.config.Sweep.RecoveryInterval))}
	}
	return tx.EnsureSweeps(rows)
}

// checkPower looks at one machine that was in trouble when it was looked at last.
func (c *Conductor) checkPower(ctx context.Context, row *store.Sweep) (ended bool, err error) {
	var n *metal.Node
	var seen time.Time
	var busy bool
	err = c.db.Read(ctx, func(tx *store.Tx) (err error) {
		if seen, err = tx.Now(); err != nil {
			return err
		}
		if n, err = tx.NodeByID(row.NodeID); err != nil {
			return err
		}
		busy, err = tx.BusySince(n.ID, seen)
		return err
	})
	if err != nil {
		return false, err
	}
	hw, _ := c.hardware[n.Driver].Of(n)
	failed := n.Maintenance && n.Fault == powerFailure
	interval := c.config.Sweep.PowerInterval
	if failed {
		interval = c.config.Sweep.RecoveryInterval
	}
	switch {
	case hw.Power == nil, n.Maintenance && !failed, interval <= 0: // no affair of this sweep any more
		return true, c.db.Write(ctx, func(tx *store.Tx) error { return tx.EndSweep(row) })
	case busy, n.TargetPowerState != "" && !failed, skipped(n) && !failed:
		row.DueAt = time.Now().Add(c.jitter(interval))
		return false, nil
	}
	call, cancel := context.WithTimeout(ctx, c.config.Sweep.PowerLimit)
	is, err := c.readPower(call, hw, n)
	cancel()
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return true, c.settle(ctx, n, row, seen, is, err)
}

func skipped(n *metal.Node) bool {
	for _, s := range unsynced {
		if n.ProvisionState == s {
			return true
		}
	}
	return false
}

func (c *Conductor) readPower(ctx context.Context, hw Hardware, n *metal.Node) (is metal.Power, err error) {
	defer func() {
		if p := recover(); p != nil { // one BMC's odd reply must not end everybody's server
			c.log.Error("power sync panicked", "node", n.UUID, "panic", p)
			err = fault.New(fault.Internal, "a defect of this server: the driver panicked; its log has the details")
		}
	}()
	is, err = hw.Power.Power(ctx, n)
	if err == nil && is != metal.PowerOn && is != metal.PowerOff {
		err = fault.New(fault.Unavailable, "the BMC tells the power state %q", is)
	}
	return is, err
}

// lanes bound how many machines are asked at a time. Whoever does not answer soon makes room for others.
type lanes struct{ fast, slow chan struct{} }

func newLanes(workers int) lanes {
	return lanes{make(chan struct{}, max(workers, 1)), make(chan struct{}, 16*max(workers, 1))}
}

// enter waits for a place; release must be called once.
func (l lanes) enter(ctx context.Context) (release func(), ok bool) {
	select {
	case l.fast <- struct{}{}:
		return func() { <-l.fast }, true
	case <-ctx.Done():
		return nil, false
	}
}

// askPower reads a machine's power state within the limit. A machine that lets it wait moves to the slow lane.
func (c *Conductor) askPower(ctx context.Context, hw Hardware, n *metal.Node, release func()) (is metal.Power, err error) {
	call, cancel := context.WithTimeout(ctx, c.config.Sweep.PowerLimit)
	defer cancel()
	answered := make(chan struct{})
	var moved sync.WaitGroup
	moved.Add(1)
	go func() {
		defer moved.Done()
		patience := time.NewTimer(c.config.Sweep.PowerPatience)
		defer patience.Stop()
		defer func() { release() }()
		select {
		case <-answered:
			return
		case <-patience.C:
		}
		select {
		case <-answered:
		case c.lanes.slow <- struct{}{}:
			release()
			release = func() { <-c.lanes.slow }
			<-answered
		}
	}()
	is, err = c.readPower(call, hw, n)
	close(answered)
	moved.Wait()
	return is, err
}

// settle writes what was seen of a machine whose power state is not as recorded, or which is in trouble. row is
// the node's own, claimed, or nil. What happened to the node in the meantime goes first: then nothing is written.
func (c *Conductor) settle(ctx context.Context, was *metal.Node, row *store.Sweep, seen time.Time, is metal.Power, cause error) error {
	return c.db.Write(ctx, func(tx *store.Tx) error {
		n, err := tx.NodeByID(was.ID)
		if fault.KindOf(err) == fault.NotFound {
			return nil // and its row is gone with it
		}
		if err != nil {
			return err
		}
		busy, err := tx.BusySince(n.ID, seen)
		if err != nil {
			return err
		}
		if busy || n.Maintenance != was.Maintenance || n.Fault != was.Fault || n.PowerState != was.PowerState || n.TargetPowerState != was.TargetPowerState {
			if row == nil {
				return nil
			}
			row.DueAt = time.Now().Add(c.jitter(c.config.Sweep.PowerInterval))
			return tx.SaveSweep(row)
		}
		v := verdict{c: c, tx: tx, n: n, row: row, is: is, cause: cause}
		switch {
		case cause != nil:
			return v.failed(sentence(cause))
		case n.Fault == powerFailure && n.Maintenance:
			return v.recovered()
		case n.PowerState == is:
			return v.well()
		case n.PowerState == "" || !c.config.Sweep.ForcePower || n.DisablePowerOff && n.PowerState == metal.PowerOff:
			return v.corrected()
		}
		return v.brought()
	})
}

// verdict is one machine's case, in the transaction that closes it.
type verdict struct {
	c     *Conductor
	tx    *store.Tx
	n     *metal.Node
	row   *store.Sweep
	is    metal.Power
	cause error
}

func (v verdict) tell(severity, why string, args ...any) error {
	return v.tx.AppendEvent(v.n.ID, metal.HistoryEvent{Kind: "monitoring", Who: v.c.config.Host, Verb: verbSync, Severity: severity, Why: fmt.Sprintf(why, args...)})
}

// well ends the trouble, if there was any.
func (v verdict) well() error {
	if v.row == nil {
		return nil
	}
	return v.tx.EndSweep(v.row)
}

// corrected lets the record follow the machine.
func (v verdict) corrected() error {
	if v.n.PowerState != "" {
		if err := v.tell("INFO", "The machine is %q and was recorded as %q: the record follows it.", v.is, v.n.PowerState); err != nil {
			return err
		}
	}
	v.n.PowerState = v.is
	if err := v.tx.SaveNode(v.n); err != nil {
		return err
	}
	return v.well()
}

// brought asks for an operation that brings the machine to the recorded state: it is the node's one exclusive
// operation, like any power change.
func (v verdict) brought() error {
	if v.failures() > v.c.config.Sweep.PowerRetries {
		return v.failed(fmt.Sprintf("the machine is %q and does not stay %q", v.is, v.n.PowerState))
	}
	rec, err := recordOf(record{Ask: metal.Ask{Power: v.n.PowerState}})
	if err != nil {
		return err
	}
	if err := v.tx.CreateOperation(&store.Operation{UUID: uuid.NewString(), NodeID: v.n.ID, Exclusive: true, Verb: verbSync, Plan: string(metal.PlanPower),
		PlanVersion: metal.PlanPower.Version(), Record: rec, RequestedBy: v.c.config.Host, Driver: v.n.Driver, Group: v.n.ConductorGroup}); err != nil {
		return err
	}
	if err := v.tell("INFO", "The machine is %q and was recorded as %q: it is brought back.", v.is, v.n.PowerState); err != nil {
		return err
	}
	v.n.TargetPowerState = v.n.PowerState
	if err := v.tx.SaveNode(v.n); err != nil {
		return err
	}
	return v.again(fmt.Sprintf("the machine was %q", v.is))
}

func recordOf(rec record) ([]byte, error) { return json.Marshal(rec) }

// failures is how often in a row, this time included.
func (v verdict) failures() int {
	if v.row == nil {
		return 1
	}
	return v.row.Failures + 1
}

// again notes a failure; the next look comes later each time.
func (v verdict) again(note string) error {
	s := v.c.config.Sweep
	base, limit, over := s.PowerInterval/4, s.PowerInterval, v.failures()-1
	if v.n.Fault == powerFailure {
		base, limit, over = s.RecoveryInterval, 12*s.RecoveryInterval, max(0, v.failures()-s.PowerRetries-1)
	}
	now, err := v.tx.Now()
	if err != nil {
		return err
	}
	due := now.Add(v.c.jitter(min(limit, base<<min(over, 16))))
	if v.row == nil {
		return v.tx.EnsureSweeps([]store.Sweep{{Kind: sweepCheck, NodeID: v.n.ID, Failures: 1, Note: note, DueAt: due}})
	}
	v.row.Failures, v.row.Note, v.row.DueAt = v.failures(), note, due
	return v.tx.SaveSweep(v.row)
}

// failed counts a failure; too many in a row put the node into maintenance. What went wrong before stays in
// last_error: the power sync's own words go there only where nothing else is.
func (v verdict) failed(why string) error {
	if v.n.Fault == powerFailure || v.failures() <= v.c.config.Sweep.PowerRetries {
		return v.again(why)
	}
	text := fmt.Sprintf("%s: %d times in a row it failed, at last: %s", verbSync, v.failures(), why)
	if v.cause != nil {
		v.n.PowerState = ""
	} else {
		v.n.PowerState = v.is
	}
	v.n.Maintenance, v.n.Fault, v.n.MaintenanceReason = true, powerFailure, text
	if v.n.LastError == "" {
		v.n.LastError = text
	}
	v.c.log.Warn("node put into maintenance by the power sync", "node", v.n.UUID, "why", why)
	if err := v.tx.SaveNode(v.n); err != nil {
		return err
	}
	if err := v.tell("ERROR", "The node was put into maintenance: %s", text); err != nil {
		return err
	}
	if v.c.config.Sweep.RecoveryInterval <= 0 {
		return v.well()
	}
	return v.again(why)
}

// recovered takes the node out of the maintenance that the power sync put it into.
func (v verdict) recovered() error {
	v.n.Maintenance, v.n.Fault, v.n.MaintenanceReason, v.n.PowerState = false, "", "", v.is
	if strings.HasPrefix(v.n.LastError, verbSync+": ") {
		v.n.LastError = ""
	}
	if err := v.tx.SaveNode(v.n); err != nil {
		return err
	}
	if err := v.tell("INFO", "The machine answers again and is %q: maintenance was cleared.", v.is); err != nil {
		return err
	}
	return v.well()
}
