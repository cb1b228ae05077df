package store

import (
	"fmt"
	"slices"
)

// On SQLite one transaction writes at a time, so what a Write reads stays as it is until it commits. On
// PostgreSQL many write at once, and the row of a node is the lock of everything that hangs on the node:
//
//   - The first look at a node in a Write (Node, NodeByID, NodesByMAC, and Port, Portgroup, Connector and Target
//     for the node of theirs) locks its row until the end. Who comes second waits, and then sees what the first
//     wrote: the row is read after it is held, by a statement of its own, because one statement sees no more than
//     was there when it began.
//   - Ports, agents and operations are read after their node and have no locks of their own; what conductors
//     write to operations without the node is guarded by the generation.
//   - Lists (Nodes, Ports) hold nothing: who changes what a list gave looks at each node again, by its id.
//   - Locks are taken node first, then operation. Who holds two nodes takes the lower id first, or may be
//     refused with fault.Unavailable when PostgreSQL finds a deadlock. Port and its like hold their node only for
//     who holds no node yet. Chassis are held after nodes.
//   - Who takes a slot (HoldSlots) has all the nodes that it needs: that lock is the last.

// hold locks the rows of nodes that where finds, in the order of their ids.
func (t *Tx) hold(where string, args ...any) error {
	if !t.writes || t.db.dialect.hold == "" {
		return nil
	}
	rows, err := t.rows("SELECT n.id FROM nodes n "+where+" ORDER BY n.id {{hold}}", args...)
	if err != nil {
		return fmt.Errorf("lock a node: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		if t.held == nil {
			t.held = map[int64]bool{}
		}
		t.held[id] = true
	}
	return rows.Err()
}

// holdAll locks the rows of nodes by id, those that are not yet.
func (t *Tx) holdAll(ids ...int64) error {
	ids = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return t.held[id] })
	if len(ids) == 0 {
		return nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return t.hold("WHERE n.id IN ("+marks(len(ids))+")", args...)
}
